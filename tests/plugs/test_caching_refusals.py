"""A cache policy says what it cannot work on, and leaves no trace on what it refuses."""

from dataclasses import dataclass

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    DynamicCache,
    QuantizedCache,
    StaticCache,
)
from transformers.generation.continuous_batching.cache import PagedAttentionCache

from tokenry import attach
from tokenry.cache import H2O, KeyNorm, SnapKV, StreamingLLM
from tokenry.checks.models import WORDS, tiny_decoder, words
from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.method import CachePolicy, Read

SMALL = {"num_hidden_layers": 2}


@dataclass(frozen=True, kw_only=True)
class Unrotated(CachePolicy):
    """Reads everything, from keys without rotation."""

    unrotated = True

    def select(self, view):
        every = torch.arange(view.seen).expand(*view.tokens.shape[:2], -1)
        return (Read(every),)


def filled(model, b=1, n=30):
    cache = DynamicCache()
    model(words(b, n), past_key_values=cache)
    return cache


def plain_then(method):
    return lambda model: (method, {"past_key_values": filled(model)})


def by(first, method):
    def make(model):
        with attach(model, first):
            cache = filled(model)
        return method, {"past_key_values": cache}

    return make


def with_a_gap(model):
    cache = DynamicCache()
    with attach(model, H2O(keep=0.5)):
        model(words(1, 30), past_key_values=cache)
    model(words(1, 1), past_key_values=cache)
    return H2O(keep=0.5), {"past_key_values": cache}


def static(model):
    return StreamingLLM(keep=0.5), {"past_key_values": StaticCache(model.config, max_cache_len=64)}


def quantized(model):
    return StreamingLLM(keep=0.5), {"past_key_values": QuantizedCache("fp8", model.config)}


def paged(model):
    """Its class is what is refused: a whole one needs a service around it."""
    cache = object.__new__(PagedAttentionCache)
    return StreamingLLM(keep=0.5), {"past_key_values": cache}


def offloaded(model):
    cache = DynamicCache()
    cache.offloading = True
    return StreamingLLM(keep=0.5), {"past_key_values": cache}


def training(model):
    model.train()
    for layer in model.model.layers:
        layer.gradient_checkpointing = True
    return StreamingLLM(keep=0.5), {}


def of_depth(depth, **changes):
    def make(model):
        other = tiny_decoder("llama", num_hidden_layers=depth, **changes)
        return StreamingLLM(keep=0.5), {"past_key_values": filled(other)}

    return make


def given(method=None, **inputs):
    return lambda model: (method or StreamingLLM(keep=0.5), inputs)


REFUSED = {
    "too few for sinks and window": (given(StreamingLLM(keep=0.1)), r"3 slots.*needs 5"),
    "shorter than the window": (given(SnapKV(keep=0.9)), r"keep=0.9 of 30 .* 27 slots.*needs 33"),
    "shorter than the last tokens": (given(KeyNorm(keep=0.9)), r"27 slots.*needs 33"),
    "static": (static, "StaticLayer; only a dynamic cache"),
    "quantized": (quantized, "QuantizedLayer; only a dynamic cache .*quantized"),
    "paged": (paged, "the cache is PagedAttentionCache, offloaded or of another kind"),
    "offloaded": (offloaded, "DynamicCache, offloaded"),
    "no cache": (given(past_key_values=("k", "v")), "the cache is tuple"),
    "of another batch": (
        lambda model: (StreamingLLM(keep=0.5), {"past_key_values": filled(model, b=2)}),
        r"\(2, 2, 30, 8\), but .* need \(1, 2, slots, 8\)",
    ),
    "of another width": (of_depth(2, head_dim=16), r"need \(1, 2, slots, 8\)"),
    "of another depth": (of_depth(3), "has 3 layers, but the model 2"),
    "use_cache=False": (given(use_cache=False), "use_cache=False"),
    "four dimensions": (
        given(attention_mask=torch.zeros(1, 1, 30, 20)),
        r"shape \(1, 1, 30, 20\); give one of two",
    ),
    "a mask too short": (given(attention_mask=torch.ones(1, 20)), r"shape \(1, 20\).*30 tokens"),
    "a mask per kind of layer": (given(attention_mask={"sliding_attention": None}), "shape dict"),
    "tokens that see later ones": (
        given(Unrotated(keep=0.5), attention_mask=torch.zeros(1, 1, 30, 30)),
        "see later ones.*take a policy that evicts",
    ),
    "checkpoints": (training, "gradient_checkpointing_disable"),
    "filled before": (plain_then(H2O(keep=0.5)), "filled without this policy"),
    "filled with rotation": (plain_then(Unrotated(keep=0.5)), "filled without this policy"),
    "filled by another": (by(StreamingLLM(keep=0.5), H2O(keep=0.5)), "filled without this policy"),
    "without rotation": (by(Unrotated(keep=0.5), H2O(keep=0.5)), "filled without this policy"),
    "continued unwatched": (with_a_gap, "filled without this policy"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_inputs(case, traces):
    model = tiny_decoder("llama", **SMALL)
    make, message = REFUSED[case]
    method, inputs = make(model)
    before = traces(model)
    layers = list(getattr(inputs.get("past_key_values"), "layers", ()))
    with attach(model, method), pytest.raises(UsageError, match=message) as error:
        model(words(1, 30), **inputs)
    assert str(error.value).startswith(f"{type(method).__name__}: ")
    assert traces(model) == before
    assert list(getattr(inputs.get("past_key_values"), "layers", ())) == layers


def test_a_complete_cache_of_the_plain_model_can_be_cut():
    model = tiny_decoder("llama", **SMALL)
    cache = filled(model)
    with attach(model, StreamingLLM(keep=0.5)) as attachment:
        model(words(1, 10), past_key_values=cache)
    assert attachment.trace.resident == (20, 20)


@pytest.mark.parametrize(
    ("implementation", "message"),
    [
        ("flash_attention_2", "cannot carry a mask per layer"),
        ("flex_attention", "'sdpa' or 'eager'"),
    ],
)
def test_refused_implementations(implementation, message, traces):
    model = tiny_decoder("llama", **SMALL)
    model.config._attn_implementation = implementation
    before = traces(model)
    with pytest.raises(UsageError, match=rf"H2O: .*'{implementation}'.*{message}"):
        attach(model, H2O(keep=0.5))
    assert traces(model) == before


@pytest.mark.parametrize(
    ("make", "method", "message"),
    [
        (lambda: BertModel(BertConfig(**WORDS)), H2O(), "no causal language model"),
        (lambda: tiny_decoder("mistral", sliding_window=8), H2O(), "no layer .* full attention"),
        (lambda: tiny_decoder("gpt2", reorder_and_upcast_attn=True), H2O(), "reorder_and_upcast"),
        (lambda: tiny_decoder("gpt2"), Unrotated(keep=0.5), "does not rotate its keys"),
        (
            lambda: tiny_decoder("llama", rope_parameters=dynamic()),
            Unrotated(keep=0.5),
            "'dynamic'.*allowed are default",
        ),
    ],
    ids=["bert", "sliding", "upcast", "unrotated", "dynamic"],
)
def test_refused_models(make, method, message):
    model = make()
    before = [sorted(vars(module)) for module in model.modules()]
    with pytest.raises(UnsupportedModelError, match=message):
        attach(model, method)
    assert [sorted(vars(module)) for module in model.modules()] == before


def dynamic():
    return {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}


def test_a_model_that_gets_nothing_complains_itself():
    model = tiny_decoder("llama", **SMALL)
    with pytest.raises(ValueError, match="exactly one of input_ids or inputs_embeds") as plain:
        model()
    with attach(model, H2O(keep=0.5)), pytest.raises(type(plain.value), match=str(plain.value)):
        model()


@torch.no_grad()
def test_words_may_come_as_vectors_and_by_position():
    model, ids = tiny_decoder("llama", **SMALL), words(2, 30)
    with attach(model, H2O(keep=0.5)) as attachment:
        expected = model.model(ids).last_hidden_state
        got = model.model(inputs_embeds=model.model.embed_tokens(ids)).last_hidden_state
        assert torch.equal(got, expected)
        assert torch.equal(model.model(ids, None, None, None).last_hidden_state, expected)
    assert attachment.trace.resident == (15, 15)


@dataclass(frozen=True, kw_only=True)
class Undecided(CachePolicy):
    """Says nothing of any slot."""


def test_a_policy_that_decides_nothing_is_told_so():
    with (
        attach(tiny_decoder("llama", **SMALL), Undecided(keep=0.5)) as attachment,
        pytest.raises(UsageError, match="write evict or select"),
    ):
        attachment._decoder(words(1, 30))
