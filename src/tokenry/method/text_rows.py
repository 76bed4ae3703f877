"""Rows that are texts: each distinct text has one vector and is looked for once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from tokenry.errors import TokenryError
from tokenry.method.chunker import Embed
from tokenry.method.linker import Matcher, Scored
from tokenry.ops.near_graph import NearGraph
from tokenry.ops.nearest import ALL, Ranked, first_of_each, joined, nearest, products
from tokenry.ops.ranges import ranges

_NONE = -1  # in the place of a text where a row has none
Search = Callable[[Float[np.ndarray, "n d"], int, float], Ranked]


def encode(
    columns: Sequence[Sequence[str | None]], embed: Embed, who: str
) -> tuple[list[Int[np.ndarray, "_"]], Float[np.ndarray, "t d"]]:
    """Which text each row has, -1 for none, and the vectors of the texts, of length one.

    Args:
        columns: The texts of the rows of each table, None where a row has none.
        embed: Gives texts vectors; each distinct text is given once.
        who: What messages call the caller.

    Raises:
        TokenryError: If the encoder gives a text a vector that is not finite.
    """
    places: dict[str, int] = {}
    codes = [
        np.array(
            [_NONE if one is None else places.setdefault(one, len(places)) for one in column],
            dtype=np.int64,
        )
        for column in columns
    ]
    texts = list(places)
    vectors = np.asarray(embed(texts), dtype=np.float64) if texts else np.zeros((0, 1))
    wrong = np.flatnonzero(~np.isfinite(vectors).all(1))
    if len(wrong):
        raise TokenryError(
            f"{who}: the encoder gives {texts[wrong[0]][:80]!r} a vector that is not "
            f"finite, and {len(wrong) - 1} further texts; was it trained with too high a rate?"
        )
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return codes, vectors / np.where(length > 0, length, 1)


class TextRows(Matcher):
    """Two tables as vectors of their distinct texts.

    Args:
        vectors: Of length one, of each distinct text.
        left: The text of each left row; -1 for none.
        right: The same of each right row.
        same: Whether both are one table, so that a row is not paired with itself.
        exact: Whether all texts are compared; otherwise a graph of neighbours is asked.
    """

    def __init__(
        self,
        vectors: Float[np.ndarray, "t d"],
        left: Int[np.ndarray, " n"],
        right: Int[np.ndarray, " c"],
        same: bool = False,
        *,
        exact: bool = True,
    ) -> None:
        self._vectors, self._left, self._right, self._same = vectors, left, right, same
        self._exact = exact
        self._asked: tuple[int, float] | None = None
        self._found, self._seen = joined([]), np.zeros(0, np.int64)

    def score(
        self, left: Int[np.ndarray, " m"], right: Int[np.ndarray, " m"]
    ) -> Float[np.ndarray, " m"]:
        """The cosine of given pairs; NaN where a row has no text."""
        a, b = self._left[left], self._right[right]
        there = (a != _NONE) & (b != _NONE)
        found = np.full(len(a), np.nan)
        found[there] = products(self._vectors, self._vectors, a[there], b[there])
        return found

    def nearest(self, k: int, least: float = -np.inf, rows: slice = ALL) -> Scored:
        """The `k` best right rows of each left row."""
        some = np.arange(len(self._left))[rows]
        row = some[self._left[some] != _NONE]
        near = self._of_texts(np.unique(self._left[row]), k + self._same, least)
        start = np.searchsorted(near.rows, self._left[row])
        end = np.searchsorted(near.rows, self._left[row], "right")
        owner, place = ranges(start, end - start)
        left, right, score = row[owner], near.columns[place], near.scores[place]
        if self._same:
            kept = left != right
            left, right, score = left[kept], right[kept], score[kept]
        return Scored(*first_of_each(left, right, score, k))

    @cached_property
    def _others(self) -> Int[np.ndarray, " u"]:
        """The texts of the right table, by their first rows: of equal cosines the lowest counts."""
        texts, first = np.unique(self._right, return_index=True)
        others: Int[np.ndarray, " u"] = texts[np.argsort(first)]
        kept: Int[np.ndarray, " u"] = others[others != _NONE]
        return kept

    @cached_property
    def _search(self) -> Search:
        if not self._exact:
            return NearGraph(self._vectors[self._others]).nearest
        return lambda asked, k, least: nearest(asked, self._vectors[self._others], k, least)

    def _of_texts(self, texts: Int[np.ndarray, " q"], wide: int, least: float) -> Ranked:
        """Texts with their right rows; those that were looked for before are not again."""
        if self._asked != (wide, least):
            self._asked = wide, least
            self._found, self._seen = joined([]), np.zeros(0, np.int64)
        new = np.setdiff1d(texts, self._seen, assume_unique=True)
        if len(new):
            near = self._search(self._vectors[new], wide, least)
            near = first_of_each(*_right_rows(near, self._others, self._right, wide), wide)
            near = near._replace(rows=new[near.rows])
            every = joined([self._found, near])
            order = np.argsort(every.rows, kind="stable")
            self._found = Ranked(*(column[order] for column in every))
            self._seen = np.union1d(self._seen, new)
        return self._found


def _right_rows(
    near: Ranked, others: Int[np.ndarray, " u"], codes: Int[np.ndarray, " c"], most: int
) -> Ranked:
    """Texts give way to the rows that hold them, of each text the first `most`."""
    order = np.argsort(codes, kind="stable")
    start, end = (np.searchsorted(codes[order], others, side) for side in ("left", "right"))
    counts = np.minimum(end - start, most)[near.columns]
    owner, place = ranges(start[near.columns], counts)
    return Ranked(near.rows[owner], order[place], near.scores[owner])
