"""What is handed to a linker beside the two tables, from what the caller gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenry import catalog, zoo
from tokenry.errors import UsageError
from tokenry.method import Aids, Linker, Scored, Side
from tokenry.tables import frames
from tokenry.tables.engine import arrow
from tokenry.tables.frames import Frame
from tokenry.tables.labels import truth
from tokenry.tables.normalise import text_of
from tokenry.tables.sides import Columns
from tokenry.tables.stages import fingerprint
from tokenry.tables.vectors import ENCODER, KeptVectors, identity, opened

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What the caller gave.

    Attributes:
        encoder: Of texts; see `tokenry.tables.vectors.opened`. An object that has `picture` gives
            pictures their vectors too.
        picture: Gives pictures their vectors.
        referee: A language model to ask, or what `tokenry.plugs.referee.referee` makes one of.
        tables: Further tables by name.
        known: Labelled pairs.
        device: Where a named encoder runs.
    """

    encoder: Any = None
    picture: Any = None
    referee: Any = None
    tables: Mapping[str, Any] | None = None
    known: Scored | None = None
    device: str | None = None

    def aids(self, folder: Path, lasting: bool) -> tuple[Aids, list[Any]]:
        """The aids, and plain data that says what they are.

        Args:
            folder: Where vectors are kept.
            lasting: Whether they will be used again, and so must be told apart.
        """
        further = {name: frames.read(one, f"the table {name}") for name, one in self._further()}
        encoder = self.encoder
        if encoder is None and zoo_has(ENCODER):
            encoder = ENCODER
        embed = None if encoder is None else KeptVectors(*opened(encoder, self.device), folder)
        judge = self.referee
        if isinstance(judge, str | tuple | Path):
            from tokenry.plugs.referee import referee

            judge = referee(judge)
        found = Aids(
            embed=embed,
            picture=getattr(encoder, "picture", None) if self.picture is None else self.picture,
            referee=judge,
            tables={name: _whole(one) for name, one in further.items()},
            known=self.known,
            linker=linker,
        )
        known = [] if self.known is None else [one.tolist() for one in self.known]
        if not lasting:
            return found, []
        names = [embed and embed.name, _called(self.picture), judged_by(self.referee, judge), known]
        prints = {name: fingerprint(one.table) for name, one in further.items()}
        return found, [*names, identity(self.encoder), prints]

    def _further(self) -> list[tuple[str, Any]]:
        return list((self.tables or {}).items())


def linker(given: str | Linker, who: str = "link") -> Linker:
    """A linker by its name, or as it is.

    Raises:
        UsageError: If it is none.
    """
    return catalog.configured(given, Linker, who)


def zoo_has(name: str) -> bool:
    """Whether the model of the zoo with this name is installed."""
    return any(f"zoo:{one.name}" == name and one.installed for one in zoo.models())


def _whole(frame: Frame) -> Side:
    return Side(columns=Columns(frame.table), keys=(), count=len(frame))


def judged_by(given: Any, judge: Any = None) -> Any:
    """What says whether a language model is still the same, as plain data.

    Args:
        given: What the caller gave; of a folder the sizes and times of its files count too.
        judge: The same, opened, where it has been.
    """
    files = identity(given) if isinstance(given, str | Path) else []
    return [_called(judge) if judge is not None else str(given), *files]


def _called(given: Any) -> str | None:
    return None if given is None else str(getattr(given, "name", type(given).__qualname__))


def labelled(given: Any, ids: Ids, who: str = "link") -> Scored:
    """Labelled pairs, from a table with columns left, right and label.

    Args:
        given: The table, or `Scored` pairs. Labels are truth values or numbers from 0 to 1; without
            a column of them all pairs are true.
        ids: What the columns left and right hold.
        who: What messages call the caller.

    Raises:
        UsageError: If a column is missing, or a row is named that is not there.
    """
    if isinstance(given, Scored):
        return given
    if isinstance(given, np.ndarray):
        given = dict(zip(("left", "right", "label"), given.T, strict=False))
    elif isinstance(given, Sequence) and not _rows(given):
        columns = zip(*given, strict=True) if len(given) else ((), ())
        given = dict(zip(("left", "right", "label"), columns, strict=False))
    frame = frames.read(given, "the table of pairs")
    there = frame.table.column_names
    if not {"left", "right"} <= set(there):
        raise UsageError(
            f"{who}: {frame.name} has the columns {', '.join(there) or 'none'}; call those that "
            "name rows of the two tables left and right."
        )
    left, right = (ids.rows(side, frame.table.column(side), who) for side in ("left", "right"))
    score = np.ones(len(frame))
    if "label" in frame.table.column_names:
        score = np.array([_label(one, who) for one in frame.table.column("label").to_pylist()])
    return Scored(left, right, score)


def gold(given: Any, ids: Ids, alone: bool, who: str = "link") -> NDArray[np.int64]:
    """True pairs, each once and sorted; within one table left < right."""
    found = labelled(given, ids, who)
    pairs = np.stack((found.left, found.right), 1)[found.score > 0.5]
    pairs = np.sort(pairs, axis=1) if alone else pairs
    return np.unique(pairs, axis=0)


def _label(value: Any, who: str) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        said = truth(value, who)
        found = np.nan if said is None else float(said)
    if not 0 <= found <= 1:
        raise UsageError(f"{who}: label={value!r}; labels are 0 or 1.")
    return found


def _rows(given: Sequence[Any]) -> bool:
    return isinstance(given, str) or bool(len(given) and isinstance(given[0], Mapping))


@dataclass(frozen=True, eq=False, slots=True)
class Ids:
    """How a caller names rows: by numbers from 0, or by columns of ids.

    Attributes:
        left: The left table.
        right: The right one.
        columns: The column of ids of each; None for numbers.
    """

    left: Frame
    right: Frame
    columns: tuple[str, str] | None = None

    def rows(self, side: str, given: pa.ChunkedArray, who: str) -> NDArray[np.int64]:
        """Numbers of rows.

        Raises:
            UsageError: If a row is not there, or its id is that of several.
        """
        frame = self.left if side == "left" else self.right
        if self.columns is None:
            return _numbers(given, frame, who)
        column = self.columns[0 if side == "left" else 1]
        frame.check(who, (column,))
        where: dict[str, int] = {}
        twice: set[str] = set()
        for row, one in enumerate(map(text_of, frame.table.column(column).to_pylist())):
            if one is not None and where.setdefault(one, row) != row:
                twice.add(one)
        wanted = list(map(text_of, given.to_pylist()))
        for one in wanted:
            if one is None or one in twice or one not in where:
                why = "is the id of several rows" if one in twice else "is no id"
                raise UsageError(
                    f"{who}: {one!r} {why} in column {column!r} of {frame.name}; pairs must name "
                    "rows that are there once."
                )
        return np.array([where[str(one)] for one in wanted], dtype=np.int64)


def _numbers(given: pa.ChunkedArray, frame: Frame, who: str) -> NDArray[np.int64]:
    pa = arrow()
    try:
        found = np.asarray(given.cast(pa.int64()).combine_chunks().to_numpy(), dtype=np.int64)
    except (pa.ArrowException, TypeError, ValueError):
        raise UsageError(
            f"{who}: pairs name rows that are no numbers; give id=COLUMN if they are ids."
        ) from None
    wrong = found[(found < 0) | (found >= len(frame))]
    if len(wrong):
        raise UsageError(
            f"{who}: row {wrong[0]} is not in {frame.name}, which has {len(frame)} rows from 0 on."
        )
    return found
