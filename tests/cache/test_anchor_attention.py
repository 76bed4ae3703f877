"""AnchorAttention: the rule, what it saves, and what training with it gives."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention
from torch.nn.functional import scaled_dot_product_attention

from tokenry.cache import AnchorAttention
from tokenry.errors import UsageError
from tokenry.plugs.packing import PackingCollator

BOS = 256


def test_the_mask_is_the_rule_of_the_paper():
    """Written out for two documents and padding."""
    found = AnchorAttention().allow(torch.tensor([[0, 1, 1, 2, 2, -1]]))
    assert found[0].int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 0, 0, 1, 0, 0],
        [1, 0, 0, 1, 1, 0],
        [1, 0, 0, 0, 0, 1],
    ]


@pytest.mark.parametrize("call", ["allow", "segments"])
def test_a_token_left_at_document_0_is_refused(call):
    with pytest.raises(UsageError, match="would be seen by every document"):
        getattr(AnchorAttention(), call)(torch.tensor([[0, 1, 1, 0]]))


def test_the_order_is_the_given_one_or_shuffled():
    lengths = [100, 100, 30]
    plain = AnchorAttention().order(lengths)
    assert [(p.document, p.start, p.stop) for p in plain] == [(0, 0, 100), (1, 0, 100), (2, 0, 30)]
    assert len(AnchorAttention(interleave=True).order(lengths)) > 3


def fastest(work):
    """Best of five runs, in seconds."""
    found = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


@pytest.mark.slow
def test_claim_fewer_pairs_are_less_time():
    """Sixteen documents of 256 tokens, 8 heads of 64: by lengths, and causal over the pack."""
    lengths = [256] * 16
    owners = torch.cat([torch.full((n,), i) for i, n in enumerate([1, *lengths])])[None]
    found = AnchorAttention().segments(owners)
    q, k, v = torch.randn(3, 1, 8, len(found.index), 64)
    n = owners.shape[1]

    def full():
        scaled_dot_product_attention(q[:, :, :n], k[:, :, :n], v[:, :, :n], is_causal=True)

    def apart():
        for a, b in pairwise(found.bounds.tolist()):
            scaled_dot_product_attention(q[:, :, a:b], k[:, :, a:b], v[:, :, a:b], is_causal=True)

    pairs = AnchorAttention().pairs(lengths) / AnchorAttention(pattern="full").pairs(lengths)
    seconds = fastest(apart) / fastest(full)
    print(f"pairs {pairs:.3f}, seconds {seconds:.3f}")
    assert pairs < seconds < 0.5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`")  # the compiler's own import
def test_compiled_flex_attention_skips_blocks(untyped):
    """The same sizes; blocks of 128, so that less is saved than by lengths."""
    compiled = torch.compile(flex_attention)
    q, k, v = torch.randn(3, 1, 8, 4096, 64)
    seconds = []
    for method in (AnchorAttention(), AnchorAttention(pattern="full")):
        collator = PackingCollator(length=4096, anchor=BOS, method=method, form="flex")
        mask = collator([[1] * 256] * 15 + [[1] * 255])["attention_mask"]
        compiled(q, k, v, block_mask=mask)
        seconds.append(fastest(lambda: compiled(q, k, v, block_mask=mask)))  # noqa: B023 - at once
    print(f"seconds {seconds[0] / seconds[1]:.3f}")
    assert seconds[0] < seconds[1] / 2


@pytest.fixture(scope="module")
def recipe(recipes):
    return recipes("anchor_toy")


@pytest.fixture(scope="module")
def held(recipe):
    return recipe.held()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_claim_trains_better_than_full_attention(recipe, held, seed):
    """Same model, same packs, same steps; documents it has not seen, each on its own."""
    anchor, full = (recipe.losses(recipe.shipped(arm, seed), held) for arm in ("anchor", "full"))
    mean, half = recipe.gain(full, anchor)
    print(f"{anchor.mean():.3f}, full {mean:+.4f} [+-{half:.4f}]")
    assert mean - half > 0


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["anchor", "intra", "full"])
def test_training_teaches_letters(recipe, held, arm):
    """The first steps of the recipe, on documents that it has not seen."""
    texts = [text for text in recipe.documents() if text not in held]
    before = recipe.losses(recipe.made(0), held[:20]).mean()
    taught = recipe.train(recipe.made(0), recipe.ARMS[arm], texts, seed=0, steps=20)
    assert recipe.losses(taught, held[:20]).mean() < before - 1
