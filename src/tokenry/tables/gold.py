"""Found links and what is known to be true, read from tables into numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from tokenry.errors import DataError, UsageError
from tokenry.ops.clusters import components
from tokenry.tables import ids
from tokenry.tables.frames import Frame
from tokenry.tables.labels import NO, YES
from tokenry.tables.links import SUFFIXES

WHO = "evaluate_links"
MATCH, LABEL = "match", "label"
FOUND, GOLD = range(2)
PAIR = 2
Whole = NDArray[np.int64]
Real = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Names:
    """What the columns are called; those of ids in what was found, and in gold."""

    left: tuple[str, str]
    right: tuple[str, str]
    score: str
    id: tuple[str, str]
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
        self._match = _judging(gold, names.match)
        named = [
            (found, _id_columns(found, names, FOUND, names.cluster)),
            (gold, _id_columns(gold, names, GOLD, names.entity)),
        ]
        pairs = all(len(ends) == PAIR for _, ends in named)
        self.one_table = not pairs if one_table is None else one_table
        if not self.one_table and not pairs:
            raise UsageError(f"{WHO}: one_table=False is for pairs on both sides; leave it out.")
        if candidates is not None:
            named.append((candidates, _id_columns(candidates, names, FOUND)))
        tables = [(_partnered(frame, ends, names.score), ends) for frame, ends in named]
        columns = {
            f"{frame.name} ({name})": frame.table.column(name)
            for frame, ends in tables
            for name in ends
        }
        self.values, numbers = ids.numbered(WHO, columns)
        rest = iter(numbers)
        read = [
            Numbered(frame, np.stack((next(rest), next(rest)), 1), None)
            if len(ends) == PAIR
            else Numbered(frame, None, next(rest))
            for frame, ends in tables
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
        return self.gold.pairs is not None and self._match is not None

    def true_pairs(self) -> tuple[Whole, Whole | None]:
        """Codes of the true pairs, and of all judged ones where others are not known.

        Raises:
            DataError: If a pair is judged both ways, or a judgement cannot be read.
        """
        rows = self.gold.pairs
        codes = self.codes(np.zeros((0, 2), np.int64) if rows is None else rows)
        if self._match is None:
            return np.unique(codes), None
        same = _judgements(self.gold.frame, self._match)
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


def _id_columns(
    frame: Frame, names: Names, place: int, label: str | None = None
) -> tuple[str, ...]:
    """The two columns of ids of a table of pairs; one where it has records with a label each."""
    there = set(frame.table.column_names)
    ends, one = (names.left[place], names.right[place]), names.id[place]
    merged = (one + SUFFIXES[0], one + SUFFIXES[1])
    for wanted in (ends, merged):
        if there.issuperset(wanted):
            return wanted
    if label is not None and {one, label} <= there:
        return (one,)
    records = "" if label is None else f", nor {one!r} and {label!r}"
    raise UsageError(
        f"{WHO}: {frame.name} has neither {ends[0]!r} and {ends[1]!r}, nor {merged[0]!r} and "
        f"{merged[1]!r}{records}; it has {', '.join(sorted(there)) or 'no columns'}. Name its "
        "columns with left, right and id: one name each, or two where they are not called the same "
        "in what was found and in gold. `tokenry link --pairs` writes links alone."
    )


def _partnered(frame: Frame, ends: tuple[str, ...], score: str) -> Frame:
    """Without the rows of a merged table that have no partner: an id and the score are missing."""
    from pyarrow import compute as pc

    if len(ends) < PAIR or score not in frame.table.column_names:
        return frame
    empty = [frame.table.column(name).is_null() for name in (*ends, score)]
    alone = pc.and_(pc.or_(empty[0], empty[1]), empty[2])
    return replace(frame, table=frame.table.filter(pc.invert(alone)))


def _judging(gold: Frame, name: str) -> str | None:
    """The column of judgements, if there is one; labelled pairs call it label elsewhere here."""
    there = gold.table.column_names
    if name in there or name != MATCH:
        return name if name in there else None
    values = gold.table.column(LABEL).to_pylist() if LABEL in there else []
    return LABEL if values and all(_word(one) in (*YES, *NO) for one in values) else None


def _judgements(frame: Frame, column: str) -> Bool[np.ndarray, " m"]:
    texts = [_word(one) for one in frame.table.column(column).to_pylist()]
    strange = sorted({one for one in texts if one not in (*YES, *NO)})
    if strange:
        raise DataError(
            f"{WHO}: column {column!r} of {frame.name} holds {strange[0]!r}; it is 1 or 0 (yes or "
            "no, true or false) for each pair."
        )
    return np.array([one in YES for one in texts], dtype=bool)


def _word(value: Any) -> str:
    return "" if value is None else str(value).strip().casefold().removesuffix(".0")
