"""Arithmetic coding against exact fractions, and windows that can be decoded."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.ops.arithmetic import (
    END,
    bounds,
    cells,
    spelled,
    stream,
    unstreamed,
    window,
)


def table(seed, even=False):
    """Probabilities that depend on the last byte; some are 0."""
    draw = np.random.default_rng(seed)
    rows = draw.dirichlet(np.full(257, 0.02), 257)

    def predict(prefix):
        return np.full(257, 1 / 257) if even else rows[prefix[-1] if prefix else 256]

    return predict


def likely(predict, seed, length):
    """A text that the predictor finds likely, so that windows hold several bytes."""
    draw, text = np.random.default_rng(seed), b""
    while len(text) < length:
        shares = predict(text)[:256]
        text += bytes([int(draw.choice(256, p=shares / shares.sum()))])
    return text


def interval(predict, symbols, bits):
    """The interval of a sequence, in fractions."""
    low, width = Fraction(0), Fraction(1)
    for place, symbol in enumerate(symbols):
        at = bounds(predict(bytes(symbols[:place])), min(bits, 16))
        shares = [Fraction(b - a, at[-1]) for a, b in pairwise(at)]
        low += width * sum(shares[:symbol], Fraction(0))
        width *= shares[symbol]
    return low, low + width


def inside(bits, low, high):
    """Cells inside an interval, by trying those near it."""
    near = range(int(low * 2**bits) - 1, int(high * 2**bits) + 2)
    return [k for k in near if low <= Fraction(k, 2**bits) and Fraction(k + 1, 2**bits) <= high]


def oracle(predict, text, bits):
    """The longest beginning with a code that no longer one has, and all such codes."""
    symbols, owned = [*text, END], [set(inside(bits, 0, 1))]
    while owned[-1] and len(owned) <= len(symbols):
        owned.append(set(inside(bits, *interval(predict, symbols[: len(owned)], bits))))
    if owned[-1]:
        return sorted(owned[-1]), len(symbols)
    for length in range(len(owned) - 2, 0, -1):
        low, high = interval(predict, symbols[:length], bits)
        shares = bounds(predict(bytes(symbols[:length])), min(bits, 16))
        ends = [low + (high - low) * Fraction(end, shares[-1]) for end in shares]
        taken = {k for one in pairwise(ends) for k in inside(bits, *one)}
        if owned[length] - taken:
            return sorted(owned[length] - taken), length
    raise AssertionError("no symbol fits")


@pytest.mark.parametrize("bits", [9, 10, 12])
def test_windows_equal_exact_fractions(bits):
    predict = table(bits)
    text, at = likely(predict, 1, 12), 0
    while at <= len(text):
        cell, count = window(predict, text[at:], bits, 1000)
        codes, length = oracle(predict, text[at:], bits)
        assert (count, cell) == (length, codes[0])
        at += count


def test_the_lowest_code_would_not_do():
    """Of the codes that fit, the first is often one that a longer text has too."""
    first, wrong, windows = table(3), 0, 0

    def predict(prefix):
        return np.sort(first(prefix))[::-1]

    text, at = likely(predict, 2, 60), 0
    while at < len(text):
        _, count = window(predict, text[at:], 10, 1000)
        low, high = interval(predict, [*text[at:], END][:count], 10)
        got = spelled(predict, inside(10, low, high)[0], 10, 1000)
        wrong += got != text[at : at + count]
        windows, at = windows + 1, at + count
    assert 0 < wrong < windows


@settings(max_examples=40, deadline=None)
@given(text=st.binary(max_size=40), bits=st.sampled_from([9, 11, 16, 24, 32]), even=st.booleans())
def test_every_window_decodes_alone(text, bits, even):
    predict, at, parts = table(7, even), 0, []
    while at <= len(text):
        cell, count = window(predict, text[at:], bits, 20)
        assert count > 0
        assert 0 <= cell < 2**bits
        parts.append(spelled(predict, cell, bits, 20))
        assert parts[-1] == text[at : at + count]
        at += count
    assert b"".join(parts) == text


def halves(prefix):
    """Every border of a symbol is a cell of 16 bits: nothing lies across one at first."""
    shares = np.full(257, 2.0)
    shares[0] = 2**15 - 2 * 256
    return (shares / shares.sum() * (2**16 - 257) - 0) / (2**16 - 257)


@pytest.mark.parametrize("text", [b"\x00" * 50, bytes(range(60)), b"\x00\x01" * 20])
def test_even_borders_leave_no_window_empty(text):
    at = 0
    while at <= len(text):
        cell, count = window(halves, text[at:], 16, 1000)
        assert count > 0
        assert spelled(halves, cell, 16, 1000) == text[at : at + count]
        at += count


@settings(max_examples=30, deadline=None)
@given(text=st.binary(max_size=60), seed=st.integers(0, 9))
def test_a_stream_is_as_short_as_its_probability_says(text, seed):
    predict = table(seed)
    code, bits = stream(predict, text)
    assert unstreamed(predict, code, bits) == text
    nats = 0.0
    for place, symbol in enumerate([*text, END]):
        at = bounds(predict(text[:place]), 16)
        nats -= math.log2((at[symbol + 1] - at[symbol]) / 2**16)
    assert nats <= bits < nats + 2


@settings(max_examples=50, deadline=None)
@given(
    shares=st.lists(st.floats(0, 1), min_size=257, max_size=257).filter(lambda x: sum(x) > 0),
    bits=st.integers(9, 16),
)
def test_bounds_leave_a_share_for_each(shares, bits):
    found = bounds(np.array(shares) / sum(shares), bits)
    assert found[0] == 0
    assert found[-1] == 2**bits
    assert all(a < b for a, b in pairwise(found))


def test_cells_of_an_interval():
    assert list(cells((1, 2, 2), 3)) == [2, 3, 4, 5]
    assert list(cells((1, 1, 3), 2)) == []
