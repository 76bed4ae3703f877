"""The charts: Vega-Lite specs from `charts/`, filled with data and drawn as plain SVG.

The SVG holds no script and no address, and names its colours as CSS variables, so that one drawing
serves light, dark and print.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import vl_convert

from tokenry.report.entries import Entry
from tokenry.report.labels import Label, place
from tokenry.report.words import clean

if TYPE_CHECKING:
    from tokenry.compare.results import Profile

Spec = dict[str, Any]

CHARTS = Path(__file__).parent / "charts"
# Name: (light, dark). Accent and loss stay apart for colour-blind readers.
PALETTE = {
    "paper": ("#ffffff", "#131519"),
    "soft": ("#f5f6f8", "#1c1f25"),
    "ink": ("#16181d", "#eceef2"),
    "mute": ("#59606c", "#a3aab7"),
    "line": ("#e2e5ea", "#2d323b"),
    "grey": ("#8b93a0", "#737b89"),
    "accent": ("#0b5fd3", "#6db0ff"),
    "loss": ("#b8410b", "#ff9d68"),
}
WIDE = (1000, 400)
NARROW = (290, 300)
SHAPES = {"untouched": "square", "paper": "circle", "baseline": "diamond"}
_DECIMALS = re.compile(r'( (?:transform|d|x2|y2|width|height)=")([^"]*)"')
_NUMBER = re.compile(r"\d+\.\d{2,}")
_ATTRIBUTES = re.compile(
    r' (?:role="graphics-(?:object|symbol)"|aria-roledescription="[^"]*"|pointer-events="none"'
    r'|xmlns(?::xlink)?="[^"]*"|aria-hidden="true"|version="1\.1")'
)
_EMPTY = re.compile(r'<path class="(?:back|fore)ground"[^>]*/>')


def load(chart: str) -> Spec:
    """A chart's spec with the theme, still without data."""
    theme = json.loads((CHARTS / "theme.json").read_text(encoding="utf-8"))
    spec: Spec = json.loads((CHARTS / f"{chart}.json").read_text(encoding="utf-8"))
    return theme | spec


def to_svg(spec: Spec) -> str:
    """The chart as inline SVG, as wide as its place allows but never wider than drawn."""
    svg: str = vl_convert.vegalite_to_svg(json.dumps(spec, allow_nan=False), allowed_base_urls=[])
    svg = _EMPTY.sub("", _ATTRIBUTES.sub("", svg))
    return _DECIMALS.sub(lambda m: f'{m[1]}{_NUMBER.sub(_shorter, m[2])}"', svg)


def to_png(spec: Spec, scale: float = 2) -> bytes:
    """The chart as PNG in the light colours."""
    text = json.dumps(spec, allow_nan=False)
    for color, (light, _) in PALETTE.items():
        text = text.replace(f"var(--{color})", light)
    png: bytes = vl_convert.vegalite_to_png(text, scale=scale, allowed_base_urls=[])
    return png


def pareto(entries: Sequence[Entry], size: tuple[int, int] = WIDE) -> Spec:
    """Score against time per example, with intervals; the front stands out.

    Args:
        entries: The lines of one task.
        size: Width and height of the plot area in pixels.
    """
    spec = load("pareto")
    spec["width"], spec["height"] = size
    unit, factor = _unit(max(e.summary.seconds.value for e in entries))
    percent = 100 if entries[0].task.binary else 1
    points = [_point(e, factor, percent) for e in entries]
    x_axis, y_axis = spec["encoding"]["x"], spec["encoding"]["y"]
    x_axis["axis"]["title"] = f"{unit} per example"
    y_axis["axis"]["title"] = _metric(entries[0])
    x_axis["scale"] |= _scale([p[k] for p in points for k in ("seconds_low", "seconds_high")])
    y_axis["scale"]["domain"] = _domain([p[k] for p in points for k in ("score_low", "score_high")])
    spec["datasets"] = {
        "points": points,
        "front": _front(points),
        "labels": _labels(entries, points, x_axis["scale"], y_axis["scale"]["domain"], size),
        "untouched": [p for e, p in zip(entries, points, strict=True) if e.kind == "untouched"],
    }
    return spec


def forest(entries: Sequence[Entry], figure: Literal["difference", "speedup"]) -> Spec:
    """Interval of every method at every keep below one, against no difference.

    Args:
        entries: The lines of one task.
        figure: The paired difference of scores, or the paired ratio of times.
    """
    spec = load("forest")
    factor = 100 if figure == "difference" and entries[0].task.binary else 1
    rows: list[dict[str, Any]] = []
    heads: list[dict[str, Any]] = []
    y = 0.0
    for entry in entries:
        if entry.kind == "untouched" or entry.summary.keep == 1:
            continue
        if not heads or heads[-1]["label"] != entry.summary.method:
            y += 14 if not heads else 30
            heads.append({"label": entry.summary.method, "method": entry.name, "y": y})
        y += 20
        rows.append(_forest_row(entry, figure, factor) | {"y": y})
    for head in heads:
        del head["label"]
    zero = 0.0 if figure == "difference" else 1.0
    spec["height"] = y + 12
    spec["datasets"] = {"rows": rows, "heads": heads, "zero": [{"x": zero}]}
    x = spec["layer"][0]["encoding"]["x"]
    x["scale"]["domain"] = _domain([zero, *(row[k] for row in rows for k in ("low", "high"))])
    x["axis"]["title"] = (
        f"{_metric(entries[0])}, difference" if figure == "difference" else "times as fast"
    )
    return spec


def layers(profile: Profile, untouched: Profile | None, top_ms: float, top_rows: int) -> Spec:
    """Time and tokens of each layer; the untouched model as a line.

    Args:
        profile: One method at one keep.
        untouched: The reference; None when it was not measured.
        top_ms: Upper end of the time axis in milliseconds, shared by the methods.
        top_rows: Upper end of the token axis, shared by the methods.
    """
    spec = load("layers")
    bars = [
        {
            "left": n + 0.6,
            "right": n + 1.4,
            "ms": second * 1e3,
            "says": f"layer {n + 1}: {second * 1e3:.2f} ms, "
            f"{rows[0]} tokens in attention, {rows[1]} in the MLP",
        }
        for n, (second, rows) in enumerate(
            zip(profile.layer_seconds, profile.tokens, strict=True)
        )
    ]
    depth = len(bars)
    spec["datasets"] = {
        "layers": bars,
        "rows": _steps(profile.tokens),
        "untouched": _level(untouched.layer_seconds if untouched else ()),
        "untouched_rows": _steps(untouched.tokens if untouched else ()),
    }
    for part, top in zip(spec["vconcat"], (top_ms, top_rows), strict=True):
        part["encoding"]["x"]["scale"]["domain"] = [0.5, depth + 0.5]
        part["encoding"]["y"]["scale"]["domain"] = [0, top]
    spec["vconcat"][1]["encoding"]["x"]["axis"]["values"] = sorted({1, (depth + 1) // 2, depth})
    return spec


def _shorter(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _unit(seconds: float) -> tuple[str, float]:
    return ("Seconds", 1.0) if seconds >= 1 else ("Milliseconds", 1e3)


def _metric(entry: Entry) -> str:
    return clean(entry.task.metric, 40) + (" (%)" if entry.task.binary else "")


def _point(entry: Entry, factor: float, percent: float) -> dict[str, Any]:
    front = entry.summary.on_front
    color = "ink" if entry.kind == "untouched" else "accent" if front else "grey"
    score, seconds = entry.summary.score, entry.summary.seconds
    return {
        "method": entry.summary.method,
        "keep": entry.summary.keep,
        "seconds": seconds.value * factor,
        "seconds_low": seconds.low * factor,
        "seconds_high": seconds.high * factor,
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


def _front(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The corner points of the area that the front leaves behind, fastest first."""
    corners: list[dict[str, Any]] = []
    for point in sorted((p for p in points if p["front"]), key=lambda p: p["seconds"]):
        if not corners or point["score"] > corners[-1]["score"]:
            corners.append({"seconds": point["seconds"], "score": point["score"]})
    return corners


def _domain(values: Sequence[float]) -> list[float]:
    """All values with a margin of a twentieth on either side."""
    low, high = min(values), max(values)
    margin = (high - low or abs(high) or 1.0) / 20
    return [low - margin, high + margin]


def _scale(values: Sequence[float]) -> Spec:
    """Linear, or logarithmic where one end is more than six times the other."""
    low, high = min(values), max(values)
    if low > 0 and high / low > 6:
        return {"type": "log", "domain": [low / 1.1, high * 1.1]}
    return {"type": "linear", "domain": _domain(values)}


def _labels(
    entries: Sequence[Entry],
    points: list[dict[str, Any]],
    x: Spec,
    y: list[float],
    size: tuple[int, int],
) -> list[dict[str, Any]]:
    """Names of the front, then one name for each other method at its smallest keep."""
    warp = math.log if x["type"] == "log" else float
    left, right = (warp(end) for end in x["domain"])
    named = {entry.name for entry, p in zip(entries, points, strict=True) if p["front"]}
    places, wishes = [], []
    for entry, point in zip(entries, points, strict=True):
        at = (
            (warp(point["seconds"]) - left) / (right - left) * size[0],
            (y[1] - point["score"]) / (y[1] - y[0]) * size[1],
        )
        places.append(at)
        last = all(
            entry.summary.keep <= other.summary.keep
            for other in entries
            if other.name == entry.name
        )
        if point["front"] or (last and entry.name not in named):
            color = point["color"] if point["front"] else "var(--mute)"
            wishes.append(Label(*at, entry.title, color, needed=point["front"]))
    wishes.sort(key=lambda label: not label.needed)
    return [
        {"left": label.x, "middle": label.y, "text": label.text, "color": label.color}
        for label in place(wishes, places, (0, 0, *size))
    ]


def _forest_row(entry: Entry, figure: str, factor: float) -> dict[str, Any]:
    interval = getattr(entry.summary, figure)
    difference = figure == "difference"
    verdict = entry.verdict if difference else entry.faster
    color = {
        "better": "accent",
        "faster": "accent",
        "worse": "loss",
        "slower": "loss",
    }.get(verdict, "mute")
    value = entry.difference if difference else entry.speedup
    span = entry.difference_span if difference else entry.speedup_span
    return {
        "keep": entry.keep,
        "value": interval.value * factor,
        "low": interval.low * factor,
        "high": interval.high * factor,
        "color": f"var(--{color})",
        "fill": f"var(--{'paper' if color == 'mute' else color})",
        "shape": SHAPES[entry.kind],
        "figure": value,
        "says": f"{entry.title}: {value} ({span}), {verdict}",
    }


def _level(seconds: Sequence[float]) -> list[dict[str, float]]:
    ends = [*seconds, seconds[-1]] if seconds else []
    return [{"layer": n + 0.5, "ms": second * 1e3} for n, second in enumerate(ends)]


def _steps(tokens: Sequence[tuple[int, int]]) -> list[dict[str, float]]:
    """Rows that enter attention, then the MLP, of every layer, half a layer apart."""
    flat = [rows for pair in tokens for rows in pair]
    return [{"layer": 0.5 + n / 2, "rows": rows} for n, rows in enumerate([*flat, *flat[-1:]])]
