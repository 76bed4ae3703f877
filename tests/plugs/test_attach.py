"""Putting a method on and taking it off; what is refused, and in which words."""

from dataclasses import dataclass
from inspect import unwrap
from typing import ClassVar, final

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    SwinConfig,
    SwinModel,
)

from tokenry.card import Card
from tokenry.errors import AttachError, UnknownNameError, UnsupportedModelError, UsageError
from tokenry.method import Method
from tokenry.plugs.attach import attach
from tokenry.vision import Grid, Resize, ToMe
from tokenry.zoo import Loaded


def test_names_and_instances_are_the_same(tiny, images):
    model = tiny("vit")
    outputs = []
    for how in (("tome",), (["tome"],)):
        with attach(model, *how, keep=0.5):
            outputs.append(model(images(1)).last_hidden_state)
    with attach(model, ToMe(keep=0.5)):
        outputs.append(model(images(1)).last_hidden_state)
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


def test_it_acts_at_once_and_until_detached(tiny, images):
    model = tiny("vit")
    attachment = attach(model, "tome", keep=0.5)
    assert model(images(1)).last_hidden_state.shape[1] < 65
    attachment.detach()
    assert model(images(1)).last_hidden_state.shape[1] == 65
    attachment.detach()
    assert model(images(1)).last_hidden_state.shape[1] == 65


def test_a_late_second_detach_leaves_the_next_method_on(tiny, images):
    model = tiny("vit")
    first = attach(model, "tome", keep=0.5)
    first.detach()
    with attach(model, "grid", keep=0.25):
        first.detach()
        assert model(images(1)).last_hidden_state.shape[1] < 20


def test_a_model_carries_one_method_at_a_time(tiny, images):
    model = tiny("vit")
    with attach(model, "tome", keep=0.5):
        with pytest.raises(AttachError, match=r"already carries ToMe\(keep=0.5\)"):
            attach(model, "random", keep=0.5)
        assert model(images(1)).last_hidden_state.shape[1] < 65
    with attach(model, "random", keep=0.5):
        pass


def test_a_model_is_free_again_after_an_exception_in_a_pass(tiny, images):
    model = tiny("vit")
    with pytest.raises(ValueError, match="channel"), attach(model, "tome", keep=0.5):
        model(images(1)[:, :2])
    with attach(model, "tome", keep=0.5) as attachment:
        model(images(1))
    assert attachment.trace.share == pytest.approx(0.5, abs=1 / 65)


def test_an_attachment_goes_on_after_an_exception_in_a_pass(tiny, images):
    model = tiny("vit")
    handle = model.layers[3].mlp.register_forward_hook(lambda *_: 1 / 0)
    with attach(model, "tome", keep=0.5):
        with pytest.raises(ZeroDivisionError):
            model(images(1))
        handle.remove()
        found = model(images(1)).last_hidden_state
    with attach(model, "tome", keep=0.5):
        assert torch.equal(model(images(1)).last_hidden_state, found)


def test_a_block_on_its_own_is_untouched(tiny):
    model, x = tiny("vit"), torch.randn(1, 65, 32)
    expected = model.layers[0](x)
    with attach(model, "tome", keep=0.5):
        assert torch.equal(model.layers[0](x), expected)


@pytest.mark.parametrize("keep", [0, -0.5, 1.5, float("nan"), True, "half"])
def test_keep_outside_its_range_is_refused(keep, tiny):
    with pytest.raises(UsageError, match=r"ToMe: keep=.* (is outside|is not float in) \(0, 1\]"):
        attach(tiny("vit"), "tome", keep=keep)


@pytest.mark.parametrize(
    ("slug", "keep"), [("tome", 0.1), ("grid", 0.01), ("random", 0.02), ("zero-tprune", 0.05)]
)
def test_keep_that_cannot_be_reached_is_refused_with_the_lowest(slug, keep, tiny):
    model = tiny("dinov2-registers")
    with pytest.raises(UsageError, match=r"5 are protected.* the lowest is 0.") as error:
        attach(model, slug, keep=keep)
    assert f"keep={keep}" in str(error.value)
    lowest = float(str(error.value).split()[-1].rstrip("."))
    attach(model, slug, keep=lowest).detach()


def test_keep_that_a_smaller_picture_cannot_reach_is_refused_then(tiny, images):
    model = tiny("dinov2-registers")
    with attach(model, Grid(keep=0.12)):
        model(images(1))
        with pytest.raises(UsageError, match=r"9 tokens|10 tokens|14 tokens"):
            model(images(1, side=8))


def test_unknown_method_names_the_nearest(tiny):
    with pytest.raises(UnknownNameError, match="method 'pitom' is unknown; nearest: pitome"):
        attach(tiny("vit"), "pitom", keep=0.5)


def test_settings_belong_to_a_name(tiny):
    with pytest.raises(UsageError, match=r"ToMe\(keep=0.5\) is configured already"):
        attach(tiny("vit"), ToMe(keep=0.5), keep=0.6)


@pytest.mark.parametrize("methods", [[], ["tome", "random"], [ToMe(keep=0.5), Grid(keep=0.5)]])
def test_two_reducers_cannot_be_stacked(methods, tiny):
    with pytest.raises(UsageError, match=r"(and|nothing).* cannot be combined; a stack is"):
        attach(tiny("vit"), methods)


unchecked = unwrap(attach)
"""As users have it: here types are checked before the function sees its arguments."""


@pytest.mark.parametrize("model", ["zoo:smollm2-135m", Loaded(None, None)])
def test_what_is_no_loaded_model_is_refused(model):
    with pytest.raises(UsageError, match=r"model is a (str|Loaded); give the loaded model itself"):
        unchecked(model, "snapkv")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (3, "int is no method"),
        ([3], "int is no method"),
        (ToMe, "ToMe is a class; give 'tome' or an instance"),
    ],
)
def test_what_is_no_method_is_refused(method, message, tiny):
    with pytest.raises(UsageError, match=message):
        unchecked(tiny("vit"), method)


def test_a_method_of_another_kind_is_refused(tiny):
    @final
    @dataclass(frozen=True, kw_only=True)
    class Other(Method):
        """Nothing to do with encoders."""

        card: ClassVar[Card] = ToMe.card

    with pytest.raises(UsageError, match="Other is not switched on by attach"):
        attach(tiny("vit"), Other())


def test_unsupported_architecture_says_which_are_and_how_to_add_one():
    model = BertModel(
        BertConfig(
            vocab_size=9,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=8,
        )
    )
    with pytest.raises(UnsupportedModelError) as error:
        attach(model, "tome", keep=0.5)
    message = str(error.value)
    assert message.startswith("BertModel: holds no vision encoder that tokenry knows")
    assert "Dinov2Model" in message
    assert "tokenry.plugs.blocks.TOWERS" in message


def test_refused_architectures_say_why():
    qwen = Qwen2VLForConditionalGeneration(
        Qwen2VLConfig(
            text_config={
                "vocab_size": 9,
                "hidden_size": 8,
                "num_hidden_layers": 1,
                "num_attention_heads": 1,
                "num_key_value_heads": 1,
                "intermediate_size": 8,
            },
            vision_config={"depth": 1, "embed_dim": 8, "num_heads": 1, "hidden_size": 8},
        )
    )
    with pytest.raises(UnsupportedModelError, match=r"ToMe: Qwen2VL.* puts each row of its image"):
        attach(qwen, "tome", keep=0.5)
    with pytest.raises(UnsupportedModelError, match="2x2 patch merger needs the full grid"):
        attach(qwen.model.visual, "tome", keep=0.5)
    swin = SwinModel(SwinConfig(image_size=32, embed_dim=8, depths=[1], num_heads=[1]))
    with pytest.raises(UnsupportedModelError, match="windows need the full grid"):
        attach(swin, "tome", keep=0.5)


def test_gradient_checkpointing_is_refused_while_training(tiny, images):
    model = tiny("vit")
    enable = getattr(model, "activation_checkpointing_enable", None)
    (enable or model.gradient_checkpointing_enable)()
    with attach(model, "tome", keep=0.5):
        model(images(1))
        model.train()
        with pytest.raises(AttachError, match="gradient checkpointing runs each block twice"):
            model(images(1))


def test_resizing_keeps_the_other_arguments(tiny, images):
    model = tiny("vit", image_size=32)
    model.embeddings.mask_token = torch.nn.Parameter(torch.zeros(1, 1, 32))
    masked = torch.zeros(1, 16)
    with attach(model, Resize(keep=0.25)):
        plain = model(images(1)).last_hidden_state
        assert torch.equal(model(images(1), masked).last_hidden_state, plain)
        masked[0, 3] = 1
        assert not torch.equal(model(images(1), masked).last_hidden_state, plain)


def test_resizing_refuses_a_mask_of_patches(tiny, images):
    mask = torch.ones(1, 65, dtype=torch.long)
    model = tiny("vit")
    with (
        attach(model, Resize(keep=0.25)),
        pytest.raises(UsageError, match="a mask of its patches no longer fits"),
    ):
        model(images(1), attention_mask=mask)
