"""The forest plots: every method at every keep against the untouched model."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

from tokenry.report.axis import fit
from tokenry.report.entries import Entry
from tokenry.report.vega import SHAPES, Spec, load
from tokenry.report.words import MARKS, metric

WIDTH = 300


def forest(entries: Sequence[Entry], figure: Literal["difference", "speedup"]) -> Spec:
    """Interval of every method at every keep below one, against no difference.

    Args:
        entries: The lines of one task.
        figure: The paired difference of scores, or the paired ratio of times.
    """
    spec = load("forest")
    factor = 100 if figure == "difference" and entries[0].task.binary else 1
    shown = [e for e in entries if e.acts]
    rows, heads, y = [], [], -16.0
    for _, group in itertools.groupby(shown, key=lambda e: e.rank):
        y += 30
        lines = list(group)
        heads.append({"method": lines[0].name, "y": y})
        for entry in lines:
            y += 20
            rows.append(_row(entry, figure, factor) | {"y": y})
    zero = 0.0 if figure == "difference" else 1.0
    line = {"value": zero, "value_low": zero, "value_high": zero}
    spec["width"], spec["height"] = WIDTH, y + 12
    spec["datasets"] = {"rows": rows, "heads": heads, "zero": [{"x": zero}]}
    x = spec["layer"][0]["encoding"]["x"]
    x["scale"] = fit([line, *rows], "value", WIDTH).scale
    x["axis"]["title"] = (
        f"{metric(entries[0].task)}, difference" if figure == "difference" else "times as fast"
    )
    return spec


def _row(entry: Entry, figure: str, factor: float) -> dict[str, Any]:
    interval = getattr(entry.summary, figure)
    difference = figure == "difference"
    verdict = entry.verdict if difference else entry.faster
    color = {"good": "accent", "bad": "loss"}.get(MARKS.get(verdict, ""), "mute")
    value = entry.difference if difference else entry.speedup
    span = entry.difference_span if difference else entry.speedup_span
    return {
        "keep": entry.keep,
        "value": interval.value * factor,
        "value_low": interval.low * factor,
        "value_high": interval.high * factor,
        "color": f"var(--{color})",
        "fill": f"var(--{'paper' if color == 'mute' else color})",
        "shape": SHAPES[entry.kind],
        "figure": value,
        "says": f"{entry.title}: {value} ({span}), {verdict}",
    }
