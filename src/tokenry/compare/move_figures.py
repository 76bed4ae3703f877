"""Figures of moves to another tokenizer: costs with intervals, and rows by where they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tokenry.compare.moves import Cost, Held, Rows
from tokenry.compare.records import Interval, Verdict
from tokenry.compare.splits import pieces_of
from tokenry.compare.stats import verdict
from tokenry.method import Origin, Vocab
from tokenry.ops.resampling import intervals_of_totals
from tokenry.plugs.bits import Bits, parts
from tokenry.plugs.moving import Moved

Array = NDArray[np.float64]

SHOWN = 600
"""Bytes at the beginning of a text that are shown in tokens."""
EXAMPLES = 12
"""Rows of one origin that are named."""
PARENTS = 6
"""Old tokens that are named with a row."""


def cost(bits: Bits, before: Bits | None, seed: int) -> Cost:
    """What texts cost, and what that is against what the same texts cost before.

    Args:
        bits: What they cost.
        before: What they cost before; None when this is before.
        seed: Of the resampling of texts.
    """
    if before is None:
        per_byte, _, _ = _against(bits, bits, seed)
        return Cost(bits.bits, per_byte, unknown=bits.unknown)
    return Cost(bits.bits, *_against(bits, before, seed), bits.unknown)


def rival(bits: Bits, first: Bits, seed: int) -> tuple[Interval, Verdict]:
    """Bits per byte less those of the first method, on the same texts."""
    return _against(bits, first, seed)[1:]


def _against(bits: Bits, other: Bits, seed: int) -> tuple[Interval, Interval, Verdict]:
    columns = np.array([bits.bits, other.bits, bits.sizes], dtype=np.float64).T

    def measures(sums: Array) -> Array:
        made: Array = np.stack([sums[:, 0], sums[:, 0] - sums[:, 1]], 1) / sums[:, 2:]
        return made

    per_byte, difference = intervals_of_totals(columns, measures, seed)
    gone = columns[:, 0] - columns[:, 1]
    return per_byte, difference, verdict(gone, difference, None, higher_is_better=False)


def saved(before: Bits, after: Bits, seed: int) -> Interval:
    """Share of the tokens that the new tokenizer saves."""
    columns = np.array([before.tokens, after.tokens], dtype=np.float64).T
    return intervals_of_totals(columns, lambda sums: 1 - sums[:, 1:] / sums[:, :1], seed)[0]


def held(texts: Sequence[str], moved: Moved, before: Bits, after: Bits) -> tuple[Held, ...]:
    """The texts with their tokens, the beginnings in pieces."""
    starts = [next(parts(text, SHOWN)) for text in texts]
    cuts = [
        [pieces_of(vocab, row) for row in vocab.scribe.encode(starts)]
        for vocab in (moved.source, moved.target)
    ]
    counts = zip(before.sizes, before.tokens, after.tokens, *cuts, strict=True)
    return tuple(Held(*one) for one in counts)


def rows(moved: Moved, texts: Sequence[str]) -> tuple[Rows, ...]:
    """The rows by origin, those first that the texts use most; origins without rows are left out.

    Args:
        moved: The moved model.
        texts: Texts that nothing was learned from.
    """
    used = Counter(token for row in moved.target.scribe.encode(texts) for token in row)
    found = []
    for origin in Origin:
        mine = (moved.rows.origin == int(origin)).nonzero()[:, 0].tolist()
        most = sorted(mine, key=lambda token: (-used[token], token))[:EXAMPLES]
        named = tuple(
            (
                _piece(moved.target, token),
                tuple(_piece(moved.source, one) for one in moved.rows.parents[token][:PARENTS]),
            )
            for token in most
        )
        if mine:
            found.append(
                Rows(origin.name.lower(), len(mine), sum(used[token] for token in mine), named)
            )
    return tuple(found)


def _piece(vocab: Vocab, token: int) -> str:
    """A token's text; what it is called where that is no text by itself."""
    spelled = vocab.spelled[token]
    try:
        return vocab.pieces[token] if spelled is None else spelled.decode()
    except UnicodeDecodeError:
        return vocab.pieces[token]
