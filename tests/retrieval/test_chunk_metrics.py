"""Chunk metrics against sets of characters, against the published code, and what they show."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenry
from tokenry.data.evidence import chunking
from tokenry.errors import UsageError
from tokenry.ops.segments import words
from tokenry.ops.spans import spans
from tokenry.retrieval import ChunkMetrics

CUTS = st.lists(st.integers(1, 39), max_size=8, unique=True).map(sorted)
EVIDENCE = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 35), st.integers(1, 9)), min_size=1, max_size=4
).map(lambda rows: [(d, s, min(40, s + n)) for d, s, n in rows])


def characters(rows):
    return {(d, at) for d, start, end in rows for at in range(start, end)}


def pieces(cuts):
    """Two documents of 40 characters, cut into chunks that do not overlap."""
    edges = [0, *cuts, 40]
    return [(d, a, b) for d in (0, 1) for a, b in itertools.pairwise(edges)]


def scores(metrics, ranked, chunks, evidence):
    found = metrics.measure(spans(ranked), spans(chunks), spans(evidence))
    return found.precision, found.recall, found.iou, found.omega


@settings(deadline=None, max_examples=60)
@given(CUTS, EVIDENCE, st.randoms(), st.integers(0, 6))
def test_scores_are_those_of_sets_of_characters(cuts, evidence, draw, k):
    chunks = pieces(cuts)
    holding = [c for c in chunks if characters([c]) & characters(evidence)]
    ranked = draw.sample(chunks, len(chunks))
    returned = characters(ranked[: k or min(20, len(holding))])
    wanted, held = characters(evidence), characters(holding)
    assert scores(ChunkMetrics(k=k), ranked, chunks, evidence) == (
        len(returned & wanted) / len(returned),
        len(returned & wanted) / len(wanted),
        len(returned & wanted) / len(returned | wanted),
        len(held & wanted) / len(held | wanted),
    )


@settings(deadline=None, max_examples=60)
@given(CUTS, EVIDENCE)
def test_retrieving_exactly_what_holds_evidence_reaches_omega(cuts, evidence):
    chunks = pieces(cuts)
    holding = [c for c in chunks if characters([c]) & characters(evidence)]
    precision, recall, iou, omega = scores(ChunkMetrics(k=100), holding, chunks, evidence)
    assert recall == 1
    assert precision == iou == omega


@settings(deadline=None, max_examples=60)
@given(CUTS, EVIDENCE, st.randoms())
def test_iou_is_never_above_precision_or_recall(cuts, evidence, draw):
    chunks = pieces(cuts)
    ranked = draw.sample(chunks, len(chunks))
    found = scores(ChunkMetrics(k=3), ranked, chunks, evidence)
    assert found[2] <= min(found[:2])


def test_perfect_chunks_are_perfect_unless_a_border_counts():
    chunks, evidence = [(0, 0, 10), (0, 10, 20), (0, 20, 30)], [(0, 10, 20)]
    assert scores(ChunkMetrics(k=0), [chunks[1]], chunks, evidence) == (1, 1, 1, 1)
    # As published, both neighbours touch the evidence and count against the chunker.
    assert scores(ChunkMetrics(k=1, compat="chroma"), [chunks[1]], chunks, evidence)[3] == 1 / 3


def test_what_two_chunks_share_counts_once_unless_as_published():
    chunks, evidence = [(0, 0, 10), (0, 5, 15)], [(0, 5, 10)]
    assert scores(ChunkMetrics(), chunks, chunks, evidence)[0] == pytest.approx(5 / 15)
    assert scores(ChunkMetrics(compat="chroma"), chunks, chunks, evidence)[0] == 5 / 20


def test_nothing_found_is_nothing_and_nothing_to_find_is_refused():
    chunks = [(0, 0, 10), (0, 20, 30)]
    assert scores(ChunkMetrics(), [], chunks, [(0, 12, 14)]) == (0, 0, 0, 0)
    with pytest.raises(UsageError, match="has no evidence"):
        scores(ChunkMetrics(), chunks, chunks, [(0, 3, 3)])


def test_tokens_that_a_span_cuts_belong_to_it():
    text = "one two three"
    found = ChunkMetrics().in_unit(spans([(0, 2, 6), (1, 0, 3)]), [words(text)] * 2)
    assert found.tolist() == [[0, 0, 2], [1, 0, 1]]
    plain = ChunkMetrics(unit="characters").in_unit(spans([(0, 2, 6)]), [])
    assert plain.tolist() == [[0, 2, 6]]


@pytest.mark.parametrize(
    ("k", "published"),
    [
        (5, (0.14088888888888887, 0.6701580595973493, 0.12331766247508752, 0.44416050878324187)),
        (0, (0.2295165358878594, 0.6708598435321115, 0.20654437109040463, 0.44416050878324187)),
    ],
)
def test_the_published_code_gives_the_same_means(k, published):
    """Golden: chunking_evaluation d451fc4, `_full_precision_score` and
    `_scores_from_dataset_and_retrievals`, with these chunks and these rankings."""
    asked = chunking()
    chunks = [
        (number, start, min(start + 200, len(one.text)))
        for number, one in enumerate(asked.documents.examples)
        for start in range(0, len(one.text), 150)
    ]
    found = []
    for question in asked.questions:
        document, start, end = question.evidence[0]
        middle = (start + end) // 2
        at = next(i for i, c in enumerate(chunks) if c[0] == document and c[1] <= middle < c[2])
        ranked = [chunks[(at + 7 * j * j - j) % len(chunks)] for j in range(20)]
        metrics = ChunkMetrics(k=k, compat="chroma", unit="characters")
        found.append(scores(metrics, ranked, chunks, list(question.evidence)))
    assert np.mean(found, axis=0) == pytest.approx(published, abs=1e-12)


@pytest.fixture(scope="module")
def sizes():
    """Chunks of 10 to 400 words of two real documents, ranked by BM25 for 132 questions."""
    names = [f"fixed-chunks(size={size})" for size in (10, 20, 50, 100, 200, 400)]
    return tokenry.chunks("chunking", chunkers=names).chunkers


def test_claim_small_chunks_raise_precision_and_cost_recall(sizes):
    precision = [one.figures["precision"].value for one in sizes]
    recall = [one.figures["recall"].value for one in sizes]
    assert precision == sorted(precision, reverse=True)
    assert recall == sorted(recall)
    assert {one.verdicts["recall"] for one in sizes[1:]} == {"better"}
    assert precision[0] > 4 * precision[4]


def test_claim_omega_falls_as_chunks_grow(sizes):
    omega = [one.figures["omega"].value for one in sizes]
    assert omega == sorted(omega, reverse=True)
    assert {one.verdicts["omega"] for one in sizes[1:]} == {"worse"}
