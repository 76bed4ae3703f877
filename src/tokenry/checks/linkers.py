"""Checks of what a `Linker` makes of two small tables with gaps, ties and several scripts."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from tokenry import catalog
from tokenry.checks.declaration import variants
from tokenry.method import Aids, Linker, Matcher, Scored, Side
from tokenry.method.linker import Scores

LEFT = (
    ("arnie mortons of chicago", "los angeles"),
    ("arts delicatessen", "studio city"),
    (None, None),
    ("hôtel bel air", None),
    ("東京 ラーメン", "west la"),
    ("arts delicatessen", "studio city"),
    ("مطعم دمشق", "anaheim"),
    ("x", None),
    ("👩‍🍳 kitchen", "bel air"),
)
RIGHT = (
    ("art's deli", "studio city"),
    ("arnie morton s of chicago", "los angeles"),
    ("bel air hotel", "bel air"),
    (None, None),
    ("bel air hotel", "bel air"),
    ("東京 拉麺", None),
    ("مطعم دمشق", "anaheim"),
    ("arts delicatessen", "studio city"),
    (None, "los angeles"),
    ("zürich café", "zürich"),
)
ALL = 1000
CLOSE = 1e-6
WIDTH = 48

Row = tuple[str | None, str | None]


def side(rows: Sequence[Row]) -> Side:
    """A table with the key columns `name` and `city`."""
    names, cities = ([row[at] for row in rows] for at in (0, 1))
    return Side(columns={"name": names, "city": cities}, keys=("name", "city"), count=len(rows))


def vectors(things: Sequence[Any]) -> Float[np.ndarray, "n d"]:
    """Vectors of length one of anything, the same for the same: hashed runs of characters."""
    found = np.zeros((len(things), WIDTH), np.float32)
    for row, thing in zip(found, things, strict=True):
        text = f" {thing} "
        for at in range(len(text) - 1):
            row[zlib.crc32(text[at : at + 2].encode()) % WIDTH] += 1
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


class Witness:
    """A referee that answers by a digest of the prompt."""

    def yes(self, prompts: Sequence[str]) -> Scores:
        """Some probability, always the same for a prompt."""
        return np.array([zlib.crc32(one.encode()) / 2**32 for one in prompts])

    def options(self, prompts: Sequence[str], count: int) -> Float[np.ndarray, "m c"]:
        """Some probabilities that add up to one."""
        seen = [[1 + zlib.crc32(f"{i}{one}".encode()) for i in range(count)] for one in prompts]
        table = np.array(seen, dtype=np.float64).reshape(len(prompts), count)
        table /= table.sum(1, keepdims=True)
        return table

    def write(self, prompts: Sequence[str], tokens: int) -> list[str]:
        """A few words of the prompt."""
        return [" ".join(one.split()[-3:]) for one in prompts]


def ground(
    cls: type[Linker], left: Sequence[Row] = LEFT, right: Sequence[Row] | None = RIGHT
) -> tuple[Side, Side, Aids]:
    """Two tables, or one twice, and every aid, with what the class adds to them."""
    one = side(left)
    other = one if right is None else side(right)
    aids = Aids(embed=vectors, picture=vectors, referee=Witness(), linker=catalog.make)
    return cls.sample(one, other, aids)


def prepared(
    linker: Linker, left: Sequence[Row] = LEFT, right: Sequence[Row] | None = RIGHT
) -> tuple[Matcher, Side, Side]:
    """A matcher of two tables, or of one with itself, and the tables."""
    one, other, aids = ground(type(linker), left, right)
    return linker.prepare(one, other, aids), one, other


def grid(matcher: Matcher, left: int, right: int) -> Float[np.ndarray, "n m"]:
    """The score of every pair."""
    rows, columns = (some.ravel() for some in np.indices((left, right)))
    return np.asarray(matcher.score(rows, columns), dtype=np.float64).reshape(left, right)


def each(look: Callable[[Linker], Iterator[str]]) -> Callable[[type[Linker]], str]:
    """A check that looks at every variant of a class, and names the one where it fails."""

    def check(cls: type[Linker]) -> str:
        for linker in variants(cls):
            for message in look(linker):
                return f"{linker.describe()}: {message}"
        return ""

    check.__doc__ = look.__doc__
    return check


@each
def scores(linker: Linker) -> Iterator[str]:
    """One score per pair, NaN where a side is empty and nowhere else; none is infinite."""
    matcher, left, right = prepared(linker)
    if not np.isfinite(matcher.threshold):
        yield f"its threshold is {matcher.threshold}; a matcher always has one."
    table = grid(matcher, left.count, right.count)
    empty = [[text is None for text in one.texts()] for one in (left, right)]
    gaps = np.logical_or.outer(*empty)
    if not np.isnan(table[gaps]).all():
        yield "a pair with an empty side has a score; it scores NaN."
    if not np.isfinite(table[~gaps]).all():
        yield "a score of two texts is not finite."
    highest = linker.highest(ground(type(linker))[2])
    if (table[~gaps] > highest + CLOSE).any():
        yield f"a score is above {highest:g}, which it says is the highest."
    none = np.zeros(0, np.int64)
    if len(matcher.score(none, none)):
        yield "no pairs get scores."


@each
def nearest(linker: Linker) -> Iterator[str]:
    """`nearest` gives pairs that are there, once, sorted, scored as `score` does, the best ones."""
    matcher, left, right = prepared(linker)
    table = grid(matcher, left.count, right.count)
    for k in (1, 3, ALL):
        found = matcher.nearest(k)
        yield from _wrong(found, table, k)
    every = matcher.nearest(ALL)
    least = float(np.quantile(every.score, 0.8)) if len(every.score) else 0.0
    wanted = every.score >= least
    above = matcher.nearest(ALL, least)
    if not _same(above, Scored(*(column[wanted] for column in every))):
        yield f"nearest(k, {least:g}) is not what of nearest(k) scores so much."
    for row in range(left.count):
        best = every.score[every.left == row][:3]
        if not np.allclose(_of(matcher.nearest(3), row), best, atol=CLOSE):
            yield f"nearest(3) does not give the best three of row {row}."


@each
def portions(linker: Linker) -> Iterator[str]:
    """Some left rows find what they find among all, so that a search can go on where it was."""
    matcher, left, _ = prepared(linker)
    whole, least = matcher.nearest(3), matcher.threshold
    if matcher.portion < 1:
        yield f"its portion is {matcher.portion}, and a search takes one row at least at a time."
    again, _, _ = prepared(linker)
    for start in range(0, left.count, 2):
        own = (whole.left >= start) & (whole.left < start + 2)
        wanted = Scored(*(column[own] for column in whole))
        some = again.nearest(3, rows=slice(start, start + 2))
        if not _same(some, wanted):
            yield f"rows {start} and {start + 1} alone find other pairs than among all."
        high = Scored(*(column[wanted.score >= least] for column in wanted))
        if not _same(again.nearest(3, least, slice(start, start + 2)), high):
            yield f"rows {start} and {start + 1} alone find other pairs from {least:g} on."


def _wrong(found: Scored, table: Float[np.ndarray, "n m"], k: int) -> Iterator[str]:
    """What is not as it must be in pairs."""
    rows, columns = (np.asarray(side) for side in (found.left, found.right))
    inside = (rows >= 0) & (rows < table.shape[0]) & (columns >= 0) & (columns < table.shape[1])
    if not inside.all():
        yield f"nearest({k}) names a row that is not there."
        return
    if len({*zip(rows.tolist(), columns.tolist(), strict=True)}) < len(rows):
        yield f"nearest({k}) gives a pair twice."
    if len(rows) and np.bincount(rows).max() > k:
        yield f"nearest({k}) gives more than {k} of a row."
    if not np.allclose(found.score, table[rows, columns], atol=CLOSE, equal_nan=False):
        yield f"nearest({k}) scores a pair otherwise than score does, or an empty row."
    order = np.lexsort((columns, -np.asarray(found.score), rows))
    if not np.array_equal(order, np.arange(len(rows))):
        yield f"nearest({k}) is not sorted by left row, falling score, right row."


@each
def ties(linker: Linker) -> Iterator[str]:
    """Equal right rows score the same, and the lower one comes first."""
    matcher, left, _ = prepared(linker)
    one, other = 2, 4  # the same row
    rows = np.flatnonzero([text is not None for text in left.texts()])
    first, second = (matcher.score(rows, np.full(len(rows), at)) for at in (one, other))
    if not np.array_equal(first, second):
        yield f"rows {one} and {other} of the right table are equal and score differently."
    for row in rows:
        found = matcher.nearest(ALL)
        columns = found.right[found.left == row].tolist()
        if other in columns and (one not in columns or columns.index(one) > columns.index(other)):
            yield f"of the equal right rows {one} and {other}, {other} comes first."


@each
def order(linker: Linker) -> Iterator[str]:
    """The order of the rows of either table changes no score."""
    matcher, left, right = prepared(linker)
    table = grid(matcher, left.count, right.count)
    rows, columns = np.arange(left.count)[::-1], np.roll(np.arange(right.count), 3)
    shuffled, *_ = prepared(linker, [LEFT[at] for at in rows], [RIGHT[at] for at in columns])
    other = grid(shuffled, left.count, right.count)
    if not np.allclose(other, table[rows][:, columns], atol=CLOSE, equal_nan=True):
        yield "another order of the rows changes a score."
    for row in range(left.count):
        some = _of(matcher.nearest(3), row)
        if not np.allclose(some, _of(shuffled.nearest(3), left.count - 1 - row), atol=CLOSE):
            yield f"another order of the rows changes the best three of row {row}."


@each
def repeat(linker: Linker) -> Iterator[str]:
    """Two runs give the same pairs and scores."""
    first, second = (prepared(linker)[0].nearest(3) for _ in range(2))
    if not _same(first, second, 0.0):
        yield "the second run differs."


@each
def itself(linker: Linker) -> Iterator[str]:
    """A table searched for duplicates pairs no row with itself, and finds the equal ones."""
    matcher, left, _ = prepared(linker, LEFT, None)
    found = matcher.nearest(ALL)
    if (found.left == found.right).any():
        yield "a table that is searched for duplicates pairs a row with itself."
    yield from _wrong(found, grid(matcher, left.count, left.count), ALL)
    if len(found.score):
        best = found.right[(found.left == 1)][:1].tolist()
        if best not in ([], [5]):
            yield f"the row that equals row 1 is 5, and the nearest is {best[0]}."


@each
def few(linker: Linker) -> Iterator[str]:
    """Empty tables, tables of one row, and tables of empty rows give what they can."""
    gaps: list[Row] = [(None, None)] * 3
    for left, right in (([], RIGHT), (LEFT, []), ([], []), (gaps, RIGHT), (LEFT, gaps)):
        if len(prepared(linker, left, right)[0].nearest(3).left):
            yield f"{len(left)} and {len(right)} rows, one side empty, give a pair."
    matcher, *_ = prepared(linker, LEFT[:1], RIGHT[1:2])
    yield from _wrong(matcher.nearest(3), grid(matcher, 1, 1), 3)
    if len(prepared(linker, LEFT[:1], None)[0].nearest(3).left):
        yield "a table of one row has duplicates."


@each
def parts(linker: Linker) -> Iterator[str]:
    """Where a score has parts, they add up to it."""
    matcher, left, right = prepared(linker)
    rows, columns = (some.ravel() for some in np.indices((left.count, right.count)))
    found = matcher.parts(rows, columns)
    total = sum(found.values(), np.zeros(len(rows)))
    if found and not np.allclose(total, matcher.score(rows, columns), atol=CLOSE, equal_nan=True):
        yield "its parts do not add up to the score."


@each
def untouched(linker: Linker) -> Iterator[str]:
    """Neither the tables nor the linker change."""
    said = repr(vars(linker))
    left, right, aids = ground(type(linker))
    before = copy.deepcopy([dict(one.columns) for one in (left, right)])
    matcher = linker.prepare(left, right, aids)
    matcher.nearest(3)
    grid(matcher, left.count, right.count)
    if [dict(one.columns) for one in (left, right)] != before:
        yield "a column of a table changes."
    if repr(vars(linker)) != said:
        yield f"the linker changed while it ran: {said} became {vars(linker)!r}."


def _of(found: Scored, row: int) -> Scores:
    """The scores of one left row."""
    scores: Scores = found.score[found.left == row]
    return scores


def _same(some: Scored, others: Scored, tolerance: float = CLOSE) -> bool:
    same = np.array_equal(some.left, others.left) and np.array_equal(some.right, others.right)
    return same and np.allclose(some.score, others.score, rtol=0, atol=tolerance)
