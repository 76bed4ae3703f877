"""Tables with known links as examples: one for each left record, or for each labelled pair."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from tokenry.data.base import DataSet
from tokenry.errors import DataError
from tokenry.method import Scored, Side
from tokenry.tables.normalise import normalised

LEARN, CUT = "learn", "cut"
"""Parts of what is known that is not scored: to learn from, and to choose the threshold on."""

Columns = Mapping[str, Sequence[Any]]
_EMPTY = Side(columns={}, keys=(), count=0)


@dataclass(frozen=True, slots=True)
class Linkable:
    """One thing that a linker decides.

    Attributes:
        id: Unique in its set and stable.
        label: The left record in one line, for people.
        left: Its row in the left table.
        wanted: The right rows that it truly belongs to.
        right: The right row of a labelled pair; None where the whole right table is searched.
        split: None.
        domain: "match" or "none", so that fewer examples keep the share of both.
    """

    id: str
    label: str
    left: int
    wanted: tuple[int, ...]
    right: int | None = None
    split: str | None = None
    domain: str | None = None


@dataclass(frozen=True, repr=False)
class LinkingData(DataSet[Linkable]):
    """Two tables, or one twice, what is scored of them, and what may be learned from.

    Attributes:
        name: What tables and reports call it.
        examples: What is scored: at least one, with distinct ids.
        license: Under which licence the records come, or "not stated".
        source: Where they come from.
        left: The left table with its key columns normalised.
        right: The right one, whose key columns have the left one's names.
        shown: The records as people see them, left and right, by column.
        fit: Further examples, by part: those to learn from, and those to choose a threshold on.
    """

    noun: ClassVar[str] = "records or pairs"
    fields: ClassVar[tuple[str, ...]] = ("domain",)

    left: Side = _EMPTY
    right: Side = _EMPTY
    shown: tuple[Columns, Columns] = ({}, {})
    fit: tuple[tuple[str, Linkable], ...] = ()

    @property
    def paired(self) -> bool:
        """Whether examples are labelled pairs."""
        return self.examples[0].right is not None

    @property
    def alone(self) -> bool:
        """Whether one table is searched for duplicates."""
        return self.right is self.left

    @cached_property
    def gold(self) -> list[tuple[int, int]]:
        """Every true pair that is known."""
        every = (*self.examples, *(one for _, one in self.fit))
        return sorted({(one.left, right) for one in every for right in one.wanted})

    @property
    def one_to_one(self) -> bool:
        """Whether no record belongs to two of the other table."""
        lefts, rights = ({pair[side] for pair in self.gold} for side in (0, 1))
        return len(lefts) == len(rights) == len(self.gold)

    def part(self, name: str) -> list[Linkable]:
        """The examples of one part that is not scored."""
        return [one for part, one in self.fit if part == name]

    def record(self, side: int, row: int) -> dict[str, str]:
        """A record for people: its columns that hold anything, those of the keys first."""
        columns = self.shown[side]
        order = [*self.left.keys, *(c for c in columns if c not in self.left.keys)]
        found = {name: columns[name][row] for name in order if name in columns}
        return {name: str(value) for name, value in found.items() if value not in (None, "")}

    @cached_property
    def hash(self) -> str:
        """A sha256 over all that a measurement depends on, in order."""
        total = hashlib.sha256()
        for one in self.examples:
            total.update(json.dumps(self._row(one)).encode() + b"\n")
        for part, one in self.fit:
            total.update(json.dumps([part, *self._row(one)]).encode() + b"\n")
        for side in (self.left, self.right):
            total.update(json.dumps([side.keys, side.texts("\x1f")]).encode() + b"\n")
        return total.hexdigest()

    def _facts(self) -> list[str]:
        kind = "labelled pairs" if self.paired else "records" if self.alone else "left records"
        rows = f"{self.left.count} rows"
        if not self.alone:
            rows = f"{self.left.count} x {self.right.count} rows"
        return [kind, rows, f"{len(self.gold) // (1 + self.alone)} links"]

    def _row(self, example: Linkable) -> list[Any]:
        return [example.id, example.left, example.right, list(example.wanted)]


def known(examples: Iterable[Linkable], hard: Scored | None = None) -> Scored | None:
    """What may be learned from, as pairs with 1 and 0.

    Args:
        examples: Labelled pairs, or left records with what they belong to.
        hard: Pairs that are near each other, of which those of these records that are not true
            are the wrong ones.
    """
    pairs: list[tuple[int, int, float]] = []
    truth = {one.left: set(one.wanted) for one in examples if one.right is None}
    for one in examples:
        if one.right is not None:
            pairs.append((one.left, one.right, float(bool(one.wanted))))
        pairs += [(one.left, right, 1.0) for right in one.wanted if one.right is None]
    if hard is not None:
        near = zip(hard.left.tolist(), hard.right.tolist(), strict=True)
        pairs += [(a, b, 0.0) for a, b in near if a in truth and b not in truth[a]]
    if not pairs:
        return None
    left, right, score = zip(*pairs, strict=True)
    return Scored(np.array(left), np.array(right), np.array(score))


def searched(
    tables: tuple[Columns, Columns],
    on: Sequence[tuple[str, str]],
    links: Iterable[tuple[int, int]],
    **about: str,
) -> LinkingData:
    """Two tables of which all links are known: an example is a left record.

    A sixth of the records is there to learn from, a sixth to choose a threshold on.

    Args:
        tables: The records by column, left and right.
        on: Key columns, by their names in both.
        links: Rows that are the same thing, left and right, from 0.
        about: Name, license and source.

    Raises:
        DataError: If a link names a row that is not there, or nothing is left to score.
    """
    left, right = (_side(table, on, place) for place, table in enumerate(tables))
    wanted: dict[int, list[int]] = {}
    for one, other in sorted(set(links)):
        if not (0 <= one < left.count and 0 <= other < right.count):
            raise DataError(
                f"{about['name']}: the link {one}, {other} names a row that is not there; the "
                f"tables have {left.count} and {right.count} rows, counted from 0."
            )
        wanted.setdefault(one, []).append(other)
    names = _distinct(_line(tables[0], on, row) for row in range(left.count))
    every = [
        Linkable(name, name, row, tuple(wanted.get(row, ())), domain=_kind(row in wanted))
        for row, name in enumerate(names)
    ]
    fit, scored = _parted(every)
    return LinkingData(
        examples=tuple(scored), fit=fit, left=left, right=right, shown=tables, **about
    )


def duplicated(
    table: Columns, on: Sequence[str], things: Sequence[int], **about: str
) -> LinkingData:
    """One table of which the thing of each row is known: an example is a record.

    Things are parted, not records: a sixth is there to learn from, a sixth for the threshold.

    Args:
        table: The records by column.
        on: Key columns.
        things: The number of the thing that each row is.
        about: Name, license and source.
    """
    both = [(name, name) for name in on]
    side = _side(table, both, 0)
    rows: dict[int, list[int]] = {}
    for row, thing in enumerate(things):
        rows.setdefault(thing, []).append(row)
    names = _distinct(_line(table, both, row) for row in range(side.count))
    every = []
    for row, (name, thing) in enumerate(zip(names, things, strict=True)):
        others = tuple(other for other in rows[thing] if other != row)
        every.append(Linkable(name, name, row, others, domain=_kind(bool(others))))
    fit, scored = _parted(every, [names[rows[thing][0]] for thing in things])
    return LinkingData(
        examples=tuple(scored), fit=fit, left=side, right=side, shown=(table, table), **about
    )


def paired(
    tables: tuple[Columns, Columns],
    on: Sequence[tuple[str, str]],
    pairs: Iterable[tuple[int, int, bool, str]],
    **about: str,
) -> LinkingData:
    """Labelled pairs of two tables: an example is a pair of the part "test".

    Linkers learn from the part "train", and thresholds are chosen on "valid". What has no parts
    is parted by a digest, as whole tables are.

    Args:
        tables: The records by column, left and right.
        on: Key columns, by their names in both.
        pairs: Left row, right row, whether they are the same thing, and the part.
        about: Name, license and source.
    """
    left, right = (_side(table, on, place) for place, table in enumerate(tables))
    parts: dict[str, list[Linkable]] = {}
    counts: Counter[str] = Counter()
    for one, other, same, part in pairs:
        counts[part] += 1
        example = Linkable(
            f"{part}{counts[part]}",
            _line(tables[0], on, one),
            one,
            (other,) if same else (),
            other,
            domain=_kind(same),
        )
        parts.setdefault(part, []).append(example)
    if set(parts) >= {"train", "valid", "test"}:
        fit = [(LEARN, one) for one in parts["train"]] + [(CUT, one) for one in parts["valid"]]
        scored = parts["test"]
    else:
        every, scored = _parted([one for part in parts.values() for one in part])
        fit = list(every)
    return LinkingData(
        examples=tuple(scored), fit=tuple(fit), left=left, right=right, shown=tables, **about
    )


def _parted(
    records: Sequence[Linkable], together: Sequence[str] | None = None
) -> tuple[tuple[tuple[str, Linkable], ...], list[Linkable]]:
    """A sixth to learn from, a sixth to choose a threshold on, and the others.

    By a digest of their ids, so that the parts stay when records come or go.

    Args:
        records: The examples.
        together: What is the same of records that come into one part; their ids when not given.
    """
    names = {0: LEARN, 1: CUT}
    fit, rest = [], []
    for one, name in zip(records, together or [one.id for one in records], strict=True):
        digest = hashlib.sha256(f"part:{name}".encode()).digest()
        place = int.from_bytes(digest[:8], "big") % 6
        if place in names:
            fit.append((names[place], one))
        else:
            rest.append(one)
    return tuple(fit), rest


def _side(table: Columns, on: Sequence[tuple[str, str]], place: int) -> Side:
    """A table as a linker sees it."""
    columns = dict(table)
    count = len(next(iter(table.values()), ()))
    made = {names[0]: [key(value) for value in table[names[place]]] for names in on}
    return Side(columns={**columns, **made}, keys=tuple(made), count=count)


def key(value: Any) -> str | None:
    """A value as linkers and blocking compare it."""
    if value is None or value != value:
        return None
    return normalised(str(value))


def _line(table: Columns, on: Sequence[tuple[str, str]], row: int) -> str:
    """A left record in one line."""
    values = (table[name][row] for name, _ in on)
    return " | ".join(str(v) for v in values if v is not None and v == v)[:200]


def _distinct(names: Iterable[str]) -> list[str]:
    """Names of which those that come again have a number behind them."""
    seen: Counter[str] = Counter()
    found, taken = [], set()
    for name in names:
        seen[name] += 1
        made = name if seen[name] == 1 else f"{name} #{seen[name]}"
        while made in taken:
            made += "'"
        taken.add(made)
        found.append(made)
    return found


def _kind(true: bool) -> str:
    return "match" if true else "none"
