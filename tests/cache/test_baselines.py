"""Random slots, and what padding in front of a text does to all policies: nothing."""

import pytest
import torch
from transformers import DynamicCache

from tokenry import attach
from tokenry.cache import H2O, KeyNorm, RandomSlots, SnapKV, StreamingLLM
from tokenry.checks.models import tiny_decoder, words


def test_random_slots_are_uniform_and_differ(view):
    """Each slot is kept about equally often; heads, layers and seeds choose differently."""
    counts, choices = torch.zeros(24), set()
    for seed in range(100):
        for layer in range(2):
            keep = (
                RandomSlots(keep=0.5, recent=0, seed=seed).evict(view(count=12, layer=layer)).keep
            )
            assert torch.equal(keep[0], keep[1])
            counts += torch.bincount(keep[0].flatten(), minlength=24)
            choices |= {tuple(row) for row in keep[0].tolist()}
    assert counts.sum() == 100 * 2 * 2 * 12
    # Binomial(400, 1/2): a standard deviation of 10.
    assert (counts - 200).abs().max() < 45
    assert len(choices) == 400


PADDED = [
    StreamingLLM(keep=0.75),
    RandomSlots(keep=0.75, recent=8),
    KeyNorm(keep=0.75, recent=8),
    H2O(keep=0.75),
    SnapKV(keep=0.75, last=8),
]


@pytest.mark.parametrize("method", PADDED, ids=lambda method: method.card.slug)
@torch.no_grad()
def test_padding_in_front_moves_a_text_and_no_more(method):
    """A text of 96 tokens behind 24 of padding keeps the same 72 tokens that it keeps alone."""
    model, ids = tiny_decoder("llama").double(), words(1, 96)
    with attach(model, method) as attachment:
        cache = DynamicCache()
        model(ids, past_key_values=cache)
        alone = attachment.trace.tokens
        expected = model(words(1, 4, seed=1), past_key_values=cache).logits
    longer = torch.cat([torch.zeros(1, 24, dtype=torch.long), ids], 1)
    mask = torch.cat([torch.zeros(1, 24), torch.ones(1, 96)], 1).long()
    places = (mask.cumsum(1) - 1).clamp(min=0)
    with attach(model, type(method)(**{**vars(method), "keep": 0.6})) as attachment:
        cache = DynamicCache()
        model(longer, attention_mask=mask, position_ids=places, past_key_values=cache)
        padded = attachment.trace.tokens
        mask = torch.cat([mask, torch.ones(1, 4, dtype=torch.long)], 1)
        got = model(
            words(1, 4, seed=1),
            attention_mask=mask,
            position_ids=torch.arange(96, 100)[None],
            past_key_values=cache,
        ).logits
    assert all(torch.equal(a + 24, b) for a, b in zip(alone, padded, strict=True))
    torch.testing.assert_close(got, expected, atol=1e-10, rtol=1e-10)
