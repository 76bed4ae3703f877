"""Found links and what is known to be true, read from tables into numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from tokenry.errors import DataError, UsageError
from tokenry.ops.clusters import components
from tokenry.tables import ids
from tokenry.tables.engine import arrow
from tokenry.tables.frames import Frame
from tokenry.tables.labels import NO, YES

WHO = "evaluate_links"
Whole = NDArray[np.int64]
Real = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Names:
    """What the columns are called."""

    left: str
    right: str
    score: str
    id: str
    cluster: str
    entity: str
    match: str
    source: str | None


@dataclass(frozen=True, eq=False, slots=True)
class Numbered:
    """A table of pairs, or of records with a label each, by the numbers of its ids.

    Attributes:
        frame: The table.
        pairs: Its pairs; None where it has records.
        records: Its records; None where it has pairs.
    """

    frame: Frame
    pairs: Whole | None
    records: Whole | None

    @property
    def sides(self) -> list[Whole]:
        """The left and the right records of pairs; else the records."""
        if self.pairs is not None:
            return [self.pairs[:, 0], self.pairs[:, 1]]
        return [np.zeros(0, np.int64) if self.records is None else self.records]


class FoundPairs(NamedTuple):
    """Pairs that were found, each once.

    Attributes:
        pairs: Numbers of their records.
        scores: Their scores; None where there are none.
        source: The number of each one's source; -1 where there is none.
    """

    pairs: Whole
    scores: Real | None
    source: Whole

    def where(self, kept: NDArray[np.bool_]) -> FoundPairs:
        """Some of them."""
        scores = None if self.scores is None else self.scores[kept]
        return FoundPairs(self.pairs[kept], scores, self.source[kept])


class Reader:
    """Gives the ids of several tables numbers, and reads what the tables say of them.

    Args:
        names: What the columns are called.
        found: The table of found pairs or clusters.
        gold: The table of gold.
        candidates: The table of compared pairs.
        one_table: Whether the two ids of a pair are of one table; None to tell by the tables.

    Attributes:
        found: The found pairs or clusters.
        gold: The gold.
        candidates: The compared pairs.
        one_table: Whether a pair has no direction.
        values: All ids by their numbers.
    """

    def __init__(
        self,
        names: Names,
        found: Frame,
        gold: Frame,
        candidates: Frame | None,
        one_table: bool | None,
    ) -> None:
        self._names = names
        kinds = (_has_pairs(found, names, names.cluster), _has_pairs(gold, names, names.entity))
        self.one_table = not all(kinds) if one_table is None else one_table
        if not self.one_table and not all(kinds):
            raise UsageError(f"{WHO}: one_table=False is for pairs on both sides; leave it out.")
        tables = [(found, kinds[0]), (gold, kinds[1])]
        tables += [] if candidates is None else [(candidates, True)]
        columns = {}
        for frame, pairs in tables:
            for name in (names.left, names.right) if pairs else (names.id,):
                frame.check(WHO, (name,))
                columns[f"{frame.name} ({name})"] = frame.table.column(name)
        self.values, numbers = ids.numbered(WHO, columns)
        rest = iter(numbers)
        read = [
            Numbered(frame, np.stack((next(rest), next(rest)), 1), None)
            if pairs
            else Numbered(frame, None, next(rest))
            for frame, pairs in tables
        ]
        self.found, self.gold = read[:2]
        self.candidates = read[2].pairs if candidates is not None else None

    def codes(self, pairs: Whole) -> Whole:
        """Each pair as one number; the same for both directions where they are of no account."""
        ends = np.sort(pairs, axis=1) if self.one_table else pairs
        return np.asarray(ends[:, 0] * len(self.values) + ends[:, 1])

    def pairs(self, codes: Whole) -> Whole:
        """The pairs that numbers stand for."""
        return np.stack(np.divmod(codes, max(1, len(self.values))), 1)

    @property
    def judged(self) -> bool:
        """Whether gold says yes or no of some pairs, and nothing of others."""
        return self.gold.pairs is not None and (
            self._names.match in self.gold.frame.table.column_names
        )

    def true_pairs(self) -> tuple[Whole, Whole | None]:
        """Codes of the true pairs, and of all judged ones where others are not known.

        Raises:
            DataError: If a pair is judged both ways, or a judgement cannot be read.
        """
        rows = self.gold.pairs
        codes = self.codes(np.zeros((0, 2), np.int64) if rows is None else rows)
        if not self.judged:
            return np.unique(codes), None
        same = _judgements(self.gold.frame, self._names.match)
        yes, no = np.unique(codes[same]), np.unique(codes[~same])
        both = np.intersect1d(yes, no)
        if len(both):
            raise DataError(
                f"{WHO}: {self.gold.frame.name} judges {len(both)} pairs both ways, such as "
                f"{ids.shown(self.values, self.pairs(both)[0])}; decide for one."
            )
        return yes, np.union1d(yes, no)

    def entities(self) -> Whole:
        """The entity of each record, -1 where it is not known; pairs make entities by chains.

        Raises:
            DataError: If a record has two entities.
        """
        if self.gold.records is None:
            return components(self.pairs(self.true_pairs()[0]), len(self.values))
        return self._labels(self.gold, self._names.entity)

    def clusters(self) -> Whole:
        """The found cluster of each record; a record in none is alone.

        Raises:
            DataError: If a record has two clusters.
        """
        count = len(self.values)
        if self.found.pairs is not None:
            return components(self.found_pairs().pairs, count)
        labels = self._labels(self.found, self._names.cluster)
        return np.where(labels < 0, labels.max(initial=-1) + 1 + np.arange(count), labels)

    def found_pairs(self) -> FoundPairs:
        """The found pairs, each once with its best score; one without a score is no pair."""
        rows = self.found.pairs
        pairs = np.zeros((0, 2), np.int64) if rows is None else rows
        scores = ids.scores_of(WHO, self.found.frame, self._names.score)
        named, _ = self.sources()
        numbers = named if len(named) else np.full(len(pairs), -1)
        order = np.arange(len(pairs)) if scores is None else np.argsort(-scores, kind="stable")
        good = np.ones(len(pairs), dtype=bool) if scores is None else ~np.isnan(scores)
        if self.one_table:
            good &= pairs[:, 0] != pairs[:, 1]
        order = order[good[order]]
        kept = order[np.sort(np.unique(self.codes(pairs[order]), return_index=True)[1])]
        return FoundPairs(pairs[kept], None if scores is None else scores[kept], numbers[kept])

    def sources(self) -> tuple[Whole, list[str]]:
        """A number for the source of each row of what was found, and the sources' names."""
        name = self._names.source
        if name is None:
            return np.zeros(0, np.int64), []
        self.found.frame.check(WHO, (name,))
        column = self.found.frame.table.column(name).combine_chunks().dictionary_encode()
        numbers = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return numbers.astype(np.int64), [str(one) for one in column.dictionary.to_pylist()]

    def _labels(self, table: Numbered, column: str) -> Whole:
        known = table.frame.codes(WHO, column)
        labels = np.full(len(self.values), -1, dtype=np.int64)
        rows = np.zeros(0, np.int64) if table.records is None else table.records
        labels[rows] = known
        wrong = np.unique(rows[labels[rows] != known])
        if len(wrong):
            raise DataError(
                f"{WHO}: {table.frame.name} has {len(wrong)} records with more than one {column}, "
                f"such as {ids.shown(self.values, wrong)}; a record is one thing."
            )
        return labels


def _has_pairs(frame: Frame, names: Names, label: str) -> bool:
    """Whether a table has pairs; else it must have records with a label each."""
    there = set(frame.table.column_names)
    if {names.left, names.right} <= there:
        return True
    if {names.id, label} <= there:
        return False
    raise UsageError(
        f"{WHO}: {frame.name} has neither {names.left!r} and {names.right!r} nor {names.id!r} and "
        f"{label!r}; it has {', '.join(sorted(there)) or 'no columns'}. Rename them, or name "
        "them for all tables (left=, right=, id=, ...). A merged table has no pairs: the links "
        "themselves have, on the command line in the file of `tokenry link --pairs`."
    )


def _judgements(frame: Frame, column: str) -> Bool[np.ndarray, " m"]:
    pa = arrow()
    values: Any = frame.table.column(column)
    values = values.cast(pa.int8()) if pa.types.is_boolean(values.type) else values
    texts = [
        "" if one is None else str(one).strip().casefold().removesuffix(".0")
        for one in values.to_pylist()
    ]
    strange = sorted({one for one in texts if one not in (*YES, *NO)})
    if strange:
        raise DataError(
            f"{WHO}: column {column!r} of {frame.name} holds {strange[0]!r}; it is 1 or 0 (yes or "
            "no, true or false) for each pair."
        )
    return np.array([one in YES for one in texts], dtype=bool)
