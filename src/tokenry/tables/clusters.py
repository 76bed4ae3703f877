"""Rows of one table that are the same thing, as clusters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from tokenry.counted import counted
from tokenry.tables.engine import arrow
from tokenry.tables.files import write_file
from tokenry.tables.frames import ROW, Frame

if TYPE_CHECKING:
    import pyarrow as pa

    from tokenry.tables.links import Links

CLUSTER = "cluster"
"""The column of clusters in what is given back."""


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Clusters:
    """Clusters of the rows of a table.

    Attributes:
        frame: The table.
        labels: The cluster of each row; clusters count from 0 in the order of their first rows,
            and a row that is like no other is a cluster of its own.
        links: The pairs that they were made of, if there were any.
        notes: What a reader should know.
    """

    frame: Frame
    labels: Int[np.ndarray, " n"]
    links: Links | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.labels.max()) + 1 if len(self.labels) else 0

    @property
    def table(self) -> pa.Table:
        """One row for each row of the table: _row and cluster."""
        rows = np.arange(len(self.labels))
        return arrow().table({ROW: rows, CLUSTER: np.asarray(self.labels, dtype=np.int64)})

    @property
    def sizes(self) -> Int[np.ndarray, " c"]:
        """How many rows each cluster has."""
        return np.bincount(self.labels, minlength=0)

    @property
    def firsts(self) -> Int[np.ndarray, " c"]:
        """The first row of each cluster."""
        return np.sort(np.unique(self.labels, return_index=True)[1])

    @property
    def first(self) -> Any:
        """The first row of each cluster, in the order and the type of the table."""
        return self.frame.back(self.frame.table.take(self.firsts))

    @property
    def labelled(self) -> Any:
        """The table with a column of clusters, in its own type."""
        return self.frame.back(self._labelled())

    def write(
        self, path: str | PathLike[str], *, first: bool = False, formulas: bool = False
    ) -> None:
        """Write the table with its clusters to a .csv, .tsv, .jsonl or .parquet file.

        Args:
            path: The file.
            first: Write the first row of each cluster only, without the clusters.
            formulas: Leave csv cells that spreadsheets take for formulas as they are.

        Raises:
            UsageError: If the ending is another.
            StoreError: If it cannot be written.
        """
        table = self.frame.table.take(self.firsts) if first else self._labelled()
        write_file(table, Path(path).expanduser(), formulas=formulas)

    def shown(self, most: int) -> list[str]:
        """The best links that join rows of one cluster, one on a line, as `Links.shown`."""
        if self.links is None:
            return []
        left, right = self.links.rows("left"), self.links.rows("right")
        joined = self.labels[left] == self.labels[right]
        kept = self.links.table.filter(arrow().array(joined))
        return replace(self.links, table=kept).shown(most)

    def told(self) -> dict[str, Any]:
        """What `tokenry.report` shows of it, as plain data."""
        from tokenry.tables.telling import told_clusters

        return told_clusters(self)

    def to_dict(self) -> dict[str, Any]:
        """The findings as plain data, without the clusters themselves."""
        links = None if self.links is None else self.links.to_dict()
        return {**self._figures(), "notes": list(self.notes), "links": links}

    def __str__(self) -> str:
        found = self._figures()
        rows = counted(found["rows"], "row is", "rows are")
        several = counted(found["several"], "cluster")
        alone = counted(found["single"], "row is", "rows are")
        lines = [
            f"{rows} {counted(found['clusters'], 'thing')}: {several} of several rows, the largest "
            f"of {found['largest']:,}; {alone} alone.",
            *self.notes,
        ]
        return "\n".join([*lines, *([] if self.links is None else [str(self.links)])])

    def _figures(self) -> dict[str, Any]:
        sizes = self.sizes
        return {
            "rows": len(self.labels),
            "clusters": len(self),
            "several": int((sizes > 1).sum()),
            "largest": int(sizes.max(initial=0)),
            "single": int((sizes == 1).sum()),
        }

    def _labelled(self) -> pa.Table:
        name = CLUSTER
        while name in self.frame.table.column_names:
            name = f"_{name}"
        return self.frame.table.append_column(name, self.table.column(CLUSTER))
