"""A cache policy leaves no trace on the model, and says what it cannot work on."""

import copy
import gc
import weakref
from dataclasses import dataclass

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    DynamicCache,
    LlamaConfig,
    LlamaForCausalLM,
    QuantizedCache,
    StaticCache,
)
from transformers.generation.continuous_batching.cache import PagedAttentionCache

from tokenry import attach
from tokenry.cache import H2O, KeyNorm, SnapKV, StreamingLLM
from tokenry.checks.models import WORDS, tiny_decoder, words
from tokenry.errors import AttachError, UnsupportedModelError, UsageError
from tokenry.method import CachePolicy, Read

SMALL = {"num_hidden_layers": 2}


@dataclass(frozen=True, kw_only=True)
class Unrotated(CachePolicy):
    """Reads everything, from keys without rotation."""

    unrotated = True

    def select(self, view):
        every = torch.arange(view.seen).expand(*view.tokens.shape[:2], -1)
        return (Read(every),)


def traces(model):
    """All that could be left behind."""
    found = {}
    for name, module in model.named_modules():
        held = {key: value for key, value in vars(module).items() if not key.startswith("_")}
        found[name] = (
            type(module),
            sorted(vars(module)),
            held.get("config"),
            len(module._forward_hooks),
            len(module._forward_pre_hooks),
        )
    return found, model.config._attn_implementation


def stops(self, view):
    raise KeyError("stop")


def after_a_with_block(model):
    with attach(model, H2O(keep=0.5)):
        model(words(1, 30))


def after_an_exception(model):
    def use():
        with attach(model, H2O(keep=0.5)):
            model(words(1, 30))
            raise KeyError

    with pytest.raises(KeyError):
        use()


def after_an_exception_in_a_layer(model):
    def stop(*_):
        raise KeyError

    hook = model.model.layers[1].mlp.register_forward_pre_hook(stop)
    with pytest.raises(KeyError), attach(model, H2O(keep=0.5)):
        model(words(1, 30))
    hook.remove()


def after_an_exception_in_the_policy(model):
    failing = type("Failing", (H2O,), {"evict": stops})
    with pytest.raises(KeyError), attach(model, failing(keep=0.5)):
        model(words(1, 30))


def after_a_refusal(model):
    with pytest.raises(UsageError), attach(model, SnapKV(keep=0.5)):
        model(words(1, 30))


def after_a_refused_attachment(model):
    with attach(model, H2O(keep=0.5)), pytest.raises(AttachError, match=r"carries H2O\(keep=0.5"):
        attach(model, KeyNorm(keep=0.5))


WAYS_OUT = [
    after_a_with_block,
    after_an_exception,
    after_an_exception_in_a_layer,
    after_an_exception_in_the_policy,
    after_a_refusal,
    after_a_refused_attachment,
]


@pytest.mark.parametrize("way", WAYS_OUT, ids=lambda way: way.__name__)
@torch.no_grad()
def test_the_model_is_as_it_was(way):
    model = tiny_decoder("llama", **SMALL)
    before, expected = traces(model), model(words(1, 30)).logits
    way(model)
    assert traces(model) == before
    assert torch.equal(model(words(1, 30)).logits, expected)


@torch.no_grad()
def test_a_failed_cut_does_not_spoil_the_next_text():
    model, fails = tiny_decoder("llama", **SMALL), [True]

    def evict(self, view):
        if view.layer == 1 and fails:
            raise KeyError(fails.pop())
        return H2O.evict(self, view)

    with attach(model, H2O(keep=0.5)):
        expected = model.generate(words(1, 30), max_new_tokens=4, pad_token_id=0)
    with attach(model, type("Flaky", (H2O,), {"evict": evict})(keep=0.5)):
        with pytest.raises(KeyError):
            model(words(1, 30, seed=5))
        got = model.generate(words(1, 30), max_new_tokens=4, pad_token_id=0)
    assert torch.equal(got, expected)


@torch.no_grad()
def test_a_model_is_used_again_and_again():
    model = tiny_decoder("llama", **SMALL)
    outputs = []
    for method in (H2O(keep=0.5), StreamingLLM(keep=0.5), H2O(keep=0.5)):
        attachment = attach(model, method)
        outputs.append(model.generate(words(1, 30), max_new_tokens=8, pad_token_id=0))
        attachment.detach()
        attachment.detach()
    assert torch.equal(outputs[0], outputs[2])


@torch.no_grad()
def test_two_models_with_one_config():
    """Each has its own policy, and neither learns of the other's."""
    config = LlamaConfig(**WORDS)
    first, second = LlamaForCausalLM(config).eval(), LlamaForCausalLM(config).eval()
    plain = [model(words(1, 30)).logits for model in (first, second)]
    with attach(first, H2O(keep=0.5)) as one:
        assert torch.equal(second(words(1, 30)).logits, plain[1])
        with attach(second, StreamingLLM(keep=0.25)) as other:
            for model in (first, second):
                model.generate(words(1, 30), max_new_tokens=4, pad_token_id=0)
        first.generate(words(1, 30), max_new_tokens=4, pad_token_id=0)
        assert torch.equal(second(words(1, 30)).logits, plain[1])
    assert (one.trace.resident[0], other.trace.resident[0]) == (18, 9)
    assert torch.equal(first(words(1, 30)).logits, plain[0])


@torch.no_grad()
def test_a_model_from_the_config_of_one_with_a_policy():
    model = tiny_decoder("llama", **SMALL)
    with attach(model, H2O(keep=0.5)):
        twin = LlamaForCausalLM(copy.deepcopy(model.model.config)).eval()
        twin.load_state_dict(model.state_dict())
    assert torch.equal(twin(words(1, 30)).logits, model(words(1, 30)).logits)


@torch.no_grad()
def test_a_copy_has_a_policy_of_its_own():
    model = tiny_decoder("llama", **SMALL)
    plain = model.generate(words(1, 60), max_new_tokens=8, pad_token_id=0)
    with attach(model, H2O(keep=0.3)) as attachment:
        expected = model.generate(words(1, 60), max_new_tokens=8, pad_token_id=0)
        trace, twin = attachment.trace, copy.deepcopy(model)
    got = twin.generate(words(1, 60), max_new_tokens=8, pad_token_id=0)
    assert torch.equal(got, expected)
    assert attachment.trace is trace
    twin.model._tokenry.detach()
    assert torch.equal(twin.generate(words(1, 60), max_new_tokens=8, pad_token_id=0), plain)


def test_nothing_of_the_cache_is_held_after_detach():
    model, cache = tiny_decoder("llama", **SMALL), DynamicCache()
    with attach(model, H2O(keep=0.5)) as attachment:
        model(words(1, 30), past_key_values=cache)
        layer = weakref.ref(cache.layers[0])
    del cache
    gc.collect()
    assert layer() is None
    assert attachment.trace.resident == (15, 15)
    gone = weakref.ref(attachment)
    del attachment
    gc.collect()
    assert gone() is None


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
        given(attention_mask=torch.zeros(1, 1, 30, 30)),
        r"shape \(1, 1, 30, 30\); give one of two",
    ),
    "a mask too short": (given(attention_mask=torch.ones(1, 20)), r"shape \(1, 20\).*30 tokens"),
    "a mask per kind of layer": (given(attention_mask={"full_attention": None}), "shape dict"),
    "checkpoints": (training, "gradient_checkpointing_disable"),
    "filled before": (plain_then(H2O(keep=0.5)), "filled without this policy"),
    "filled with rotation": (plain_then(Unrotated(keep=0.5)), "filled without this policy"),
    "filled by another": (by(StreamingLLM(keep=0.5), H2O(keep=0.5)), "filled without this policy"),
    "without rotation": (by(Unrotated(keep=0.5), H2O(keep=0.5)), "filled without this policy"),
    "continued unwatched": (with_a_gap, "filled without this policy"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_inputs(case):
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
def test_refused_implementations(implementation, message):
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
