"""The Pareto plot: score against time per example, or against another cost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tokenry.report.axis import Axis, Point, fit
from tokenry.report.entries import Entry
from tokenry.report.labels import Label, place
from tokenry.report.vega import SHAPES, Spec, load
from tokenry.report.words import clean, metric

if TYPE_CHECKING:
    from tokenry.compare.records import Figure

WIDE = (1000, 400)
NARROW = (290, 300)
HALF = (440, 320)
HEADROOM = 18  # pixels, for names above the best points


def pareto(
    entries: Sequence[Entry],
    size: tuple[int, int] = WIDE,
    best: Entry | None = None,
    cost: Figure | None = None,
) -> Spec:
    """Score against a cost per example, with intervals; the front stands out.

    Args:
        entries: The lines of one task; a method at keep 1 is left out, for it changes nothing.
        size: Width and height of the plot area in pixels.
        best: The line that is always named, beside the untouched model.
        cost: One of the task's figures in bytes; None for the time.
    """
    entries = [e for e in entries if e.kind == "untouched" or e.acts]
    spec = load("pareto")
    spec["width"], spec["height"] = size
    title, factor = _unit(entries, cost)
    points = [_point(e, factor, cost) for e in entries]
    x, y = fit(points, "cost", size[0], log=True), fit(points, "score", size[1])
    y = replace(y, high=y.high + HEADROOM / y.length * (y.high - y.low))
    for channel, axis, name in (
        ("x", x, title),
        ("y", y, metric(entries[0].task)),
    ):
        spec["encoding"][channel]["axis"]["title"] = name
        spec["encoding"][channel]["scale"] = axis.scale
    front = _front(points, 1 if entries[0].task.higher_is_better else -1)
    labels = _labels(entries, points, front, (x, y), best)
    spec["datasets"] = {
        "points": points,
        "front": front,
        "labels": [
            {"left": label.x, "middle": label.y, "text": label.text, "color": label.color}
            for label in labels
        ],
        "leaders": [
            {"x": start[0], "y": start[1], "x2": end[0], "y2": end[1]}
            for start, end in (label.leader for label in labels if label.leader)
        ],
        "untouched": [p for e, p in zip(entries, points, strict=True) if e.kind == "untouched"],
    }
    return spec


def _unit(entries: Sequence[Entry], cost: Figure | None) -> tuple[str, float]:
    """Title of the axis of costs, and what a cost is multiplied by."""
    if cost is not None:
        return clean(cost.title, 40), 1e-6
    if max(e.summary.seconds.value for e in entries) >= 1:
        return "Seconds per example", 1.0
    return "Milliseconds per example", 1e3


def _point(entry: Entry, factor: float, cost: Figure | None) -> Point:
    percent = 100 if entry.task.binary else 1
    front = entry.on_front(cost)
    color = "ink" if entry.kind == "untouched" else "accent" if front else "grey"
    score, seconds = entry.summary.score, entry.summary.seconds
    value = None if cost is None else entry.summary.figures[cost.name]
    return {
        "method": entry.rank,
        "keep": entry.summary.keep,
        "cost": (seconds.value if value is None else value) * factor,
        "cost_low": (seconds.low if value is None else value) * factor,
        "cost_high": (seconds.high if value is None else value) * factor,
        "score": score.value * percent,
        "score_low": score.low * percent,
        "score_high": score.high * percent,
        "shape": SHAPES[entry.kind],
        "size": 96 if front or entry.kind == "untouched" else 48,
        "color": f"var(--{color})",
        "fill": "var(--paper)" if entry.kind == "baseline" else f"var(--{color})",
        "opacity": 0.8 if front or entry.kind == "untouched" else 0.35,
        "says": entry.says,
        "front": front or entry.kind == "untouched",
    }


def _front(points: list[Point], sign: int) -> list[Point]:
    """The corner points of the area that the front leaves behind, the cheapest first."""
    corners: list[Point] = []
    for point in sorted((p for p in points if p["front"]), key=lambda p: p["cost"]):
        if not corners or sign * point["score"] > sign * corners[-1]["score"]:
            corners.append({"cost": point["cost"], "score": point["score"]})
    return corners


def _labels(
    entries: Sequence[Entry],
    points: list[Point],
    front: list[Point],
    axes: tuple[Axis, Axis],
    best: Entry | None,
) -> list[Label]:
    """The best and the untouched, then one per method on the front, then what finds room."""
    x, y = axes
    lit = zip(entries, points, strict=True)
    on_front = {e.rank: e.summary.keep for e, p in lit if p["front"] and e.kind != "untouched"}
    smallest = {e.rank: e.summary.keep for e in entries}
    roomy = x.length >= WIDE[0]
    first: list[Label] = []
    fronts, then, last, taken = [], [], [], []
    for entry, point in zip(entries, points, strict=True):
        at = x(point["cost"]), y.length - y(point["score"])
        taken.append(at)
        keep = entry.summary.keep
        label = Label(*at, entry.title, point["color"], needed=False, far=False)
        if entry == best:
            first.insert(0, replace(label, needed=True, far=True))
        elif entry.kind == "untouched":
            first.append(replace(label, needed=True, far=True))
        elif point["front"] and keep == on_front[entry.rank]:
            fronts.append(replace(label, far=True))
        elif point["front"]:
            then.append(label)
        elif roomy and entry.rank not in on_front and keep == smallest[entry.rank]:
            last.append(replace(label, color="var(--mute)"))
    corners = [(x(c["cost"]), y.length - y(c["score"])) for c in front]
    wishes = [*first, *fronts, *then, *last]
    return place(wishes, taken, _along(corners), (0, 0, x.length, y.length))


def _along(corners: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Places every few pixels on the steps of the front's line."""
    places: list[tuple[float, float]] = []
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        places += [(x, y0) for x in range(int(x0), int(x1), 10)]
        places += [(x1, y) for y in range(int(y1), int(y0), 10)]
    return places
