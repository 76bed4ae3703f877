"""Landmarks on models: padding, generation, training, and what is refused."""

import pytest
import torch
from transformers import (
    DynamicCache,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    StaticCache,
    Trainer,
    TrainingArguments,
)

import tokenry
from tokenry.cache import Landmark
from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.ops.landmark import place_marks
from tokenry.plugs.landmarks import add_landmark

BLOCK, VOCAB = 4, 31
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": None,
}


@pytest.fixture
def model(marked):
    return marked


def drawn(*shape, high=VOCAB, seed=0):
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed))


def test_marks_go_in_text_by_text():
    valid = torch.tensor([[True] * 5, [False, True, True, True, True]])
    marks = place_marks(valid, 2)
    ids = torch.arange(10).view(2, 5)
    for row, text in enumerate(([0, 1, 99, 2, 3, 99, 4], [6, 7, 99, 8, 9, 99])):
        held = marks.inserted(ids, 99)[row][marks.valid[row]]
        assert held.tolist() == text
        assert marks.rank[row][marks.valid[row]].tolist() == list(range(len(text)))
    assert marks.inserted(ids, 99)[0, marks.answers[0]].tolist() == [0, 99, 2, 99, 4]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("settings", [{}, {"blocks": 2, "chunk": 1}, {"keep": 0.5, "chunk": 1}])
def test_padding_changes_nothing(model, side, settings):
    texts, length = [drawn(n, seed=n) for n in (23, 17, 12)], 23
    ids, mask = torch.zeros(3, length, dtype=torch.long), torch.zeros(3, length, dtype=torch.long)
    for row, text in enumerate(texts):
        at = slice(length - len(text), None) if side == "left" else slice(len(text))
        ids[row, at], mask[row, at] = text, 1
    with torch.no_grad(), tokenry.attach(model, Landmark(block=BLOCK, **settings)):
        together = model(ids, attention_mask=mask).logits
        for row, text in enumerate(texts):
            alone = model(text[None]).logits[0]
            torch.testing.assert_close(together[row][mask[row].bool()], alone)


@pytest.mark.parametrize("how", [{}, {"num_beams": 3}, {"prompt_lookup_num_tokens": 3}])
def test_generate_puts_landmarks_in_and_never_says_one(model, how):
    ids = drawn(1, 13)
    policy = Landmark(block=BLOCK, blocks=2, chunk=1)
    with tokenry.attach(model, policy) as attachment:
        out = model.generate(ids, max_new_tokens=20, do_sample=False, **how)
        assert out.shape == (1, 33)
        assert not (out == VOCAB).any()
        if not how:
            assert attachment.trace.seen == 32 + 32 // BLOCK
            with torch.no_grad():
                fresh = model(out[:, :-1]).logits[:, 12:].argmax(-1)
            assert torch.equal(out[:, 13:], fresh)
        if "prompt_lookup_num_tokens" in how:
            plain = model.generate(ids, max_new_tokens=20, do_sample=False)
            assert torch.equal(out, plain)


def test_a_padded_batch_generates_what_each_text_does(model):
    texts = [drawn(n, seed=n) for n in (14, 9)]
    ids, mask = torch.zeros(2, 14, dtype=torch.long), torch.zeros(2, 14, dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, -len(text) :], mask[row, -len(text) :] = text, 1
    with tokenry.attach(model, Landmark(block=BLOCK, blocks=2, chunk=1)):
        how = {"max_new_tokens": 15, "do_sample": False}
        together = model.generate(ids, attention_mask=mask, **how)[:, 14:]
        for row, text in enumerate(texts):
            assert torch.equal(together[row], model.generate(text[None], **how)[0, len(text) :])


def test_the_loss_is_over_real_tokens_only(model):
    ids = drawn(2, 18)
    with torch.no_grad(), tokenry.attach(model, Landmark(block=BLOCK)):
        out = model(ids, labels=ids)
    log = out.logits[:, :-1, :VOCAB].log_softmax(-1)
    expected = -log.gather(-1, ids[:, 1:, None]).mean()
    assert out.loss.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("checkpoints", [False, True])
def test_gradients_flow(model, checkpoints):
    ids = drawn(2, 18)
    model.train()
    grads = {}
    for name in ("plain", "checkpointed"):
        if name == "checkpointed" and checkpoints:
            model.activation_checkpointing_enable()
        model.zero_grad()
        with tokenry.attach(model, Landmark(block=BLOCK, chunk=7)):
            losses = [model(x, labels=x, use_cache=False).loss for x in (ids, ids[:, :9])]
            sum(losses).backward()
        grads[name] = [weight.grad.clone() for weight in model.parameters()]
    assert model.model.embed_tokens.weight.grad[VOCAB].abs().sum() > 0
    for one, two in zip(*grads.values(), strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, two)


def test_the_trainer_trains_it(model, tmp_path):
    data = [{"input_ids": row, "labels": row} for row in drawn(8, 12)]
    before = model.model.embed_tokens.weight[VOCAB].clone()
    arguments = TrainingArguments(
        str(tmp_path), max_steps=2, report_to=[], use_cpu=True, disable_tqdm=True, save_steps=2
    )
    with tokenry.attach(model, Landmark(block=BLOCK)):
        Trainer(model, arguments, train_dataset=data).train()
    assert not torch.equal(model.model.embed_tokens.weight[VOCAB], before)
    again = LlamaForCausalLM.from_pretrained(tmp_path / "checkpoint-2")
    with tokenry.attach(again, Landmark(block=BLOCK)):
        again(data[0]["input_ids"][None])


def test_the_new_embedding_is_the_mean_of_the_others(model):
    for weight in (model.model.embed_tokens.weight, model.lm_head.weight):
        assert len(weight) == VOCAB + 1
        torch.testing.assert_close(weight[VOCAB], weight[:VOCAB].mean(0), atol=1e-6, rtol=0)
    assert model.config.landmark_token_id == VOCAB
    with pytest.raises(UsageError, match="has a landmark after every 4 tokens already"):
        add_landmark(model, 5)
    with pytest.raises(UsageError, match="block=0"):
        add_landmark(LlamaForCausalLM(LlamaConfig(**SHAPE)), 0)


def test_the_model_is_as_before_afterwards(model):
    ids = drawn(1, 18)
    with torch.no_grad():
        before = model(ids).logits
        with pytest.raises(UsageError), tokenry.attach(model, Landmark(block=BLOCK)):
            model(inputs_embeds=model.get_input_embeddings()(ids))
        assert torch.equal(model(ids).logits, before)


def test_models_without_landmarks_are_refused():
    bare = LlamaForCausalLM(LlamaConfig(**SHAPE))
    with pytest.raises(UnsupportedModelError, match=r"no landmark.*add_landmark"):
        tokenry.attach(bare, Landmark(block=BLOCK))
    add_landmark(bare, 7)
    with pytest.raises(UnsupportedModelError, match="set block=7"):
        tokenry.attach(bare, Landmark(block=BLOCK))
    window = MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=8, pad_token_id=None))
    window.config.layer_types = ["sliding_attention", "full_attention"]
    learned = GPT2LMHeadModel(GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2))
    for model, reason in ((window, "window"), (learned, "does not rotate")):
        add_landmark(model, BLOCK)
        with pytest.raises(UnsupportedModelError, match=reason):
            tokenry.attach(model, Landmark(block=BLOCK))
        assert not hasattr(model.base_model, "_tokenry")


def test_inputs_that_cannot_be_right_are_refused(model):
    ids = drawn(1, 12)
    full = DynamicCache(config=model.config)
    model(ids, past_key_values=full)
    packed = torch.tensor([[*range(6), *range(6)]])
    with tokenry.attach(model, Landmark(block=BLOCK)):
        for wrong, reason in (
            ({"input_ids": torch.tensor([[1, VOCAB]])}, "ids with landmarks"),
            ({"inputs_embeds": torch.zeros(1, 3, 32).double()}, "embeddings"),
            ({"input_ids": ids, "past_key_values": full}, "filled without landmarks"),
            ({"input_ids": ids, "position_ids": packed}, "packed"),
            ({"input_ids": ids, "attention_mask": torch.ones(1, 3)}, "12 tokens together"),
        ):
            with pytest.raises(UsageError, match=reason):
                model(**wrong)
        with pytest.raises(UsageError, match="static"):
            model(ids, past_key_values=StaticCache(config=model.config, max_cache_len=20))
        held = model(ids).past_key_values
        with pytest.raises(UsageError, match="another model or batch"):
            model(drawn(2, 1), past_key_values=held)
        with pytest.raises(UsageError, match="minus the number"):
            held.layers[0].crop(3)
    model.config.attention_dropout = 0.1
    with (
        tokenry.attach(model.train(), Landmark(block=BLOCK)),
        pytest.raises(UsageError, match="dropout"),
    ):
        model(ids)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 3}, "has 3 layers, but the model 2; .*another model"),
        ({"head_dim": 16}, r"of shape \(1, 2, 15, 16\), but .* need \(1, 2, slots, 8\)"),
        ({"num_key_value_heads": 4}, r"of shape \(1, 4, 15, 8\), but"),
    ],
)
@torch.no_grad()
def test_the_cache_of_another_model_is_refused(model, changes, message):
    other = LlamaForCausalLM(LlamaConfig(**SHAPE | changes)).double()
    add_landmark(other, BLOCK)
    with tokenry.attach(other, Landmark(block=BLOCK)):
        cache = other(drawn(1, 12)).past_key_values
    with (
        tokenry.attach(model, Landmark(block=BLOCK)),
        pytest.raises(UsageError, match=message),
    ):
        model(drawn(1, 1), past_key_values=cache)
    assert {layer.seen for layer in cache.layers} == {12}


def test_attention_without_a_mask_is_refused(model):
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(UsageError, match="'flash_attention_2', which cannot carry a mask"):
        tokenry.attach(model, Landmark(block=BLOCK))
    assert not hasattr(model.model, "_tokenry")


def test_a_cropped_cache_goes_on_as_if_never_longer(model):
    ids = drawn(1, 20)
    with torch.no_grad(), tokenry.attach(model, Landmark(block=BLOCK)):
        for cut in range(1, 7):
            cache = model(ids[:, :14]).past_key_values
            cache.crop(-cut)
            rest = model(ids[:, 14 - cut :], past_key_values=cache).logits
            torch.testing.assert_close(rest, model(ids).logits[:, 14 - cut :])
