"""`tokenry.dedupe`: which rows of one table are the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenry.ops.guards import guarded_components
from tokenry.tables import frames
from tokenry.tables.clusters import Clusters
from tokenry.tables.settings import Run, Settings
from tokenry.tables.sides import named

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tokenry.tables.settings import Columns

CHAIN = 50
"""Rows of a cluster up to which nobody is warned."""


def dedupe(
    table: Any,
    on: Columns | None = None,
    *,
    largest: int | None = None,
    density: float = 0.0,
    bridges: bool = False,
    source: str | None = None,
    encoding: str | None = None,
    **settings: Unpack[Settings],
) -> Clusters:
    """Find the rows of a table that are the same thing.

    Rows that links join, directly or through others, are a cluster; the guards keep chains of links
    from joining what is not the same. A row that is like no other is a cluster of its own.

    Args:
        table: The table, of any type that `tokenry.link` takes.
        on: Key columns.
        largest: Rows of a cluster; a larger one is solved again at a higher threshold.
        density: The share of a cluster's possible pairs that must be links.
        bridges: Cut single weak links between groups that hold together well.
        source: A column that says where a row is from; no cluster has two rows of one source.
        encoding: Of a csv or jsonl file.
        **settings: Further settings of `tokenry.link`.

    Returns:
        The clusters; `first` is the table without duplicates.

    Raises:
        UsageError: If a guard is out of range, and as `tokenry.link`.

    >>> found = dedupe({"name": ["Ada L.", "Alan T.", "ada l"]}, on="name", method="exact")
    >>> found.labels.tolist(), found.first
    ([0, 1, 0], {'name': ['Ada L.', 'Alan T.']})
    """
    frame = frames.read(table, "the table", encoding=encoding)
    keys = named(on, None, None, frame, frame, "dedupe")
    sources = None
    if source is not None:
        frame.check("dedupe", (source,))
        codes = frame.table.column(source).combine_chunks().dictionary_encode().indices
        sources = codes.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    links = Run(
        who="dedupe", left=frame, right=frame, on=keys, assign="many", settings=settings
    ).links()
    labels = guarded_components(
        np.stack((links.rows("left"), links.rows("right")), 1),
        links.scores,
        len(frame),
        largest=largest,
        density=density,
        bridges=bridges,
        sources=sources,
    )
    return Clusters(frame=frame, labels=labels, links=links, notes=_chains(labels))


def _chains(labels: NDArray[np.int64]) -> tuple[str, ...]:
    """A warning where one cluster has swallowed a good part of the table."""
    largest = int(np.bincount(labels).max(initial=0)) if len(labels) else 0
    if largest <= max(CHAIN, len(labels) // 20):
        return ()
    return (
        f"One cluster has {largest} of {len(labels)} rows: links have joined what is not the same. "
        "Raise the threshold, or set largest, density, bridges or source.",
    )
