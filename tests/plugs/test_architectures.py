"""Every supported architecture: the generic block is its own, and keep=1 changes nothing."""

from dataclasses import dataclass

import pytest
import torch
import transformers

from tokenry.checks.models import SHAPE, WORDS
from tokenry.errors import UnsupportedModelError
from tokenry.ops.attention import weights
from tokenry.plugs.attach import attach
from tokenry.plugs.blocks import TOWERS, find_tower
from tokenry.plugs.encoder import blocks, encode, image_size, patch_size
from tokenry.vision import Grid, Random, ToMe

MODELS = [
    "ViTModel",
    "ViTForImageClassification",
    "DeiTModel",
    "DeiTForImageClassification",
    "DeiTForImageClassificationWithTeacher",
    "Dinov2Model",
    "Dinov2ForImageClassification",
    "Dinov2WithRegistersModel",
    "Dinov2WithRegistersForImageClassification",
    "DINOv3ViTModel",
    "ViTMSNModel",
    "MetaClip2VisionModel",
    "MetaClip2ForImageClassification",
    "CLIPVisionModel",
    "CLIPVisionModelWithProjection",
    "CLIPModel",
    "CLIPForImageClassification",
    "SiglipVisionModel",
    "SiglipModel",
    "SiglipForImageClassification",
]


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_keep_one_is_bit_identical(name, build, inputs, tensors):
    model = build(name)
    expected = tensors(model(**inputs(model)))
    with attach(model, "tome", keep=1.0):
        found = tensors(model(**inputs(model)))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("method", [ToMe(keep=0.5), Grid(keep=0.5)], ids=["middle", "before"])
@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_reduced_outputs_are_finite_and_shaped_as_before(name, method, build, inputs, tensors):
    model = build(name)
    expected = tensors(model(**inputs(model)))
    with attach(model, method) as attachment:
        found = tensors(model(**inputs(model)))
    assert attachment.trace.share == pytest.approx(0.5, abs=1 / 64)
    for key, value in found.items():
        assert value.isfinite().all()
        if "hidden_state" not in key:
            assert value.shape == expected[key].shape


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", TOWERS)
def test_generic_block_equals_the_models_own(name, training, build):
    rates = {
        "hidden_dropout_prob": 0.5,
        "drop_path_rate": 0.5,
        "attention_probs_dropout_prob": 0.5,
        "attention_dropout": 0.5,
    }
    model = build(name, **rates).train(training)
    tower, row = find_tower(model)
    source = torch.Generator().manual_seed(1)
    x = torch.randn(2, 9, 32, generator=source)
    turns = {"position_embeddings": torch.randn(2, 8, 8, generator=source)}
    given = turns if name == "DINOv3ViTModel" else {}
    for block in row.blocks(tower)[:2]:
        torch.manual_seed(3)
        expected = block(x, None, **given)
        torch.manual_seed(3)
        assert torch.equal(row.feed(block, row.attend(block, x, None, given)), expected)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_encode_answers_in_one_shape(name, build, images):
    model = build(name)
    encoded = encode(model, images(2))
    assert encoded.pooled.shape[0] == 2
    assert encoded.pooled.ndim == 2
    assert encoded.rows.shape[0] == 2
    assert (encoded.logits is not None) == ("Classification" in name)
    assert len(blocks(model)) == 6
    assert (patch_size(model), image_size(model)) == (4, 32)


@pytest.mark.parametrize("name", ["CLIPModel", "SiglipModel", "CLIPVisionModelWithProjection"])
@torch.no_grad()
def test_encode_takes_the_projected_embedding(name, build, images, inputs):
    model = build(name)
    pooled = torch.nn.functional.normalize(encode(model, images(2)).pooled, dim=-1)
    expected = torch.nn.functional.normalize(model(**inputs(model)).image_embeds, dim=-1)
    assert torch.allclose(pooled, expected, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["Dinov2ForImageClassification", "SiglipForImageClassification", "CLIPVisionModel"]
)
@torch.no_grad()
def test_encode_gives_the_rows_of_the_encoder(name, build, images):
    model = build(name)
    tower, _ = find_tower(model)
    with attach(tower, ToMe(keep=0.5)):
        expected = tower(images(2)).last_hidden_state
    with attach(model, ToMe(keep=0.5)):
        rows = encode(model, images(2)).rows
    assert torch.allclose(rows, expected, atol=1e-6)


@torch.no_grad()
def test_encode_needs_a_pooled_output(build, images):
    model = build("SiglipVisionModel", vision_use_head=False)
    with pytest.raises(UnsupportedModelError, match="SiglipVisionModel: has no pooled output"):
        encode(model, images(1))


@torch.no_grad()
def test_rows_that_are_left_keep_their_rotation(build, images):
    """Dropping patches before the first layer is hiding them from all others."""
    model = build("DINOv3ViTModel", num_register_tokens=3)
    with attach(model, Grid(keep=0.5)) as attachment:
        rows = model(images(2)).last_hidden_state
    kept = attachment.trace.origin >= 0
    hidden = torch.zeros(2, 1, 1, 68).masked_fill(~kept[:, None, None], float("-inf"))
    expected = model(images(2), attention_mask=hidden).last_hidden_state
    assert torch.allclose(rows.flatten(0, 1), expected[kept], atol=1e-5)
    assert not torch.allclose(
        rows.flatten(0, 1), model(images(2)).last_hidden_state[kept], atol=0.1
    )


@dataclass(frozen=True, kw_only=True)
class Watch(ToMe):
    """Notes attention weights, of queries and keys as they are compared."""

    def observe(self, view):
        view.memory.setdefault("seen", []).append(weights(*view.compared, view.scale, view.bias))
        WATCHED[:] = view.memory["seen"]


WATCHED = []


@pytest.mark.parametrize("name", ["ViTModel", "DINOv3ViTModel"])
@torch.no_grad()
def test_methods_see_the_attention_that_the_model_pays(name, build, images):
    """Before rows go and after."""
    model = build(name, attn_implementation="eager", num_hidden_layers=3)
    with attach(model, Watch(keep=0.6)):
        expected = model(images(2), output_attentions=True).attentions
    assert len({x.shape for x in expected}) == 3
    for got, want in zip(WATCHED, expected, strict=True):
        assert torch.allclose(got, want, atol=1e-6)


PROMPTED = {
    "LlavaForConditionalGeneration": (transformers.LlavaConfig, "clip_vision_model"),
    "PaliGemmaForConditionalGeneration": (transformers.PaliGemmaConfig, "siglip_vision_model"),
}


@pytest.mark.parametrize("name", PROMPTED)
def test_rows_that_stand_in_a_prompt_stay(name):
    config, kind = PROMPTED[name]
    text = {**WORDS, "model_type": "gemma", "num_hidden_layers": 1}
    vision = {**SHAPE, "model_type": kind, "num_hidden_layers": 1}
    model = getattr(transformers, name)(config(text_config=text, vision_config=vision))
    with pytest.raises(UnsupportedModelError, match=r"ToMe: \w+ puts each row of its image.*cache"):
        attach(model, "tome", keep=0.5)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("BeitModel", "relative positions belong to the full grid"),
        ("Data2VecVisionModel", "relative positions belong to the full grid"),
        ("Siglip2VisionModel", "grids of their own"),
        ("ViTForMaskedImageModeling", "draws every patch"),
        ("DeiTForMaskedImageModeling", "draws every patch"),
        ("ViTMAEModel", "holds no vision encoder that tokenry knows"),
        ("Dinov2Backbone", "holds no vision encoder that tokenry knows"),
    ],
)
def test_what_needs_the_full_grid_is_refused(name, reason, build):
    with pytest.raises(UnsupportedModelError, match=rf"{name}: .*{reason}"):
        attach(build(name, num_hidden_layers=1), "tome", keep=0.5)


@torch.no_grad()
def test_other_image_sizes_run(build, images):
    model = build("Dinov2Model")
    with attach(model, Random(keep=0.5)) as attachment:
        model(images(2, side=24))
        assert (attachment.trace.full, attachment.trace.grid) == (37, (6, 6))
        model(torch.randn(1, 3, 24, 40))
        assert (attachment.trace.full, attachment.trace.grid) == (61, (6, 10))


@torch.no_grad()
def test_tuple_outputs_work(build, images):
    model = build("Dinov2ForImageClassification", num_labels=3)
    with attach(model, ToMe(keep=0.5)):
        expected = model(images(2)).logits
        (logits, *_) = model(images(2), return_dict=False)
    assert torch.equal(logits, expected)


@torch.no_grad()
def test_eager_attention_gives_the_same_numbers(build, images):
    model = build("ViTModel")
    results = []
    for implementation in ("sdpa", "eager"):
        model.set_attn_implementation(implementation)
        with attach(model, ToMe(keep=0.5)):
            results.append(model(images(2)).last_hidden_state)
    assert torch.allclose(*results, atol=1e-5)


@pytest.mark.slow
@torch.no_grad()
def test_compiled_model_gives_the_same_numbers(build, images, untyped):
    model = build("Dinov2Model", num_hidden_layers=2)
    with attach(model, ToMe(keep=0.75)):
        expected = model(images(2)).pooler_output
        try:
            found = torch.compile(model, backend="eager")(images(2)).pooler_output
        finally:
            torch.compiler.reset()
    assert torch.allclose(found, expected, atol=1e-5)
