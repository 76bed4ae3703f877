"""What linking found: pairs, the merged table, the rows without a partner, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tokenry.counted import counted
from tokenry.errors import UsageError
from tokenry.tables.engine import arrow
from tokenry.tables.files import write_file
from tokenry.tables.frames import Frame

if TYPE_CHECKING:
    import pyarrow as pa

    from tokenry.method import Matcher
    from tokenry.tables.stages import Stage

How = Literal["left", "inner", "right", "outer"]
"""Which rows without a partner a merged table has: those of the left table, and so on."""
SUFFIXES = ("_left", "_right")
NO_THRESHOLD = -1e9
"""A threshold that every score reaches."""


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Links:
    """The links between two tables, or within one.

    Attributes:
        table: One row for each link: left and right (numbers of rows, from 0), score, and source
            (the blocking rule that brought the pair, or "nearest").
        left: The left table.
        right: The right table; the same object where one table was searched for duplicates.
        on: The key columns of both.
        method: What scored, with its settings.
        threshold: The score from which on pairs were links.
        assign: How many links a row may have.
        facts: Figures of the run by name: candidates, dropped_pairs, and with gold precision,
            recall, f1, blocking_recall and reduction.
        stages: What each stage cost.
        notes: What a reader should know.
        matcher: Gives the linker as it read the tables, for `parts`; it may read them again.
    """

    table: pa.Table
    left: Frame
    right: Frame
    on: tuple[tuple[str, ...], tuple[str, ...]]
    method: str
    threshold: float
    assign: str
    facts: Mapping[str, Any]
    stages: tuple[Stage, ...]
    notes: tuple[str, ...] = ()
    matcher: Callable[[], Matcher] = field(repr=False)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def pairs(self) -> Any:
        """The links in the type of the left table."""
        return self.left.back(self.table)

    def rows(self, side: Literal["left", "right"]) -> NDArray[np.int64]:
        """The row of each link in one of the tables."""
        return np.asarray(self.table.column(side).to_numpy(), dtype=np.int64)

    @property
    def scores(self) -> NDArray[np.float64]:
        """The score of each link."""
        return np.asarray(self.table.column("score").to_numpy(), dtype=np.float64)

    def parts(self) -> dict[str, NDArray[Any]]:
        """What the score of each link is made of, by name; empty where it has no parts."""
        return self.matcher().parts(self.rows("left"), self.rows("right"))

    def unmatched(self, side: Literal["left", "right"]) -> Any:
        """The rows of one table that are in no link, in its own type."""
        frame = self.left if side == "left" else self.right
        return frame.back(frame.table.take(self._missing(side)))

    def merged(self, how: How = "left", *, suffixes: tuple[str, str] = SUFFIXES) -> Any:
        """Both tables' columns side by side with the score, in the type of the left table.

        Rows without a partner have NULL in the other table's columns and in the score. The order is
        that of the left rows, then falling score; rows of the right table alone come last.

        Args:
            how: Which rows without a partner are there.
            suffixes: What names that both tables have end with.

        Raises:
            UsageError: If there is no such way, or the names would still be the same.
        """
        return self.left.back(self._merged(how, suffixes))

    def write(
        self,
        path: str | PathLike[str],
        how: How = "left",
        *,
        suffixes: tuple[str, str] = SUFFIXES,
        formulas: bool = False,
    ) -> None:
        """Write the merged table to a .csv, .tsv, .jsonl or .parquet file.

        Args:
            path: The file.
            how: As in `merged`.
            suffixes: As in `merged`.
            formulas: Leave csv cells that spreadsheets take for formulas as they are; otherwise
                they get an apostrophe in front.

        Raises:
            UsageError: If the ending is another.
            StoreError: If it cannot be written.
        """
        write_file(self._merged(how, suffixes), Path(path).expanduser(), formulas=formulas)

    def write_pairs(
        self,
        path: str | PathLike[str],
        id: str | tuple[str, str] | None = None,
        *,
        formulas: bool = False,
    ) -> None:
        """Write the links alone, as `tokenry.evaluate_links` and `tokenry.cluster` read them.

        Args:
            path: A .csv, .tsv, .jsonl or .parquet file, with columns left, right, score and source.
            id: The column, or one for each table, that rows are named by; by their numbers from 0
                when not given.
            formulas: As in `write`.

        Raises:
            UnknownNameError: If a table has no such column.
            UsageError: If the ending is another.
            StoreError: If it cannot be written.
        """
        table = self.table.select(["left", "right", "score", "source"])
        if id is not None:
            names = (id, id) if isinstance(id, str) else id
            for place, frame in enumerate((self.left, self.right)):
                frame.check("link", (names[place],))
                ids = frame.table.column(names[place]).take(table.column(place))
                table = table.set_column(place, table.column_names[place], ids)
        write_file(table, Path(path).expanduser(), formulas=formulas)

    def shown(self, most: int) -> list[str]:
        """The best links, one on a line: the score, and the keys of both rows."""
        best = np.argsort(-self.scores, kind="stable")[:most]
        texts = [
            [" | ".join(map(_cell, row.values())) for row in table.to_pylist()]
            for table in (
                self.left.table.select(list(self.on[0])).take(self.rows("left")[best]),
                self.right.table.select(list(self.on[1])).take(self.rows("right")[best]),
            )
        ]
        return [
            f"{score:.3f}  {one}  =  {other}"
            for score, one, other in zip(self.scores[best], *texts, strict=True)
        ]

    def counts(self) -> pa.Table:
        """How many left rows each right row has: its columns and `rows`."""
        found = np.bincount(self.rows("right"), minlength=len(self.right))
        name = "rows"
        while name in self.right.table.column_names:
            name = f"_{name}"
        return self.right.table.append_column(name, arrow().array(found))

    def told(self) -> dict[str, Any]:
        """What `tokenry.report` shows of it, as plain data."""
        from tokenry.tables.telling import told

        return told(self)

    def to_dict(self) -> dict[str, Any]:
        """The findings as plain data, without the links themselves."""
        return {
            "links": len(self),
            "left": len(self.left),
            "right": len(self.right),
            "on": [list(one) for one in self.on],
            "method": self.method,
            "threshold": self.threshold,
            "assign": self.assign,
            **self.facts,
            "stages": [{name: getattr(one, name) for name in one.__slots__} for one in self.stages],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = [
            f"{counted(len(self), 'link')} between {len(self.left):,} and "
            f"{counted(len(self.right), 'row')} ({self.method}, {self._cut()}, {self.assign})."
        ]
        if self.right is self.left:
            pairs, rows = counted(len(self), "pair"), counted(len(self.left), "row")
            lines = [f"{pairs} among {rows} ({self.method})."]
        else:
            alone = (counted(len(self._missing(side)), f"{side} row") for side in ("left", "right"))
            lines.append(f"Without a partner: {', '.join(alone)}.")
        if "f1" in self.facts:
            lines.append(
                "Against gold: precision {precision:.4f}, recall {recall:.4f}, F1 {f1:.4f}; the "
                "candidates hold {blocking_recall:.4f} of it and are {reduction:.4%} fewer than "
                "all pairs.".format(**self.facts)
            )
        lines += self.notes
        lines += [
            f"{one.name}: {counted(one.rows, 'row')}, "
            + (f"kept from before ({one.seconds:.1f} s then)" if one.kept else _cost(one))
            for one in self.stages
        ]
        return "\n".join(lines)

    def _cut(self) -> str:
        none = self.threshold <= NO_THRESHOLD
        return "no threshold" if none else f"threshold {self.threshold:.4g}"

    def _missing(self, side: str) -> NDArray[np.int64]:
        frame = self.left if side == "left" else self.right
        there = np.zeros(len(frame), dtype=bool)
        there[self.table.column(side).to_numpy()] = True
        return np.flatnonzero(~there)

    def _merged(self, how: str, suffixes: tuple[str, str]) -> pa.Table:
        if how not in get_args(How):
            raise UsageError(f"link: how={how!r} is unknown; give {', '.join(get_args(How))}.")
        pa = arrow()
        table = self.table.select(["left", "right", "score"])
        if how in ("left", "outer"):
            table = _with(table, "left", self._missing("left"))
            table = table.sort_by([("left", "ascending"), ("score", "descending")])
        if how in ("right", "outer"):
            table = _with(table, "right", self._missing("right"))
        left = self.left.table.take(table.column("left"))
        right = self.right.table.take(table.column("right"))
        names = _names(left.column_names, right.column_names, suffixes)
        columns = [*left.columns, *right.columns, table.column("score")]
        return pa.Table.from_arrays(columns, names=names)


def _with(table: pa.Table, side: str, rows: NDArray[np.int64]) -> pa.Table:
    """The links and rows of one side that have none."""
    pa = arrow()
    empty = {name: pa.nulls(len(rows), kind) for name, kind in _kinds(table)}
    added = pa.table({**empty, side: pa.array(rows, pa.int64())})
    return pa.concat_tables([table, added])


def _kinds(table: pa.Table) -> list[tuple[str, Any]]:
    return [(column.name, column.type) for column in table.schema]


def _names(left: list[str], right: list[str], suffixes: tuple[str, str]) -> list[str]:
    """Names of the merged columns; those that both tables have get suffixes.

    >>> _names(["id", "name"], ["name"], ("_a", "_b"))
    ['id', 'name_a', 'name_b', 'score']
    """
    shared = {*left} & {*right}
    found = [name + suffixes[0] if name in shared else name for name in left]
    found += [name + suffixes[1] if name in shared else name for name in right]
    score = "score"
    while score in found:
        score = f"_{score}"
    found.append(score)
    if len(set(found)) < len(found):
        twice = sorted({name for name in found if found.count(name) > 1})
        raise UsageError(
            f"link: the merged table would have several columns {', '.join(twice)}; give other "
            f"suffixes than {suffixes}."
        )
    return found


def _cell(value: Any) -> str:
    """A cell on one line of a terminal, without control characters."""
    text = "" if value is None else " ".join(str(value).split())
    return "".join(one for one in text if one.isprintable())[:60]


def _cost(stage: Stage) -> str:
    memory = f", {stage.peak_bytes / (1 << 20):.0f} MB at most" if stage.peak_bytes else ""
    return f"{stage.seconds:.2f} s{memory}"
