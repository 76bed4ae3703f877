"""The reference policies against loops: which slots stay."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from tokenry import attach
from tokenry.cache import H2O, KeyNorm, RandomSlots, SnapKV, StreamingLLM
from tokenry.checks.models import tiny_decoder, words
from tokenry.errors import UsageError

MANY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def real_slots(view, i):
    s = view.tokens.shape[-1]
    return [j for j in range(s) if view.valid is None or view.valid[i, 0, j]]


def best(score, real, count, first=0, last=0):
    """`count` slots, the first and last real ones and those of highest score; then padding."""
    forced = [*real[:first], *(real[-last:] if last else [])]
    rest = sorted((j for j in real if j not in forced), key=lambda j: (-score[j], j))
    padding = [j for j in range(len(score)) if j not in real]
    return sorted(list(dict.fromkeys(forced + rest + padding))[:count])


def expected(view, rule):
    return [
        rule(i, head, real_slots(view, i)) for i in range(2) for head in range(view.keys.shape[1])
    ]


def kept(method, view):
    return method.evict(view).keep.flatten(0, 1).tolist()


CASE = (st.integers(0, 10_000), st.integers(8, 18), st.booleans())


@MANY
@given(*CASE)
def test_streaming_llm(view, left_padded, seed, count, padded):
    made = view(seed, count, valid=left_padded if padded else None)
    want = expected(made, lambda i, head, real: best(range(24), real, count, first=3))
    assert kept(StreamingLLM(keep=0.5, sinks=3), made) == want


@MANY
@given(*CASE)
def test_key_norm(view, left_padded, seed, count, padded):
    made = view(seed, count, valid=left_padded if padded else None)

    def rule(i, head, real):
        score = [-float(sum(x * x for x in key)) for key in made.keys[i, head].tolist()]
        return best(score, real, count, last=4)

    assert kept(KeyNorm(keep=0.5, recent=4), made) == expected(made, rule)


@MANY
@given(*CASE, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_h2o(view, left_padded, seed, count, padded, recent):
    made = view(seed, count, valid=left_padded if padded else None)

    def rule(i, head, real):
        score = (made.mass[i, 2 * head].double() + made.mass[i, 2 * head + 1].double()).tolist()
        return best(score, real, count, last=round(count * recent))

    assert kept(H2O(keep=0.5, recent=recent), made) == expected(made, rule)


@MANY
@given(*CASE, st.sampled_from([1, 3, 5]))
def test_snapkv(view, left_padded, seed, count, padded, pool):
    """The weights of the window's rows, averaged, then smoothed over real neighbours."""
    made = view(seed, count, valid=left_padded if padded else None)

    def rule(i, head, real):
        total = np.zeros(24)
        for h in (2 * head, 2 * head + 1):
            for row, token in enumerate(made.query_tokens[i].tolist()):
                power = np.zeros(24)
                for j in real:
                    if j <= token:
                        power[j] = np.exp(
                            float(made.queries[i, h, row] @ made.keys[i, head, j]) / 2
                        )
                total += power / power.sum()
        near = [[k for k in real if abs(k - j) <= pool // 2] for j in range(24)]
        score = [sum(total[k] for k in ks) / max(1, len(ks)) for ks in near]
        return best(score, real, count, last=6)

    assert kept(SnapKV(keep=0.5, last=6, pool=pool), made) == expected(made, rule)


def test_snapkv_does_not_listen_to_padding(view):
    """Queries of padding have no say, and a text shorter than the window is no accident."""
    made = view(count=12)
    tokens = made.query_tokens.clone()
    tokens[1, :4] = -1
    made.asked["query_tokens"] = tokens
    before = kept(SnapKV(keep=0.5, last=6), made)
    made.queries[1, :, :4] = 100.0
    assert kept(SnapKV(keep=0.5, last=6), made) == before
    made.queries[1, :, 4:] *= -3.0
    assert kept(SnapKV(keep=0.5, last=6), made) != before


def test_an_even_pool_has_no_middle():
    with pytest.raises(UsageError, match="SnapKV: pool=4 is even"):
        SnapKV(pool=4)


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
