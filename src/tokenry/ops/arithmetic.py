r"""Arithmetic coding in whole numbers of any length: nothing is rounded but the probabilities.

A sequence of symbols owns an interval of [0, 1); the more probable, the wider. Here it is
`(low, width, depth)`, which stands for $[low, low + width) / 2^{depth}$. A code of b bits is a
cell $[k, k + 1) / 2^b$.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

END = 256
"""The symbol behind the last byte of a text."""
SYMBOLS = 257

Interval = tuple[int, int, int]
Bounds = Sequence[int]
"""Where the shares of symbols begin, and the whole at the end."""
Predictor = Callable[[bytes], Float[np.ndarray, " 257"]]
"""Probabilities of each byte, and of the end, behind bytes."""

WHOLE: Interval = (0, 1, 0)


def bounds(shares: Float[np.ndarray, " 257"], bits: int) -> list[int]:
    """Probabilities as whole numbers that add up to 2^bits, none of them 0.

    Args:
        shares: They add up to 1, or nearly.
        bits: At least 9, to hold a share for each symbol.

    >>> bounds(np.eye(257)[3], 9)[:6]
    [0, 1, 2, 3, 259, 260]
    """
    spare = (1 << bits) - SYMBOLS
    found = 1 + np.floor(np.clip(shares, 0, 1) * spare).astype(np.int64)
    found[int(shares.argmax())] += (1 << bits) - int(found.sum())
    return [0, *np.cumsum(found).tolist()]


def narrowed(interval: Interval, at: Bounds, symbol: int) -> Interval:
    """The interval of a sequence with one symbol more."""
    low, width, depth = interval
    bits = at[-1].bit_length() - 1
    first, last = at[symbol], at[symbol + 1]
    return (low << bits) + width * first, width * (last - first), depth + bits


def cells(interval: Interval, bits: int) -> range:
    """The codes of so many bits that lie inside an interval."""
    low, width, depth = interval
    return range(-(-(low << bits) >> depth), ((low + width) << bits) >> depth)


def free_cell(interval: Interval, at: Bounds, bits: int) -> int | None:
    """The first code inside an interval that is inside none of its symbols' intervals.

    Such a code lies across the border between two symbols. A reader who goes on as long as a code
    is inside the interval of a symbol stops there.
    """
    low, width, depth = interval
    inside = cells(interval, bits)
    depth += at[-1].bit_length() - 1
    for bound in at[1:-1]:
        border = ((low << (depth - interval[2])) + width * bound) << bits
        cell = border >> depth
        if cell in inside and cell << depth != border:
            return cell
    return None


def symbol_of(interval: Interval, at: Bounds, cell: int, bits: int) -> int | None:
    """The symbol whose interval a code is inside of; None if there is none."""
    low, width, depth = interval
    place = (cell << depth) - (low << bits)  # where the cell begins, in units of 2^-(depth + bits)
    scale = at[-1].bit_length() - 1
    symbol = bisect_right(at, (place << scale) // (width << bits)) - 1
    return symbol if cell in cells(narrowed(interval, at, symbol), bits) else None


def window(predict: Predictor, text: bytes, bits: int, most: int) -> tuple[int, int]:
    """The code of as much of the beginning of a text as fits, and how many symbols that is.

    The longest beginning is taken that has a code at all, and of its codes one that no longer
    beginning has; if there is none, a symbol less is taken. One symbol always fits: its borders
    are whole cells, so that codes are left over whenever the next does not fit.

    Args:
        predict: It knows nothing but the bytes of this window.
        text: The bytes left.
        bits: Of the code; at least 9.
        most: Symbols of a window.
    """
    scale, interval = min(bits, 16), WHOLE
    before: list[tuple[Interval, Bounds]] = []
    for count in range(min(most, len(text) + 1)):
        at = bounds(predict(text[:count]), scale)
        symbol = text[count] if count < len(text) else END
        longer = narrowed(interval, at, symbol)
        before.append((interval, at))
        if not cells(longer, bits):
            found = ((free_cell(*one, bits), n) for n, one in reversed([*enumerate(before)]))
            return next((cell, n) for cell, n in found if cell is not None)
        interval = longer
    return cells(interval, bits)[0], len(before)


def spelled(predict: Predictor, cell: int, bits: int, most: int) -> bytes:
    """The bytes that the code of a window stands for; an end that it holds is left out."""
    scale, interval, text = min(bits, 16), WHOLE, b""
    for _ in range(most):
        at = bounds(predict(text), scale)
        symbol = symbol_of(interval, at, cell, bits)
        if symbol is None or symbol == END:
            break
        interval = narrowed(interval, at, symbol)
        text += bytes([symbol])
    return text


def stream(predict: Predictor, text: bytes) -> tuple[int, int]:
    """A whole text and its end as one code, the shortest: its value, and its bits."""
    interval = WHOLE
    for place, symbol in enumerate([*text, END]):
        interval = narrowed(interval, bounds(predict(text[:place]), 16), symbol)
    bits = interval[2] - interval[1].bit_length() + 1
    bits += not cells(interval, bits)
    return cells(interval, bits)[0], bits


def unstreamed(predict: Predictor, code: int, bits: int) -> bytes:
    """The text that a code of `stream` stands for."""
    interval, text = WHOLE, b""
    while True:
        at = bounds(predict(text), 16)
        symbol = symbol_of(interval, at, code, bits)
        if symbol is None or symbol == END:
            return text
        interval = narrowed(interval, at, symbol)
        text += bytes([symbol])
