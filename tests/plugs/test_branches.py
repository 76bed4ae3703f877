"""One cache for a tree of tokens: the same scores as each branch read alone."""

import pytest
import torch

from tokenry import attach
from tokenry.checks.models import tiny_decoder
from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.plugs.branches import BranchingCache

PROMPT = [5, 9, 2, 30, 7]


@pytest.fixture(params=["llama", "gpt2", "qwen3", "gemma"])
def model(request):
    return tiny_decoder(request.param).double()


@torch.no_grad()
def alone(model, branch):
    ids = torch.tensor([branch.tokens])
    return model(ids, use_cache=False).logits[0, -1].log_softmax(-1)


def test_branches_do_not_see_each_other(model):
    cache = BranchingCache(model, "test")
    trunk, scores = cache.feed(PROMPT)
    torch.testing.assert_close(scores, alone(model, trunk))
    first, second = trunk.child(3), trunk.child(4)
    deep = first.child(8)
    found = cache.ask([first, second, deep])
    for branch, row in zip((first, second, deep), found, strict=True):
        torch.testing.assert_close(row, alone(model, branch))
    late = second.child(1).child(2)
    found = cache.ask([late.parent, late])
    torch.testing.assert_close(found[1], alone(model, late))
    assert cache.read == len(PROMPT) + 5


def test_eager_attention_gets_the_same(model):
    model.set_attn_implementation("eager")
    cache = BranchingCache(model.float(), "test")
    trunk, _ = cache.feed(PROMPT)
    branches = [trunk.child(3), trunk.child(4)]
    for branch, row in zip(branches, cache.ask(branches), strict=True):
        torch.testing.assert_close(row.float(), alone(model, branch), atol=1e-4, rtol=1e-4)


def test_what_is_forgotten_does_not_change_the_rest(model):
    cache = BranchingCache(model, "test")
    trunk, _ = cache.feed(PROMPT)
    keep = trunk.child(1).child(2)
    cache.ask([keep.parent, *(trunk.child(t) for t in range(10, 60)), keep])
    cache.keep([keep, keep.parent.child(3)])
    assert len(cache) == len(PROMPT) + 2
    after = keep.child(4)
    torch.testing.assert_close(cache.ask([after])[0], alone(model, after))
    assert trunk.child(10).slot == -1


def test_a_text_with_the_same_beginning_is_read_from_where_it_differs(model):
    cache = BranchingCache(model, "test")
    trunk, _ = cache.feed(PROMPT)
    cache.ask([trunk.child(3)])
    before = cache.read
    other, scores = cache.feed([*PROMPT[:3], 8, 8])
    assert cache.read - before == 2
    torch.testing.assert_close(scores, alone(model, other))
    assert len(cache) == 5
    another, scores = cache.feed([1, 2])
    torch.testing.assert_close(scores, alone(model, another))


def test_the_past_of_one_branch_is_its_own(model):
    cache = BranchingCache(model, "test")
    trunk, _ = cache.feed(PROMPT)
    first, second = trunk.child(3), trunk.child(4)
    cache.ask([first, second])
    past = cache.past(second)
    with torch.no_grad():
        row = model(torch.tensor([[6]]), past_key_values=past).logits[0, -1].log_softmax(-1)
    torch.testing.assert_close(row, alone(model, second.child(6)))
    torch.testing.assert_close(cache.ask([second.child(6)])[0], row)


def test_too_long_a_text_is_refused():
    cache = BranchingCache(tiny_decoder("llama", max_position_embeddings=8), "ByteLM")
    with pytest.raises(UsageError, match="ByteLM: the text takes more than the 8 tokens"):
        cache.feed(list(range(9)))


def test_windows_are_refused():
    with pytest.raises(UnsupportedModelError, match="sliding-window or linear attention"):
        BranchingCache(tiny_decoder("gemma3"), "ByteLM")


def test_an_attached_policy_is_refused():
    model = tiny_decoder("llama")
    with (
        attach(model, "streaming-llm", keep=0.5),
        pytest.raises(UsageError, match="something is attached to this LlamaForCausalLM"),
    ):
        BranchingCache(model, "ByteLM")


def test_models_that_are_not_told_positions_are_refused():
    from transformers import BloomConfig, BloomForCausalLM

    model = BloomForCausalLM(BloomConfig(vocab_size=40, hidden_size=8, n_layer=1, n_head=2))
    with pytest.raises(UnsupportedModelError, match="finds positions by itself"):
        BranchingCache(model, "ByteLM")
