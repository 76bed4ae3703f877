"""Bars with intervals below each other, each with its name and its figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tokenry.report.vega import load, to_svg

if TYPE_CHECKING:
    from tokenry.compare.records import Interval

HEIGHT = 26
"""Pixels of a bar and the gap below it."""


def bar(name: str, found: Interval, label: str, says: str) -> dict[str, Any]:
    """One bar.

    Args:
        name: What stands before it.
        found: Its length, with the interval that is drawn over its end.
        label: The figure as text.
        says: The same as a sentence, for who does not see it.
    """
    ends = {"value": found.value, "low": found.low, "high": found.high}
    return {"name": name, **ends, "label": label, "says": f"{name}: {says}"}


def bars(rows: Sequence[dict[str, Any]], top: float, width: int | None = None) -> dict[str, str]:
    """The chart, and a note that says it in words.

    Args:
        rows: Bars, of `bar`.
        top: The end of the axis, which begins at 0.
        width: Pixels of the axis, and of a name; None for those of most pages.
    """
    spec = load("bars")
    spec["datasets"] = {"rows": list(rows)}
    spec["height"] = HEIGHT * len(rows)
    spec["encoding"]["x"]["scale"]["domain"] = [0, top]
    if width is not None:
        spec["width"] = spec["encoding"]["y"]["axis"]["labelLimit"] = width
    return {"note": ", ".join(row["says"] for row in rows), "svg": to_svg(spec)}
