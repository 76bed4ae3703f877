"""A cache policy leaves no trace on the model, whatever happens meanwhile."""

import copy
import gc
import weakref

import pytest
import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from tokenry import attach
from tokenry.cache import H2O, KeyNorm, SnapKV, StreamingLLM
from tokenry.checks.models import WORDS, tiny_decoder, words
from tokenry.errors import AttachError, UsageError

SMALL = {"num_hidden_layers": 2}


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
def test_the_model_is_as_it_was(way, traces):
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
