"""What DupMAE hides and shows, its losses against loops, and its vectors of two parts."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.method import Batch
from tokenry.retrieval import DupMAE
from tokenry.retrieval.dupmae import bag_loss

WORDS = torch.tensor([[-1, 0, 0, 1, 2, 2, 2, 3, -1], [-1, 0, 1, -1, -1, -1, -1, -1, -1]])
REAL = torch.tensor([[1] * 9, [1] * 4 + [0] * 5]).bool()


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.integers(0, 999), st.sampled_from([0.3, 0.5, 0.75]))
@settings(deadline=None, max_examples=40)
def test_whole_words_are_hidden(seed, share):
    hidden = DupMAE().hidden(WORDS, share, draw(seed))
    for row, words in zip(hidden.tolist(), WORDS.tolist(), strict=True):
        gone = {w for h, w in zip(row, words, strict=True) if h}
        assert -1 not in gone
        assert all(h == (w in gone) for h, w in zip(row, words, strict=True))
        assert len(gone) == max(1, round((max(words) + 1) * share))


def test_every_word_is_hidden_as_often():
    source = draw()
    drawn = [DupMAE().hidden(WORDS[:1], 0.5, source)[0].float() for _ in range(400)]
    often = torch.stack(drawn).mean(0)
    assert float((often[1:-1] - 0.5).abs().max()) < 0.08
    assert often[[0, -1]].tolist() == [0, 0]


@given(st.integers(0, 999))
@settings(deadline=None, max_examples=40)
def test_no_row_sees_itself_nor_padding(seed):
    seen = DupMAE().visible(WORDS, REAL, draw(seed))
    assert not seen.diagonal(dim1=1, dim2=2).any()
    assert not seen[1, :, 4:].any()
    assert seen[:, 1:, 0].all()  # [CLS] is seen by all others
    for i in range(1, 9):
        shown = [w for j, w in enumerate(WORDS[0].tolist()) if w >= 0 and seen[0, i, j]]
        whole = [w for j, w in enumerate(WORDS[0].tolist()) if w in shown and j != i]
        assert shown == whole  # words are seen whole, but for the row's own token
        assert len(set(shown)) in (1, 2)


def test_rows_see_different_words():
    seen = DupMAE().visible(WORDS[:1], REAL[:1], draw())
    assert len({tuple(row) for row in seen[0].tolist()}) > 4


def bag_by_hand(mu, labels):
    total = 0.0
    for row, words in zip(mu.tolist(), labels.tolist(), strict=True):
        known = [w for w in words if w >= 0]
        norm = math.log(sum(math.exp(x) for x in row))
        total += sum(norm - row[w] for w in set(known)) / max(1, len(known))
    return total / len(mu)


def batch():
    source = draw(1)
    labels = torch.randint(0, 7, (2, 5), generator=source)
    labels[0, 0] = labels[1, 3:] = -100
    masked = labels.masked_fill(torch.rand(2, 5, generator=source) < 0.5, -100)
    views = {name: torch.randn(2, 5, 7, generator=source) for name in ("masked", "decoded")}
    views["bag"] = torch.randn(2, 7, generator=source)
    return Batch(vectors=views, labels={"masked": masked, "decoded": labels})


def mean_by_hand(logits, labels):
    costs = []
    for row, word in zip(logits.flatten(0, 1).tolist(), labels.flatten().tolist(), strict=True):
        if word >= 0:
            costs.append(math.log(sum(math.exp(x) for x in row)) - row[word])
    return sum(costs) / len(costs)


def test_losses_are_those_of_loops():
    data = batch()
    found = DupMAE(decode=0.5, bag=0.1).loss(data)
    by_hand = {
        "masked": mean_by_hand(data.vectors["masked"], data.labels["masked"]),
        "decoded": mean_by_hand(data.vectors["decoded"], data.labels["decoded"]),
        "bag": bag_by_hand(data.vectors["bag"], data.labels["decoded"]),
    }
    for name, value in by_hand.items():
        assert float(found.parts[name]) == pytest.approx(value, abs=1e-5)
    total = by_hand["masked"] + by_hand["decoded"] / 2 + by_hand["bag"] / 10
    assert float(found.total) == pytest.approx(total, abs=1e-5)


def test_repeated_words_count_once_in_the_bag():
    mu = torch.zeros(1, 4)
    once = bag_loss(mu, torch.tensor([[2, 1]]))
    again = bag_loss(mu, torch.tensor([[2, 1, 1, 1]]))
    assert float(once) == pytest.approx(math.log(4))
    assert float(again) == pytest.approx(math.log(4) / 2)


@pytest.mark.parametrize("cosine", [False, True])
def test_similarity_is_that_of_full_vectors(cosine):
    source, method = draw(2), DupMAE(kept=3)

    def side(b):
        return torch.randn(b, 4, generator=source), torch.randn(b, 11, generator=source)

    (q, q_mu), (d, d_mu) = side(3), side(5)
    full = []
    for mu in (q_mu, d_mu):
        values, words = method.words(mu)
        assert values.shape == (len(mu), 3)
        full.append(torch.zeros_like(mu).scatter(1, words, values))
    found = method.similarity((q, *method.words(q_mu)), (d, *method.words(d_mu)), cosine=cosine)
    if cosine:
        q, d, *full = (torch.nn.functional.normalize(x, dim=-1) for x in (q, d, *full))
    assert torch.allclose(found, q @ d.mT + full[0] @ full[1].mT, atol=1e-5)


def test_a_vector_takes_two_bytes_a_channel_and_four_a_word():
    source, method = draw(3), DupMAE(kept=96)
    dense, mu = (torch.randn(3, n, generator=source) for n in (384, 30_522))
    values, words = method.words(mu)
    stored = dense.half(), values.half(), words.short()
    assert sum(part.nbytes for part in stored) == 3 * (384 * 2 + 96 * (2 + 2))
    first, again = (dense, values, words), (stored[0].float(), stored[1].float(), words)
    assert torch.equal(stored[2].long(), words)
    wanted = method.similarity(first, first)
    assert torch.allclose(method.similarity(again, again), wanted, rtol=1e-3, atol=0.1)
