"""What a report tells of links and clusters: figures, and some of the records, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenry.ops.clusters import components, members
from tokenry.tables.links import NO_THRESHOLD

if TYPE_CHECKING:
    from tokenry.method import Scored
    from tokenry.tables.clusters import Clusters
    from tokenry.tables.frames import Frame
    from tokenry.tables.links import Links

EXAMPLES = 6
"""Pairs just above the threshold that are told, and as many just below it."""
COMPARED = 25_000_000
"""Pairs of rows up to which what lies just below the threshold is looked for."""
BARS = 24
PICTURED, NODES = 9, 24
"""Clusters that are told, and rows of each."""
LONG = 600
"""Characters of a value."""


def told(links: Links, joining: NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """A run as plain data, of bounded size.

    Args:
        links: What was found.
        joining: Which of them join rows of one cluster, where there are clusters; the others are
            told as what guards cut, and not as what was barely linked.
    """
    alone = links.right is links.left
    return {
        "alone": alone,
        "names": [links.left.name, links.right.name],
        "rows": [len(links.left), len(links.right)],
        "links": len(links),
        "unlinked": [_unlinked(links, "left"), _unlinked(links, "right")],
        "on": [list(names) for names in links.on],
        "method": links.method,
        "threshold": None if links.threshold <= NO_THRESHOLD else float(links.threshold),
        "assign": links.assign,
        "facts": {name: value for name, value in links.facts.items() if _plain(value)},
        "sources": _sources(links),
        "stages": [
            {name: getattr(stage, name) for name in stage.__slots__} for stage in links.stages
        ],
        "notes": list(links.notes),
        "histogram": histogram(links.scores),
        "examples": _examples(links, joining),
        "clusters": [],
    }


def told_clusters(found: Clusters) -> dict[str, Any]:
    """The same of clusters, with pictures of some.

    Args:
        found: The clusters.
    """
    sizes = found.sizes
    facts = {
        "clusters": len(found),
        "several": int((sizes > 1).sum()),
        "largest": int(sizes.max(initial=0)),
        "sizes": np.bincount(sizes).tolist()[: NODES + 1],
    }
    if found.links is None:
        return {**_nothing(found.frame), "notes": list(found.notes), "clustering": facts}
    joining = _joining(found, found.links)
    run, cut = told(found.links, joining), int((~joining).sum())
    notes = [*run["notes"], *found.notes]
    pictures = _pictures(found, found.links, cut)
    return {**run, "notes": notes, "clustering": {**facts, "cut": cut}, "clusters": pictures}


def histogram(scores: NDArray[np.float64]) -> list[tuple[float, float, int]]:
    """How many links score how much: from, to, and the count of each of some equal steps.

    >>> histogram(np.array([0.5, 0.5, 1.0]))[-1]
    (0.97..., 1.0, 1)
    """
    scores = scores[np.isfinite(scores)]
    if not len(scores):
        return []
    counts, ends = np.histogram(scores, bins=1 if scores.min() == scores.max() else BARS)
    steps = zip(ends[:-1].tolist(), ends[1:].tolist(), counts.tolist(), strict=True)
    return [(float(a), float(b), int(n)) for a, b, n in steps]


def _nothing(frame: Frame) -> dict[str, Any]:
    """A run of which nothing but the table is known."""
    lists: dict[str, Any] = {n: [] for n in ("on", "stages", "histogram", "examples", "clusters")}
    facts: dict[str, Any] = {"facts": {}, "sources": {}, "links": 0, "unlinked": [0, 0]}
    about = {"names": [frame.name] * 2, "rows": [len(frame)] * 2, "alone": True}
    return {**lists, **facts, **about, "method": "", "threshold": None, "assign": ""}


def _unlinked(links: Links, side: str) -> int:
    rows = links.table.column(side).to_numpy()
    if links.right is links.left:
        rows = np.concatenate([links.table.column(one).to_numpy() for one in ("left", "right")])
    return len(links.left if side == "left" else links.right) - len(np.unique(rows))


def _sources(links: Links) -> dict[str, int]:
    """How many links each blocking rule brought first."""
    counted = links.table.column("source").value_counts().to_pylist()
    return {str(one["values"]): int(one["counts"]) for one in counted}


def _examples(links: Links, joining: NDArray[np.bool_] | None) -> list[dict[str, Any]]:
    """Links that were nearly none, and pairs that were nearly links."""
    order = np.argsort(links.scores, kind="stable")
    order = (order if joining is None else order[joining[order]])[:EXAMPLES]
    pairs = [(int(links.rows("left")[i]), int(links.rows("right")[i]), True) for i in order]
    matcher = links.matcher()
    if len(links.left) * len(links.right) <= COMPARED:
        pairs += _nearly(links, matcher)
    left, right = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    values = matcher.score(left, right)
    # One by one: what a linker names of several pairs need not be what matters in each.
    parts = [matcher.parts(left[i : i + 1], right[i : i + 1]) for i in range(len(pairs))]
    return [
        {
            "left": record(links.left, a, links.on[0]),
            "right": record(links.right, b, links.on[1], links.on[0]),
            "keys": list(links.on[0]),
            "score": float(values[i]),
            "linked": linked,
            "parts": {name: float(one[0]) for name, one in parts[i].items()},
        }
        for i, (a, b, linked) in enumerate(pairs)
    ]


def _nearly(links: Links, matcher: Any) -> list[tuple[int, int, bool]]:
    """Pairs of the best scores below the threshold, of rows that are in no link."""
    found = matcher.nearest(1)
    taken = np.zeros(len(links.left), dtype=bool)
    taken[links.rows("left")] = True
    below = (found.score < links.threshold) & ~taken[found.left]
    if links.right is links.left:
        taken[links.rows("right")] = True
        below = _once(found) & (found.score < links.threshold) & ~taken[found.left]
    order = np.flatnonzero(below)[np.argsort(-found.score[below], kind="stable")][:EXAMPLES]
    return [(int(found.left[i]), int(found.right[i]), False) for i in order]


def _once(found: Scored) -> NDArray[np.bool_]:
    """Whether no pair before a pair of one table has the same two rows."""
    both = np.sort(np.stack((found.left, found.right), 1), axis=1)
    first = np.zeros(len(both), dtype=bool)
    first[np.unique(both, axis=0, return_index=True)[1]] = True
    return first


def _joining(found: Clusters, links: Links) -> NDArray[np.bool_]:
    """Which links join rows of one cluster; guards cut the others."""
    same = found.labels[links.rows("left")] == found.labels[links.rows("right")]
    return np.asarray(same, dtype=bool)


def _pictures(found: Clusters, links: Links, cut: int) -> list[dict[str, Any]]:
    """What links join, those first that guards cut, then the largest."""
    left, right, scores = links.rows("left"), links.rows("right"), links.scores
    whole = components(np.stack((left, right), 1), len(links.left))
    inside = found.labels[left] == found.labels[right]
    torn = np.bincount(whole[left[~inside]], minlength=int(whole.max(initial=0)) + 1)
    groups = [rows for rows in members(whole) if len(rows) > 1]
    groups.sort(key=lambda rows: (-min(1, torn[whole[rows[0]]]), abs(len(rows) - NODES // 2)))
    pictures = []
    for rows in groups[:PICTURED]:
        kept = rows[:NODES]
        place = {int(row): i for i, row in enumerate(kept)}
        edges = np.flatnonzero(np.isin(left, kept) & np.isin(right, kept))
        pictures.append(
            {
                "size": len(rows),
                "rows": [record(links.left, int(row), links.on[0]) for row in kept],
                "numbers": kept.tolist(),
                "labels": found.labels[kept].tolist(),
                "keys": list(links.on[0]),
                "edges": [
                    (place[int(left[i])], place[int(right[i])], float(scores[i]), bool(inside[i]))
                    for i in edges.tolist()
                ],
            }
        )
    return pictures


def record(
    frame: Frame, row: int, keys: Sequence[str], names: Iterable[str] = ()
) -> dict[str, str]:
    """A row for people: what its columns hold, the keys first and under `names` if given."""
    held: Mapping[str, Any] = frame.table.slice(row, 1).to_pylist()[0]
    called = dict(zip(keys, names, strict=False))
    order = [*keys, *(name for name in held if name not in keys)]
    return {
        called.get(name, name): str(held[name])[:LONG]
        for name in order
        if held[name] is not None and str(held[name]) != ""
    }


def _plain(value: Any) -> bool:
    return isinstance(value, int | float | str)
