"""Chunkers: each against a loop over its own rule."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.checks.chunks import embed
from tokenry.errors import UsageError
from tokenry.method import Document
from tokenry.ops.segments import words
from tokenry.retrieval import (
    ClusterChunks,
    FixedChunks,
    KamradtChunks,
    RecursiveChunks,
    SectionChunks,
    SentenceChunks,
)
from tokenry.retrieval.cluster_chunks import best_cuts


def cut(chunker, text, **seen):
    document = Document(text=text, tokens=words(text), **seen)
    return [text[start:end] for start, end in chunker.chunk(document).tolist()]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 30), st.integers(1, 9), st.integers(0, 8))
def test_fixed_chunks_are_windows(count, size, overlap):
    if overlap >= size:
        with pytest.raises(UsageError, match="is not below size"):
            FixedChunks(size=size, overlap=overlap)
        return
    text = " ".join(f"w{i}" for i in range(count))
    every = [f"w{i}" for i in range(count)]
    wanted, start = [], 0
    while every and (start == 0 or start + overlap < count):
        wanted.append(" ".join(every[start : start + size]))
        start += size - overlap
    assert cut(FixedChunks(size=size, overlap=overlap), text) == wanted


def test_recursive_chunks_take_the_largest_break_that_helps():
    text = "One two. Three four.\n\nFive six seven eight nine ten.\nEleven.\n\nTwelve."
    assert cut(RecursiveChunks(size=100), text) == [text]
    assert cut(RecursiveChunks(size=8), text) == [
        "One two. Three four.",
        "Five six seven eight nine ten.",
        "Eleven.",
        "Twelve.",
    ]
    assert cut(RecursiveChunks(size=3), text)[:3] == ["One two.", "Three four.", "Five six seven"]


def test_what_no_separator_cuts_is_cut_by_characters():
    found = cut(RecursiveChunks(size=2), "§§§§§§§")
    assert "".join(found) == "§§§§§§§"
    assert max(map(len, found)) == 2


def test_sentences_stay_whole_while_they_fit():
    text = 'He said "No." Then he left!  Did she?\n\nYes'
    assert cut(SentenceChunks(size=6), text) == [
        'He said "No."',
        "Then he left!",
        "Did she?\n\nYes",
    ]
    assert cut(SentenceChunks(size=3), "a b c d. e f.") == ["a b c", "d.", "e f."]


@pytest.mark.parametrize(
    "text",
    [
        "Intro.\n\n# One\nA b c.\n\n## Two\nD e f.",
        "Intro.\n\n= One =\nA b c.\n\n == Two == \nD e f.",
        "Intro.\n\nONE\n       A b c.\n\nTWO\n       D e f.",
        "Intro.\n\nOne\n===\nA b c.\n\nTwo\n---\nD e f.",
    ],
)
def test_sections_begin_at_headings_of_all_kinds(text):
    first, one, two = cut(SectionChunks(size=100), text)
    assert first == "Intro."
    assert one.split()[-3:] == ["A", "b", "c."]
    assert two.split()[-3:] == ["D", "e", "f."]


def test_kamradt_cuts_at_the_largest_distances():
    text = "aaa aaa. aaa aae. tttt ttt. ttt tto. sss rrr."
    sentences = ["aaa aaa.", "aaa aae.", "tttt ttt.", "ttt tto.", "sss rrr."]
    vectors = embed(sentences)
    far = 1 - (vectors[1:] * vectors[:-1]).sum(1)
    place = int(far.argmax()) + 1
    found = cut(KamradtChunks(size=8, piece=0, around=0), text, embed=embed)
    assert found == [" ".join(sentences[:place]), " ".join(sentences[place:])]
    every = cut(KamradtChunks(percentile=0.0, piece=0, around=0), text, embed=embed)
    assert len(every) == 4  # all but the smallest distance


def test_kamradt_reads_pieces_with_their_neighbours():
    seen = []

    def note(texts):
        seen.extend(texts)
        return embed(texts)

    cut(KamradtChunks(piece=0, around=1), "A b. C d. E f.", embed=note)
    assert seen == ["A b. C d.", "A b. C d. E f.", "C d. E f."]


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 8), st.integers(1, 5), st.integers(0, 2**31))
def test_the_cuts_are_the_best_of_all(n, most, seed):
    drawn = np.random.default_rng(seed).normal(size=(n, 3))
    vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    alike = vectors @ vectors.T
    alike -= alike[np.triu_indices(n, 1)].mean()
    np.fill_diagonal(alike, 0)

    def worth(first):
        edges = [*first, n]
        return sum(alike[a:b, a:b].sum() for a, b in pairwise(edges))

    options = [
        (0, *rest)
        for count in range(n)
        for rest in combinations(range(1, n), count)
        if max(np.diff([0, *rest, n])) <= most
    ]
    found = best_cuts(vectors, most)
    assert tuple(found.tolist()) in options
    assert worth(found.tolist()) == pytest.approx(max(map(worth, options)))


def test_cluster_chunks_end_where_the_topic_does():
    text = "aaa aaa aaa. aae aaa aaa. ttt ttt ttt. tto ttt ttt."
    found = cut(ClusterChunks(size=16, piece=4), text, embed=embed)
    assert found == ["aaa aaa aaa. aae aaa aaa.", "ttt ttt ttt. tto ttt ttt."]


@pytest.mark.parametrize("chunker", [KamradtChunks(size=10), ClusterChunks()])
def test_meaning_needs_an_encoder(chunker):
    with pytest.raises(UsageError, match="name one, such as encoder="):
        cut(chunker, "word " * 200)


def test_pieces_are_smaller_than_chunks():
    with pytest.raises(UsageError, match="piece=50 is larger than size=20"):
        ClusterChunks(size=20)
