"""Pictures of clusters: rows as numbered dots, links as lines, what guards cut as dashes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenry.counted import counted
from tokenry.report import words

SIZE = 260
"""Pixels of a picture's side."""
DOT, EDGE = 11, 16
COLORS = ("accent", "loss", "mute", "ink")
"""Names of the colours that clusters get in turn."""


def picture(cluster: Mapping[str, Any]) -> dict[str, Any]:
    """A cluster as SVG, and its rows in words.

    Args:
        cluster: As `told` has it: rows, labels, and edges of two places, a score, and whether the
            guards left it.
    """
    labels = list(dict.fromkeys(cluster["labels"]))
    colors = {label: COLORS[i % len(COLORS)] for i, label in enumerate(labels)}
    edges = cluster["edges"]
    cut = sum(not kept for *_, kept in edges)
    places = _places(len(cluster["rows"]), edges)
    return {
        "svg": _svg(cluster["labels"], colors, edges, places),
        "note": _note(cluster["size"], len(labels), cut, len(cluster["rows"])),
        "rows": [
            {
                "number": i + 1,
                "color": colors[label],
                "text": words.clean(" | ".join(_line(row, cluster["keys"])), 140),
            }
            for i, (row, label) in enumerate(zip(cluster["rows"], cluster["labels"], strict=True))
        ],
    }


def _note(size: int, clusters: int, cut: int, shown: int) -> str:
    said = f"{size} rows"
    if clusters > 1:
        said += f" in {counted(clusters, 'cluster')}, {counted(cut, 'link')} cut"
    return said if shown == size else f"{said}; the first {shown} are drawn"


def _line(row: Mapping[str, str], keys: Sequence[str]) -> list[str]:
    return [row[key] for key in keys if key in row] or [*row.values()][:3]


def _places(count: int, edges: Sequence[tuple[int, int, float, bool]]) -> NDArray[np.float64]:
    """Where the dots go: linked ones near each other, none on top of another."""
    import networkx as nx

    graph: Any = nx.Graph()
    graph.add_nodes_from(range(count))
    graph.add_weighted_edges_from((a, b, 1.0 if kept else 0.15) for a, b, _, kept in edges)
    found = nx.spring_layout(graph, seed=0, k=1.6 / max(1, count) ** 0.5, iterations=80)
    spots = np.array([found[i] for i in range(count)])
    low, high = spots.min(0), spots.max(0)
    return np.asarray(EDGE + (spots - low) / np.maximum(high - low, 1e-9) * (SIZE - 2 * EDGE))


def _svg(
    labels: Sequence[int],
    colors: Mapping[int, str],
    edges: Sequence[tuple[int, int, float, bool]],
    places: NDArray[np.float64],
) -> str:
    """Lines and dots; all that is written into it are numbers."""
    scores = [score for *_, score, _ in edges]
    low, span = min(scores, default=0.0), (max(scores, default=1.0) - min(scores, default=0.0))
    parts = [f'<svg viewBox="0 0 {SIZE} {SIZE}" width="{SIZE}" height="{SIZE}">']
    for a, b, score, kept in edges:
        x, y = places[a], places[b]
        width = 1 + 2.5 * ((score - low) / span if span else 1)
        style = (
            f'stroke="var(--grey)" stroke-width="{width:.1f}"'
            if kept
            else 'stroke="var(--loss)" stroke-width="1.5" stroke-dasharray="4 3"'
        )
        parts.append(
            f'<line x1="{x[0]:.0f}" y1="{x[1]:.0f}" x2="{y[0]:.0f}" y2="{y[1]:.0f}" {style} '
            f'aria-label="{a + 1} and {b + 1}: {score:.3g}{"" if kept else ", cut"}"/>'
        )
    for i, ((x, y), label) in enumerate(zip(places.tolist(), labels, strict=True)):
        parts.append(
            f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{DOT}" fill="var(--{colors[label]})"/>'
            f'<text x="{x:.0f}" y="{y + 4:.0f}" text-anchor="middle" font-size="11" '
            f'fill="var(--paper)">{i + 1}</text>'
        )
    return "".join([*parts, "</svg>"])
