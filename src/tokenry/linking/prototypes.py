"""Entities by what is said of them and by their known mentions: the nearest counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from tokenry.method import Embed, Matcher, Referee, Scored
from tokenry.ops.group_best import group_best
from tokenry.ops.nearest import ALL, first_of_each, nearest_by, products

Rows = Int[np.ndarray, " m"]
Scores = Float[np.ndarray, " m"]
Vectors = Float[np.ndarray, "n d"]

_QUESTION = "Does the mention mean this? Answer:"


class Prototypes(Matcher):
    """A mention's score with an entity: with what is said of it, and with its nearest mention.

    Args:
        asked: Vectors of mentions; NaN in the place of what is empty.
        told: One for what is said of each entity.
        shown: Known mentions of entities.
        owner: The entity of each, in rising order.
        zeros: What counts where an entity has no known mention: nothing, or `told` once more.
        apart: Both sides are one table.
    """

    threshold = 1.0

    def __init__(
        self,
        asked: Vectors,
        told: Float[np.ndarray, "m d"],
        shown: Float[np.ndarray, "p d"],
        owner: Int[np.ndarray, " p"],
        *,
        zeros: bool = False,
        apart: bool = False,
    ) -> None:
        self.asked, self.told, self.shown, self.owner = asked, told, shown, owner
        self.zeros, self.apart = zeros, apart

    def with_labelled(self, known: Scored) -> Prototypes:
        """The same with labelled mentions as further known ones."""
        true = known.score > 0.5
        owner = np.concatenate([self.owner, known.right[true]])
        own = self.asked[known.left[true]]
        shown = np.concatenate([self.shown, own]) if len(self.shown) else own
        # A labelled row that is empty shows nothing.
        there = np.flatnonzero(~np.isnan(shown).any(1))
        order = there[np.argsort(owner[there], kind="stable")]
        found = Prototypes(
            self.asked, self.told, shown[order], owner[order], zeros=self.zeros, apart=self.apart
        )
        found.threshold = self.threshold
        return found

    def score(self, left: Rows, right: Rows) -> Scores:
        """The sum of both parts."""
        found: Scores = sum(self.parts(left, right).values(), np.zeros(len(left)))
        return found

    def parts(self, left: Rows, right: Rows) -> dict[str, Scores]:
        """What is said of the entity, and its nearest mention."""
        reference = products(self.asked, self.told, left, right)
        first, last = (np.searchsorted(self.owner, right, side) for side in ("left", "right"))
        counts = last - first
        pair = np.repeat(np.arange(len(right)), counts)
        within = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
        each = products(self.asked, self.shown, left[pair], within + np.repeat(first, counts))
        best = group_best(each[None], pair, len(right))[0]
        return {"reference": reference, "mention": self._filled(best, reference)}

    def nearest(self, k: int, least: float = -np.inf, rows: slice = ALL) -> Scored:
        """The best entities, each once, whatever number of its mentions are near."""
        shape = (len(self.asked), len(self.told))
        return Scored(*nearest_by(self._tile, shape, k, least, itself=not self.apart, rows=rows))

    def _tile(self, some: slice, others: slice) -> Float[np.ndarray, "t u"]:
        q = self.asked[some].astype(np.float64)
        reference: Float[np.ndarray, "t u"] = q @ self.told[others].astype(np.float64).T
        low, high = np.searchsorted(self.owner, (others.start, others.stop))
        each = q @ self.shown[low:high].astype(np.float64).T
        best = group_best(each, self.owner[low:high] - others.start, reference.shape[1])
        whole: Float[np.ndarray, "t u"] = reference + self._filled(best, reference)
        return whole

    def _filled(
        self, best: Float[np.ndarray, "*m"], reference: Float[np.ndarray, "*m"]
    ) -> Float[np.ndarray, "*m"]:
        instead = np.where(np.isnan(reference), np.nan, 0.0) if self.zeros else reference
        return np.where(np.isnan(best), instead, best)


class Reread(Matcher):
    """The best entities of each mention, ordered by a referee who reads both together.

    Args:
        first: Who finds them.
        referee: Who is asked.
        asked: The mentions in their windows.
        told: What is said of each entity.
        candidates: How many of each mention are read.
        threshold: The probability from which on a pair is a match; None for 0.5.
    """

    portion = 32

    def __init__(
        self,
        first: Matcher,
        referee: Referee,
        asked: Sequence[str | None],
        told: Sequence[str | None],
        candidates: int,
        threshold: float | None,
    ) -> None:
        self.first, self.referee, self.asked, self.told = first, referee, asked, told
        self.candidates = candidates
        self.threshold = 0.5 if threshold is None else threshold

    def score(self, left: Rows, right: Rows) -> Scores:
        """What the referee says of any pair."""
        pairs = [(self.asked[i], self.told[j]) for i, j in zip(left, right, strict=True)]
        there = [at for at, (one, other) in enumerate(pairs) if one and other]
        found = np.full(len(pairs), np.nan)
        if there:
            prompts = [f"{pairs[at][0]}\n{pairs[at][1]}\n{_QUESTION}" for at in there]
            found[there] = self.referee.yes(prompts)
        return found

    def nearest(self, k: int, least: float = -np.inf, rows: slice = ALL) -> Scored:
        """The best of the candidates."""
        found = self.first.nearest(self.candidates, rows=rows)
        again = self.score(found.left, found.right)
        return Scored(*first_of_each(found.left, found.right, again, k, least))


def encoded(embed: Embed, *columns: Sequence[str | None]) -> list[Vectors]:
    """The vectors of several columns of texts, read in one go; NaN where there is no text."""
    every = [text for column in columns for text in column]
    rows = [row for row, text in enumerate(every) if text]
    made = np.asarray(embed([every[row] or "" for row in rows])) if rows else np.zeros((0, 1))
    found = np.full((len(every), made.shape[1]), np.nan)
    found[rows] = made
    return np.split(found, np.cumsum([len(column) for column in columns])[:-1])
