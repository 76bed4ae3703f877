"""Statistics of streams against closed forms and loops."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenry.ops import ngrams

RNG = np.random.default_rng


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_runs_are_counted_as_a_loop_counts_them(n):
    rng = RNG(n)
    rows = [rng.integers(0, 5, size) for size in (40, 0, 3, 1, 25)]
    loop = Counter(tuple(row[i : i + n]) for row in rows for i in range(len(row) - n + 1))
    assert ngrams.ngram_counts(rows, n).tolist() == sorted(loop.values(), reverse=True)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=40))
def test_huffman_lies_between_the_entropy_and_one_bit_more(counts):
    array = np.array(counts)
    bits, least = ngrams.huffman_bits(array), ngrams.entropy(array)
    assert least - 1e-9 <= bits < least + 1


def test_even_draws_have_no_slope_and_all_the_entropy():
    counts = ngrams.ngram_counts([RNG(0).integers(0, 256, 100_000)], 1)
    assert ngrams.likeliest_slope(counts) < 0.06
    assert ngrams.miller_madow(counts) == pytest.approx(8, abs=0.001)
    assert ngrams.entropy(counts) < ngrams.miller_madow(counts)
    assert ngrams.huffman_bits(counts) == pytest.approx(8, abs=0.01)


@pytest.mark.parametrize("slope", [0.7, 1.0, 1.3])
def test_a_zipf_sample_gives_its_exponent_back(slope):
    shares = np.arange(1, 501.0) ** -slope
    ids = RNG(1).choice(500, 100_000, p=shares / shares.sum())
    counts = ngrams.ngram_counts([ids], 1)
    assert ngrams.likeliest_slope(counts) == pytest.approx(slope, abs=0.05)
    assert ngrams.least_squares_slope(counts) == pytest.approx(slope, abs=0.1)


def test_small_streams_are_no_accident():
    one = np.array([5])
    assert ngrams.huffman_bits(one) == ngrams.entropy(one) == ngrams.likeliest_slope(one) == 0
    assert ngrams.least_squares_slope(one) == ngrams.heaps_exponent(np.array([1])) == 0


def test_growth_counts_new_ones():
    rows = [RNG(2).integers(0, 30, 50) for _ in range(3)]
    grown = ngrams.growth(rows).tolist()
    ids = np.concatenate(rows).tolist()
    assert grown == [len(set(ids[: i + 1])) for i in range(len(ids))]
    assert all(a <= b for a, b in pairwise(grown))
    assert ngrams.heaps_exponent(np.arange(1, 1001)) == pytest.approx(1)
