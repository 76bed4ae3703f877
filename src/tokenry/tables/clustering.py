"""`tokenry.cluster`: which records are one thing, from pairs that anything may have scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from tokenry.counted import counted
from tokenry.errors import DataError, UsageError
from tokenry.ops.guards import ROUNDING, average_link, nested_components
from tokenry.tables import frames, ids
from tokenry.tables.engine import arrow
from tokenry.tables.files import write_file
from tokenry.tables.frames import Frame

if TYPE_CHECKING:
    import pyarrow as pa

By = Literal["components", "average"]
"""How records join: through any chain of pairs, or while the mean of all their pairs suffices."""
Labels = Int[np.ndarray, " n"]


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Clustered:
    """Records and the cluster of each, at one threshold or at several.

    Attributes:
        records: The records, one row each, with the clusters beside them.
        labels: The cluster of each record by the threshold; numbered by their first records.
        columns: The column of the clusters at each threshold.
        by: How records joined.
        frame: Where the records came from.
        notes: What a reader should know.
    """

    records: pa.Table
    labels: Mapping[float, Labels]
    columns: Mapping[float, str]
    by: str
    frame: Frame
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.records.num_rows)

    @property
    def table(self) -> Any:
        """The records with their clusters, in the type of the caller's table."""
        return self.frame.back(self.records)

    def write(self, path: str | PathLike[str], *, formulas: bool = False) -> None:
        """Write the records with their clusters to a .csv, .tsv, .jsonl or .parquet file.

        Args:
            path: The file.
            formulas: Leave csv cells that spreadsheets take for formulas as they are.

        Raises:
            UsageError: If the ending is another.
            StoreError: If it cannot be written.
        """
        write_file(self.records, Path(path).expanduser(), formulas=formulas)

    def to_dict(self) -> dict[str, Any]:
        """The sizes of the clusters at each threshold, as plain data."""
        return {
            "records": len(self),
            "by": self.by,
            "thresholds": [
                {"threshold": None if np.isinf(threshold) else threshold, **_sizes(labels)}
                for threshold, labels in self.labels.items()
            ],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = []
        for threshold, labels in self.labels.items():
            sizes = _sizes(labels)
            at = "" if np.isinf(threshold) else f" at {threshold:g}"
            lines.append(
                f"{counted(len(self), 'record')} in {counted(sizes['clusters'], 'cluster')}{at}; "
                f"{sizes['single']:,} of one record, the largest of {sizes['largest']:,}."
            )
        return "\n".join([*lines, *self.notes])


def cluster(
    pairs: Any,
    records: Any = None,
    *,
    id: str = "id",
    left: str = "left",
    right: str = "right",
    score: str = "score",
    threshold: float | Sequence[float] | None = None,
    by: By = "components",
    largest: int | None = None,
    density: float = 0.0,
    bridges: bool = False,
    source: str | None = None,
    apart: float = 0.0,
    missing: float = 0.0,
    encoding: str | None = None,
) -> Clustered:
    """Make clusters of scored pairs; where the scores come from does not matter.

    Connected components run together: one wrong pair joins two clusters. The guards `largest`,
    `density`, `bridges`, `source` and `apart` only split what would be joined. At a higher
    threshold clusters always lie within those at a lower one.

    Args:
        pairs: A table or file with the ids of two records in each row, in either order.
        records: A table or file with all records, so that those without a pair are there too, or a
            list of their ids. When not given, the records are those that the pairs name.
        id: The column of the records' ids.
        left: The column of the pairs with one id.
        right: The column with the other one.
        score: The column of scores; a pair with an empty score is no pair. A table without it has
            pairs that all count the same.
        threshold: The score from which on a pair counts, or several; None for all pairs.
        by: "components", or "average" for agglomerative clustering with average linkage, where
            pairs that are not there count as `missing`.
        largest: Most records of a cluster; a larger one is taken at a higher threshold.
        density: Least share of a cluster's possible pairs that must be there.
        bridges: Drop weak pairs that alone hold two groups together.
        source: A column of the records: a cluster has at most one record of each source. A record
            without a source may be with any.
        apart: How many times as far as a cluster reaches the nearest record outside is at least;
            how far is 1 - score, so scores are at most 1. Pairs below the threshold say what is
            near, so give them too. 0 asks for nothing.
        missing: With "average": the score of a pair that is not there.
        encoding: Of csv files.

    Raises:
        DataError: If an id is missing, comes twice among the records, or is none of theirs.
        UnknownNameError: If a table has no such column.
        UsageError: If settings do not go together.

    >>> pairs = {"left": [1, 2], "right": [2, 3], "score": [0.9, 0.6]}
    >>> cluster(pairs, [1, 2, 3, 4], threshold=[0.5, 0.8]).table["cluster_0.8"]
    [0, 0, 1, 2]
    """
    given = _given(pairs, by, (left, right), encoding)
    frame = _records(records, given, id, left, right, encoding)
    numbers = _numbers(frame, given, id, left, right)
    scores = ids.scores_of("cluster", given, score)
    steps = _steps(threshold, scores, given.name, score)
    _check_apart(apart, scores is not None, given.name, score)
    if by == "average":
        _no_guards(largest=largest, density=density, bridges=bridges, source=source, apart=apart)
        found = _averaged(numbers, scores, len(frame), steps, missing)
        return _clustered(frame, steps, found, by, scores)
    found = nested_components(
        numbers,
        np.ones(len(given)) if scores is None else scores,
        len(frame),
        steps,
        largest=largest,
        density=density,
        bridges=bridges,
        sources=None if source is None else frame.codes("cluster", source),
        apart=apart,
    )
    return _clustered(frame, steps, found, by, scores)


def _given(pairs: Any, by: str, ids: tuple[str, str], encoding: str | None) -> Frame:
    if by not in get_args(By):
        raise UsageError(f"cluster: by={by!r} is unknown; give {' or '.join(get_args(By))}.")
    given = frames.read(pairs, "the table of pairs", encoding=encoding)
    given.check("cluster", ids)
    return given


def _records(
    records: Any, pairs: Frame, name: str, left: str, right: str, encoding: str | None
) -> Frame:
    """The records as a table, made of the pairs where none is given."""
    pa = arrow()
    if records is None:
        columns = {side: pairs.table.column(side) for side in (left, right)}
        found, _ = ids.numbered("cluster", columns)
        return Frame(pa.table({name: found}), pairs.back, "the records of the pairs")
    if isinstance(records, Sequence) and not isinstance(records, str | Mapping):
        rows = list(records)
        if not all(isinstance(row, Mapping) for row in rows) or not rows:
            table = pa.table({name: pa.array(rows, None if rows else pa.int64())})
            return Frame(table, pairs.back, "the list of records")
    frame = frames.read(records, "the table of records", encoding=encoding)
    frame.check("cluster", (name,))
    return frame


def _numbers(
    frame: Frame, pairs: Frame, name: str, left: str, right: str
) -> Int[np.ndarray, "m 2"]:
    """Rows of the records that the pairs name."""
    columns = {
        f"{frame.name} ({name})": frame.table.column(name),
        f"{pairs.name} ({left})": pairs.table.column(left),
        f"{pairs.name} ({right})": pairs.table.column(right),
    }
    values, (own, one, other) = ids.numbered("cluster", columns)
    ids.unique("cluster", f"{frame.name} ({name})", values, own)
    # Ids are numbered as they are met, so that those of the records come first.
    unknown = np.arange(len(frame), len(values))
    if len(unknown):
        raise DataError(
            f"cluster: {pairs.name} names {len(unknown)} ids that are not in {frame.name}, such as "
            f"{ids.shown(values, unknown)}; add them, or leave the records out to take those of "
            "the pairs."
        )
    return np.stack((one, other), 1)


def _steps(
    threshold: float | Sequence[float] | None,
    scores: Float[np.ndarray, " m"] | None,
    where: str,
    column: str,
) -> list[float]:
    if threshold is None:
        return [-np.inf]
    steps = [threshold] if isinstance(threshold, int | float) else list(threshold)
    if not steps or any(step != step for step in steps):
        raise UsageError(f"cluster: threshold={threshold!r} is no number, and no list of them.")
    if scores is None:
        raise UsageError(
            f"cluster: threshold={threshold!r} needs scores, and {where} has no column "
            f"{column!r}; name it with score."
        )
    there = scores[~np.isnan(scores)]
    shares = len(there) and there.min() >= 0 and there.max() <= 1 + ROUNDING
    if shares and max(steps) > 1 + ROUNDING:
        raise UsageError(
            f"cluster: threshold={threshold!r} is above 1, and the scores of {where} lie in [0, 1] "
            f"({there.min():g} to {there.max():g}); give at most 1."
        )
    return [float(step) for step in dict.fromkeys(steps)]


def _check_apart(apart: float, has_scores: bool, where: str, column: str) -> None:
    if apart and not has_scores:
        raise UsageError(
            f"cluster: apart={apart:g} takes 1 - score for a distance, and {where} has no "
            f"column {column!r}; name it with score, or leave apart out."
        )


def _no_guards(**guards: Any) -> None:
    for name, value in guards.items():
        if value:
            raise UsageError(
                f"cluster: {name}={value!r} guards components; leave it out with by='average'."
            )


def _averaged(
    pairs: Int[np.ndarray, "m 2"],
    scores: Float[np.ndarray, " m"] | None,
    count: int,
    steps: list[float],
    missing: float,
) -> list[Labels]:
    if scores is None or np.isinf(steps[0]):
        raise UsageError("cluster: by='average' needs scores and a threshold of their mean.")
    return [average_link(pairs, scores, count, threshold=step, missing=missing) for step in steps]


def _clustered(
    frame: Frame,
    steps: list[float],
    labels_of: list[Labels],
    by: str,
    scores: Float[np.ndarray, " m"] | None,
) -> Clustered:
    pa, found = arrow(), dict(zip(steps, labels_of, strict=True))
    single = len(found) == 1
    names = {step: "cluster" if single else f"cluster_{step:g}" for step in found}
    table = frame.table
    for step, labels in found.items():
        if names[step] in table.column_names:
            raise UsageError(
                f"cluster: {frame.name} has a column {names[step]!r} already; rename it."
            )
        table = table.append_column(names[step], pa.array(labels, pa.int64()))
    return Clustered(
        records=table,
        labels=found,
        columns=names,
        by=by,
        frame=frame,
        notes=() if scores is None else _unreached(steps, scores),
    )


def _unreached(steps: list[float], scores: Float[np.ndarray, " m"]) -> tuple[str, ...]:
    """A note about thresholds that no pair reaches."""
    highest = np.nanmax(scores, initial=-np.inf)
    return tuple(
        f"No pair scores {step:g}: the highest score is {highest:g}."
        for step in steps
        if step > highest > -np.inf
    )


def _sizes(labels: Labels) -> dict[str, int]:
    counts = np.bincount(labels) if len(labels) else np.zeros(0, dtype=np.int64)
    return {
        "clusters": len(counts),
        "single": int((counts == 1).sum()),
        "largest": int(counts.max(initial=0)),
    }
