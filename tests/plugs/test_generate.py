"""Tokens that are fed in few passes come to what they come to one by one."""

import pytest
import torch

from tokenry.cache import D2O, H2O, RandomSlots, SnapKV, StreamingLLM, TokenSelect
from tokenry.checks.models import tiny_decoder, words
from tokenry.plugs.attach import attach
from tokenry.plugs.generate import Feed

POLICIES = [
    StreamingLLM(keep=0.3),
    RandomSlots(keep=0.5),
    H2O(keep=0.5),
    SnapKV(keep=0.25, last=8),
    D2O(keep=0.5, early=1, late=0),
    D2O(keep=0.3, early=0, late=0, merge="off"),
    TokenSelect(keep=0.4, chunk=16),
]


@pytest.fixture(scope="module")
def model():
    return tiny_decoder("llama", num_hidden_layers=3).double()


def feed(model, real, given, one_by_one):
    """The scores after each given token, the cache, and how many passes the model made."""
    passes = []
    hook = model.register_forward_pre_hook(lambda *_: passes.append(1))
    feeding = Feed(model)
    feeding(words(2, 120), real)
    if one_by_one:
        scores = torch.stack([feeding(token[:, None]) for token in given.T], 1)
    else:
        scores = feeding.given(given)
    hook.remove()
    return scores, feeding.cache, len(passes) - 1


@pytest.mark.parametrize("padded", [0, 17])
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.describe())
@torch.no_grad()
def test_few_passes_come_to_what_many_do(model, policy, padded):
    real = torch.ones(2, 120, dtype=torch.bool)
    real[0, :padded] = False
    given = words(2, 40, seed=1)
    with attach(model, policy) as one:
        expected, slowly, many = feed(model, real, given, one_by_one=True)
        last = one.trace
    with attach(model, policy) as other:
        got, quickly, few = feed(model, real, given, one_by_one=False)
    torch.testing.assert_close(got, expected, atol=1e-9, rtol=1e-9)
    assert many == 40
    assert few == 40 if policy.selects else few < 30
    for mine, theirs in zip(quickly.layers, slowly.layers, strict=True):
        assert torch.equal(mine.tokens, theirs.tokens)
        torch.testing.assert_close(mine.keys, theirs.keys)
        torch.testing.assert_close(mine.values, theirs.values)
    assert other.trace.resident == last.resident
    assert other.trace.share == pytest.approx(last.share)


@pytest.mark.parametrize("policy", [None, StreamingLLM(keep=1.0), H2O(keep=0.995)])
@torch.no_grad()
def test_without_a_cut_one_pass_does(model, policy):
    attachment = None if policy is None else attach(model, policy)
    real = torch.ones(2, 120, dtype=torch.bool)
    scores, _, passes = feed(model, real, words(2, 30, seed=1), one_by_one=False)
    if attachment is not None:
        attachment.detach()
    assert passes == 1
    whole = model(torch.cat([words(2, 120), words(2, 30, seed=1)], 1)).logits[:, 120:]
    torch.testing.assert_close(scores, whole, atol=1e-9, rtol=1e-9)
