"""`tokenry.dedupe`: which rows of one table are the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenry import catalog
from tokenry.counted import counted
from tokenry.method import Linker
from tokenry.ops.guards import ROUNDING, check_guards, guarded_components
from tokenry.tables import frames
from tokenry.tables.clusters import Clusters
from tokenry.tables.engine import arrow
from tokenry.tables.settings import METHOD, Run, Settings
from tokenry.tables.sides import named

if TYPE_CHECKING:
    import pyarrow as pa
    from typing_extensions import Unpack

    from tokenry.tables.frames import Frame
    from tokenry.tables.links import Links
    from tokenry.tables.settings import Columns

APART = 1.5
"""How far clusters stand apart where nobody said from which score on rows are the same."""
MANY = 5_000_000
"""Pairs up to which clusters stand apart unasked; with 13 million, 4 GB did not suffice."""
CHAIN = 50
"""Rows of a cluster up to which nobody is warned."""


def dedupe(
    table: Any,
    on: Columns | None = None,
    *,
    apart: float | None = None,
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

    How alike two rows of one thing are depends on the table: names alone are near each other
    everywhere, whole addresses nowhere. Where you do not say from which score on rows are the same,
    a cluster therefore has to stand apart from the rows around it, too.

    Args:
        table: The table, of any type that `tokenry.link` takes.
        on: Key columns.
        apart: How many times as far as a cluster reaches the nearest row outside is at least; how
            far is 1 - score. When not given: 1.5, or 0 where a threshold or `known` pairs say from
            which score on rows are the same, or there are more than five million pairs. 0 asks for
            nothing.
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
    gap = float((0.0 if _told(settings) else APART) if apart is None else apart)
    check_guards(largest, density, gap)
    sources = None if source is None else frame.codes("dedupe", source)
    links, scored = _found(frame, keys, settings, gap)
    notes = [] if apart is not None or not gap else _unasked(scored)
    labels = guarded_components(
        np.stack([scored.column(side).to_numpy() for side in ("left", "right")], 1),
        scored.column("score").to_numpy(),
        len(frame),
        largest=largest,
        density=density,
        bridges=bridges,
        sources=sources,
        apart=0.0 if notes else gap,
        threshold=links.threshold,
    )
    notes += [*_cut(links, labels), *_chains(labels)]
    return Clusters(frame=frame, labels=labels, links=links, notes=tuple(notes))


def _found(
    frame: Frame, on: tuple[tuple[str, ...], tuple[str, ...]], settings: Settings, apart: float
) -> tuple[Links, pa.Table]:
    """The links, and all pairs that were kept, those below the threshold too."""
    links, near = Run(
        who="dedupe",
        left=frame,
        right=frame,
        on=on,
        assign="many",
        settings=settings,
        apart=apart,
    ).found()
    kept = links.table.select(["left", "right", "score"])
    return links, kept if near is None else arrow().concat_tables([kept, near])


def _told(settings: Settings) -> bool:
    """Whether anybody said from which score on rows are the same."""
    given = settings.get("threshold") is not None or settings.get("known") is not None
    method = catalog.configured(settings.get("method", METHOD), Linker, "dedupe")
    return given or method.threshold is not None


def _unasked(scored: pa.Table) -> list[str]:
    """Why clusters are not asked to stand apart, if they cannot well be."""
    if len(scored) > MANY:
        return [
            f"More than {MANY:,} pairs: clusters were not asked to stand apart, which takes "
            "gigabytes of memory; give apart=1.5 to ask for it."
        ]
    top = _top(scored)
    if top > 1 + ROUNDING:
        return [f"Scores go up to {top:.3g}: clusters were not asked to stand apart."]
    return []


def _top(scored: pa.Table) -> float:
    return float(scored.column("score").to_numpy().max(initial=-np.inf))


def _cut(links: Links, labels: NDArray[np.int64]) -> tuple[str, ...]:
    """How many links the guards did not let join anything."""
    cut = int((labels[links.rows("left")] != labels[links.rows("right")]).sum())
    if not cut:
        return ()
    return (
        f"{cut:,} of {counted(len(links), 'link')} without effect: the rows are not clearly nearer "
        "to each other than to others, or a guard keeps them apart.",
    )


def _chains(labels: NDArray[np.int64]) -> tuple[str, ...]:
    """A warning where one cluster has swallowed a good part of the table."""
    largest = int(np.bincount(labels).max(initial=0)) if len(labels) else 0
    if largest <= max(CHAIN, len(labels) // 20):
        return ()
    return (
        f"One cluster has {largest:,} of {len(labels):,} rows: links have joined what is not the "
        "same. Raise the threshold, or set apart, largest, density, bridges or source.",
    )
