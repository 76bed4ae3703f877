"""The contract of linkers: two tables in, scored pairs of their rows out.

A linker sees columns, never a model: what reads texts, pictures or prompts is handed in as `Aids`.
Blocking, thresholds, one-to-one links, clusters and files are the same for all linkers and so are
not in them (`tokenry.tables`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from tokenry.errors import UsageError
from tokenry.method.base import In, Method
from tokenry.method.chunker import Embed
from tokenry.ops.nearest import ALL
from tokenry.ops.thresholds import best_threshold

Rows = Int[np.ndarray, " m"]
Scores = Float[np.ndarray, " m"]


class Scored(NamedTuple):
    """Pairs of rows with what a linker makes of them; row numbers count from 0.

    Attributes:
        left: Row of the left table.
        right: Row of the right table.
        score: Higher is likelier to be the same thing.
    """

    left: Rows
    right: Rows
    score: Scores


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Side:
    """One table as a linker sees it.

    Attributes:
        columns: Every column by its name. Key columns are normalised texts, None where nothing is
            left of them; they have the left table's names on both sides. Others are as they came.
        keys: Names of the key columns, in the order in which they were given.
        count: How many rows there are.
    """

    columns: Mapping[str, Sequence[Any]]
    keys: tuple[str, ...]
    count: int

    def texts(self, separator: str = " ") -> list[str | None]:
        """The key columns of each row in one text; None where all are empty.

        >>> side = Side(columns={"a": ["x", None], "b": ["y", None]}, keys=("a", "b"), count=2)
        >>> side.texts()
        ['x y', None]
        """
        parts = zip(*(self.columns[key] for key in self.keys), strict=True)
        return [separator.join(one for one in row if one is not None) or None for row in parts]

    def column(self, who: str, name: str) -> Sequence[Any]:
        """A column by its name.

        Raises:
            UsageError: If the table has no such column.
        """
        if name not in self.columns:
            raise UsageError(
                f"{who}: needs a column {name!r}; the table has {', '.join(self.columns)}."
            )
        return self.columns[name]


@runtime_checkable
class Referee(Protocol):
    """A language model that is asked about pairs."""

    def yes(self, prompts: Sequence[str]) -> Scores:
        """The probability of yes, against no, as the next word of each prompt."""

    def options(self, prompts: Sequence[str], count: int) -> Float[np.ndarray, "m c"]:
        """The probability of each of the first `count` letters as the next word."""

    def write(self, prompts: Sequence[str], tokens: int) -> list[str]:
        """What follows each prompt, greedily, at most so many tokens."""


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Aids:
    """What is handed to a linker beside the two tables; it asks for what it needs.

    Attributes:
        embed: Gives texts vectors of length one. Each distinct text is encoded once.
        picture: Gives pictures (paths, bytes or Pillow images) vectors of length one, in the same
            space as `embed`.
        referee: A language model to ask.
        tables: Further tables by name: a log of aliases, a glossary, a corpus.
        known: Labelled pairs, scored 1 and 0, to learn from.
        linker: Gives another linker by its name, settings and all, such as
            `fuzzy(scorer=jaro-winkler)`; in the engine, any of the catalogue's.
    """

    embed: Embed | None = None
    picture: Callable[[Sequence[Any]], Float[np.ndarray, "n d"]] | None = None
    referee: Referee | None = None
    tables: Mapping[str, Side] = field(default_factory=dict)
    known: Scored | None = None
    linker: Callable[[str], Any] | None = None

    def need(self, who: str, aid: str, how: str) -> Any:
        """One of the aids.

        Raises:
            UsageError: If it was not given; `how` says how it is given.
        """
        found = getattr(self, aid)
        if found is None:
            raise UsageError(f"{who}: needs {aid}, which was not given; {how}")
        return found

    def table(self, who: str, name: str, holds: str) -> Side:
        """A further table.

        Raises:
            UsageError: If it was not given.
        """
        if name not in self.tables:
            raise UsageError(
                f"{who}: needs a table {name!r} ({holds}); pass tables={{{name!r}: ...}}, or "
                f"--table {name}=FILE."
            )
        return self.tables[name]


class Matcher(ABC):
    """A linker that has read its two tables.

    Attributes:
        threshold: The score from which on a pair counts as a match.
        portion: Left rows whose nearest are looked for at a time; a run that is stopped loses no
            more. A linker that asks a model takes few.
    """

    threshold: float
    portion: int = 1024

    @abstractmethod
    def score(self, left: Rows, right: Rows) -> Scores:
        """The score of given pairs; NaN where a side is empty, which is no match."""

    @abstractmethod
    def nearest(self, k: int, least: float = -np.inf, rows: slice = ALL) -> Scored:
        """The k best right rows of each left row that score at least so much.

        Sorted by left row, then falling score, then right row. A row with nothing to compare is in
        no pair, and k larger than the right table gives its rows, none twice. Where `rows` says
        which left rows are looked for, each finds what it finds among all.
        """

    def parts(self, left: Rows, right: Rows) -> dict[str, Scores]:
        """What the score of each pair is made of, by name; the parts add up to the score.

        Empty where a score has no parts. The report draws it as a waterfall.
        """
        return {}


class PresentMatcher(Matcher):
    """Compares rows that have something to compare; the others are in no pair.

    Rows are numbered anew here: what `pairs`, `best` and `shares` see counts the rows that are
    there, and the original numbers come back by themselves.

    Args:
        left: What is compared of each left row, None where there is nothing.
        right: The same of right rows; the same object when a table is searched for duplicates.
        threshold: The score from which on a pair counts as a match.

    Attributes:
        left: What is there of the left table.
        right: What is there of the right table; the same object for one table.
        itself: Whether a row may be paired with the right row of its own number.
    """

    def __init__(self, left: Sequence[Any], right: Sequence[Any], threshold: float) -> None:
        self.threshold = threshold
        self.itself = left is not right
        there = [np.array([one is not None for one in side], dtype=bool) for side in (left, right)]
        self.left = [one for one in left if one is not None]
        self.right = [one for one in right if one is not None] if self.itself else self.left
        self._there = there
        self._rows = [np.flatnonzero(side) for side in there]
        self._new = [np.cumsum(side) - 1 for side in there]

    @abstractmethod
    def pairs(self, left: Rows, right: Rows) -> Scores:
        """The score of given pairs."""

    @abstractmethod
    def best(self, k: int, least: float, rows: slice) -> tuple[Rows, Rows, Scores]:
        """The k best of some left rows, sorted as `nearest` says."""

    def shares(self, left: Rows, right: Rows) -> dict[str, Scores]:
        """What the scores are made of; they add up."""
        return {}

    def score(self, left: Rows, right: Rows) -> Scores:
        """The score of given pairs; NaN where a side is empty."""
        both, places = self._places(left, right)
        found = np.full(len(both), np.nan)
        found[both] = self.pairs(*places)
        return found

    def nearest(self, k: int, least: float = -np.inf, rows: slice = ALL) -> Scored:
        """The k best right rows of each left row that score at least so much."""
        ends = np.searchsorted(self._rows[0], rows.indices(len(self._there[0]))[:2])
        left, right, scores = self.best(k, least, slice(*map(int, ends)))
        return Scored(self._rows[0][left], self._rows[1][right], scores)

    def parts(self, left: Rows, right: Rows) -> dict[str, Scores]:
        """What the score of each pair is made of; NaN where a side is empty."""
        both, places = self._places(left, right)
        parts = {}
        for name, share in self.shares(*places).items():
            parts[name] = np.full(len(both), np.nan)
            parts[name][both] = share
        return parts

    def _places(self, left: Rows, right: Rows) -> tuple[Bool[np.ndarray, " m"], list[Rows]]:
        sides = [np.asarray(side, dtype=np.int64) for side in (left, right)]
        both = self._there[0][sides[0]] & self._there[1][sides[1]]
        return both, [new[side[both]] for new, side in zip(self._new, sides, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Linker(Method):
    """Says how likely rows of two tables are the same thing.

    Attributes:
        top: The highest score that two rows can have; infinite where nothing bounds it.
    """

    noun: ClassVar[str] = "linker"
    top: ClassVar[float] = np.inf

    threshold: Annotated[
        float | None,
        In(-1e9, 1e9),
        "the score from which on a pair is a match; None for the linker's own rule",
    ] = None

    @abstractmethod
    def prepare(self, left: Side, right: Side, aids: Aids) -> Matcher:
        """Read both tables.

        Args:
            left: One table.
            right: The other one; the same object when a table is searched for duplicates. Then
                `nearest` leaves out the pair of a row with itself.
            aids: What else there is.

        Raises:
            UsageError: If an aid or a column is missing that this linker needs.
        """

    def highest(self, aids: Aids) -> float:
        """The highest score that two rows can have with these aids; a threshold is not above it."""
        return self.top

    def cut(self, matcher: Matcher, known: Scored | None, usual: float) -> float:
        """The threshold: the one that is set, or else the one with the greatest F1 on known pairs.

        Args:
            matcher: Made of the two tables.
            known: Labelled pairs; None where nothing is known.
            usual: What it is without any that tell something.
        """
        if self.threshold is not None:
            return self.threshold
        if known is None:
            return usual
        scores, same = matcher.score(known.left, known.right), np.asarray(known.score) > 0.5
        tells = bool((same & ~np.isnan(scores)).any())
        return best_threshold(scores, same)[0] if tells else usual

    @classmethod
    def sample(cls, left: Side, right: Side, aids: Aids) -> tuple[Side, Side, Aids]:
        """What the common checks try it on: a linker adds the columns and tables that it needs.

        Args:
            left: Texts under `name` and `city`, with gaps, ties and several scripts.
            right: The same of another table; the same object where `left` is compared with itself.
            aids: Every aid, without tables.
        """
        return left, right, aids
