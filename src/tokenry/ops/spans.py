"""Stretches of documents as sets: what is covered, shared, left over, or touched.

A span is (document, start, end) with the end left out; a set of spans is an integer array with
three columns. What unit start and end count is the caller's.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from tokenry.errors import UsageError

Spans = Int[np.ndarray, "_ 3"]
Offsets = Int[np.ndarray, "_ 2"]
Places = Int[np.ndarray, "_"]


def spans(rows: object) -> Spans:
    """Rows of (document, start, end) as an array; no rows are an array without rows.

    Raises:
        UsageError: If a row is not three whole numbers of which none is negative, or ends before
            it starts.
    """
    found = np.asarray(rows)
    if found.size == 0:
        return np.zeros((0, 3), dtype=np.int64)
    if found.ndim != 2 or found.shape[1] != 3 or not np.issubdtype(found.dtype, np.integer):
        raise UsageError("spans: give rows of three whole numbers: document, start, end.")
    wrong = (found < 0).any(1) | (found[:, 2] < found[:, 1])
    if wrong.any():
        raise UsageError(
            f"spans: {tuple(found[wrong][0].tolist())} is no span; document and start are not "
            "negative, and the end is not before the start."
        )
    return found.astype(np.int64)


def total(some: Spans) -> int:
    """Sum of the lengths; what two spans share counts twice."""
    return int((some[:, 2] - some[:, 1]).sum())


def covered(some: Spans) -> int:
    """Length of the union.

    >>> covered(spans([(0, 0, 5), (0, 3, 8), (1, 0, 2)]))
    10
    """
    return total(union(some))


def union(some: Spans) -> Spans:
    """The same stretches in order, without overlap; those that meet are one.

    >>> union(spans([(0, 3, 8), (0, 0, 5), (0, 9, 9)])).tolist()
    [[0, 0, 8]]
    """
    there = some[some[:, 2] > some[:, 1]]
    if not len(there):
        return there
    there = there[np.lexsort((there[:, 1], there[:, 0]))]
    stride = _stride(there)
    start, end = _line(there, stride)
    reach = np.maximum.accumulate(end)
    first = np.r_[True, start[1:] > reach[:-1]]
    last = np.r_[first[1:], True]
    return np.stack((there[first, 0], there[first, 1], reach[last] % stride), 1)


def intersection(some: Spans, others: Spans) -> Spans:
    """What both sets cover.

    >>> intersection(spans([(0, 0, 5), (0, 8, 9)]), spans([(0, 4, 10), (1, 0, 9)])).tolist()
    [[0, 4, 5], [0, 8, 9]]
    """
    a, b = union(some), union(others)
    stride = _stride(a, b)
    (start, end), (low, high) = _line(a, stride), _line(b, stride)
    first = np.searchsorted(high, start, side="right")
    counts = np.maximum(np.searchsorted(low, end, side="left") - first, 0)
    left = np.repeat(np.arange(len(a)), counts)
    begun = np.repeat(np.cumsum(counts) - counts, counts)
    right = np.repeat(first, counts) + np.arange(len(left)) - begun
    return np.stack(
        (a[left, 0], np.maximum(a[left, 1], b[right, 1]), np.minimum(a[left, 2], b[right, 2])), 1
    )


def difference(some: Spans, others: Spans) -> Spans:
    """What the first set covers and the second does not.

    >>> difference(spans([(0, 0, 9)]), spans([(0, 3, 5), (1, 0, 9)])).tolist()
    [[0, 0, 3], [0, 5, 9]]
    """
    a = union(some)
    if not len(a):
        return a
    b = intersection(others, a)
    names = np.unique(a[:, 0])
    edge = _stride(a)
    starts = np.concatenate((b[:, [0, 2]], np.stack((names, np.zeros_like(names)), 1)))
    ends = np.concatenate((b[:, [0, 1]], np.stack((names, np.full_like(names, edge)), 1)))
    starts = starts[np.lexsort(starts.T[::-1])]
    ends = ends[np.lexsort(ends.T[::-1])]
    return intersection(a, np.column_stack((starts, ends[:, 1])))


def touching(some: Spans, others: Spans, *, closed: bool = False) -> Bool[np.ndarray, "_"]:
    """Which spans share something with the others; with `closed`, a common border is enough.

    >>> touching(spans([(0, 0, 5), (0, 5, 9)]), spans([(0, 5, 6)])).tolist()
    [False, True]
    """
    them = union(others)
    stride = _stride(some, them) + 1
    (start, end), (low, high) = _line(some, stride), _line(them, stride)
    if closed:
        first, last = np.searchsorted(high, start), np.searchsorted(low, end, side="right")
    else:
        first, last = np.searchsorted(high, start, side="right"), np.searchsorted(low, end)
    found: Bool[np.ndarray, "_"] = last > first
    return found if closed else found & (end > start)


def in_tokens(start: Places, end: Places, tokens: Offsets) -> Offsets:
    """Stretches of characters as stretches of tokens: all tokens that they share something with.

    Args:
        start: First characters.
        end: Ends, left out.
        tokens: First character and end of each token, in order.

    >>> in_tokens(np.array([0, 4]), np.array([4, 9]), np.array([(0, 3), (4, 7), (8, 9)])).tolist()
    [[0, 1], [1, 3]]
    """
    first = np.searchsorted(tokens[:, 1], start, side="right")
    last = np.searchsorted(tokens[:, 0], end, side="left")
    return np.stack((first, np.where(end > start, np.maximum(first, last), first)), 1)


def _stride(*sets: Spans) -> int:
    """Longer than any document that the spans speak of, so that no two meet on one line."""
    return 1 + max((int(one[:, 2].max(initial=0)) for one in sets), default=0)


def _line(some: Spans, stride: int) -> tuple[Places, Places]:
    """Starts and ends with all documents one behind the other."""
    return some[:, 0] * stride + some[:, 1], some[:, 0] * stride + some[:, 2]
