"""Masks, positions, counts and segments of packs, against loops and closed forms."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops.packing import (
    PADDING,
    attention_mask,
    check_documents,
    interleave,
    pairs,
    places,
    segments,
)

PATTERNS = ("anchor", "intra", "full")
LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=5)


def pack(lengths, padding=0):
    ids = [0] + [i + 1 for i, length in enumerate(lengths) for _ in range(length)]
    return torch.tensor([ids + [PADDING] * padding])


def by_hand(ids, pattern):
    """The mask in two loops over the words of the rule."""
    n = len(ids)
    found = [[False] * n for _ in range(n)]
    for q in range(n):
        for k in range(q + 1):
            same, anchor = ids[q] == ids[k], ids[k] == 0
            found[q][k] = {"full": True, "intra": same, "anchor": same or anchor}[pattern]
    return found


@pytest.mark.parametrize("pattern", PATTERNS)
@given(order=st.lists(st.integers(1, 4), max_size=14), padding=st.integers(0, 3))
def test_mask_equals_brute_force(pattern, order, padding):
    """Tokens of a document need not be neighbours."""
    ids = [0, *order, *[PADDING] * padding]
    found = attention_mask(torch.tensor([ids, ids]), pattern)
    assert found.tolist() == [by_hand(ids, pattern)] * 2


@pytest.mark.parametrize("pattern", PATTERNS)
@given(lengths=LENGTHS)
def test_pairs_are_counted_in_closed_form(pattern, lengths):
    counted = sum(map(sum, by_hand(pack(lengths)[0].tolist(), pattern)))
    assert pairs(lengths, pattern) == counted


def test_pairs_of_a_long_pack():
    """Sixty-four documents of 1023 tokens: the anchor leaves a sixty-fourth of the pairs."""
    lengths = [1023] * 64
    ratio = pairs(lengths, "anchor") / pairs(lengths, "full")
    assert ratio == pytest.approx(1 / 64, rel=0.01)


def test_positions_run_through_or_begin_again():
    ids = torch.tensor([[0, 1, 1, 2, 1, 2, PADDING]])
    assert places(ids, "anchor").tolist() == [[0, 1, 2, 3, 4, 5, 6]]
    assert places(ids, "anchor", reset=True).tolist() == [[0, 1, 2, 1, 3, 2, 1]]
    assert places(ids, "intra", reset=True).tolist() == [[0, 0, 1, 0, 2, 1, 0]]
    assert places(ids, "full").dtype == torch.int64


@pytest.mark.parametrize("pattern", PATTERNS)
@given(order=st.lists(st.integers(1, 4), min_size=1, max_size=14), padding=st.integers(0, 3))
def test_segments_see_what_the_mask_allows(pattern, order, padding):
    """Two rows: every real token reads, in order, exactly the tokens that the mask allows."""
    ids = torch.tensor([[0, *order, *[PADDING] * padding]] * 2)
    n = ids.shape[1]
    allow = torch.block_diag(*attention_mask(ids, pattern).long())
    found = segments(ids, pattern)
    seen = {}
    for start, stop in zip(found.bounds[:-1], found.bounds[1:], strict=True):
        for slot in range(int(start), int(stop)):
            if found.first[slot]:
                seen[int(found.index[slot])] = found.index[start : slot + 1].tolist()
            else:
                assert found.index[slot] % n == 0
    real = [i for i, document in enumerate(ids.flatten().tolist()) if document != PADDING]
    assert sorted(seen) == real
    for token, read in seen.items():
        assert read == torch.nonzero(allow[token]).flatten().tolist()


def test_an_anchor_alone_is_one_segment():
    found = segments(torch.tensor([[0, PADDING]]), "anchor")
    assert (found.index.tolist(), found.bounds.tolist()) == ([0], [0, 1])


@pytest.mark.parametrize("ids", [[1, 1, 2], [0, 1, 0], [0, 0, 1], [0, 1, -2]])
def test_ids_that_would_open_a_document_to_all_are_refused(ids):
    with pytest.raises(UsageError, match="seen by every document"):
        check_documents(torch.tensor([ids]))


@settings(deadline=None)
@given(lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_interleaving_loses_and_reorders_nothing(lengths, seed):
    pieces = interleave(lengths, generator=torch.Generator().manual_seed(seed))
    for document, length in enumerate(lengths):
        own = [piece for piece in pieces if piece.document == document]
        covered = [i for piece in own for i in range(piece.start, piece.stop)]
        assert covered == list(range(length))
        assert len(own) in ((2, 3) if 64 <= length <= 2048 else (1,))


def test_interleaving_mixes_documents():
    pieces = interleave([100] * 8, generator=torch.Generator().manual_seed(0))
    owners = [piece.document for piece in pieces]
    assert owners != sorted(owners)
    assert any(owners[i] != owners[i + 1] for i in range(len(owners) - 1))
