"""The layer panels: time and tokens of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tokenry.report.vega import Spec, load

if TYPE_CHECKING:
    from tokenry.compare.records import Profile


def layers(
    profile: Profile,
    untouched: Profile | None,
    top_ms: float,
    top_rows: int,
    rows: tuple[str, str] = ("tokens in attention", "in the MLP"),
    drawn: slice = slice(2),
) -> Spec:
    """Time and tokens of each layer; the untouched model as a line.

    Args:
        profile: One method at one keep.
        untouched: The reference; None when it was not measured.
        top_ms: Upper end of the time axis in milliseconds, shared by the methods.
        top_rows: Upper end of the token axis, shared by the methods.
        rows: What the two counts of a layer are.
        drawn: Which of the two are drawn.
    """
    spec = load("layers")
    bars = [
        {
            "left": n + 0.6,
            "right": n + 1.4,
            "ms": second * 1e3,
            "says": f"layer {n + 1}: {second * 1e3:.2f} ms, "
            f"{counts[0]} {rows[0]}, {counts[1]} {rows[1]}",
        }
        for n, (second, counts) in enumerate(
            zip(profile.layer_seconds, profile.tokens, strict=True)
        )
    ]
    depth = len(bars)
    spec["datasets"] = {
        "layers": bars,
        "rows": _steps(profile.tokens, drawn),
        "untouched": _level(untouched.layer_seconds if untouched else ()),
        "untouched_rows": _steps(untouched.tokens if untouched else (), drawn),
    }
    for part, top in zip(spec["vconcat"], (top_ms, top_rows), strict=True):
        part["encoding"]["x"]["scale"]["domain"] = [0.5, depth + 0.5]
        part["encoding"]["y"]["scale"]["domain"] = [0, top]
    spec["vconcat"][1]["encoding"]["y"]["axis"]["title"] = rows[0].split()[0]
    spec["vconcat"][1]["encoding"]["x"]["axis"]["values"] = sorted({1, (depth + 1) // 2, depth})
    return spec


def _level(seconds: Sequence[float]) -> list[dict[str, float]]:
    ends = [*seconds, seconds[-1]] if seconds else []
    return [{"layer": n + 0.5, "ms": second * 1e3} for n, second in enumerate(ends)]


def _steps(tokens: Sequence[tuple[int, int]], drawn: slice) -> list[dict[str, float]]:
    """The counts of every layer one after the other, those of one layer half a layer apart."""
    flat = [rows for pair in tokens for rows in list(pair)[drawn]]
    each = len([0, 0][drawn])
    return [{"layer": 0.5 + n / each, "rows": rows} for n, rows in enumerate([*flat, *flat[-1:]])]
