"""The range that an axis shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Point = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear or logarithmic axis.

    Args:
        low: Value at its start.
        high: Value at its end.
        length: Pixels from start to end.
        log: Whether it is logarithmic.

    >>> Axis(1, 100, length=50, log=True)(10)
    25.0
    """

    low: float
    high: float
    length: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Pixels from the start."""
        warp = math.log if self.log else float
        return (warp(value) - warp(self.low)) / (warp(self.high) - warp(self.low)) * self.length

    @property
    def scale(self) -> dict[str, Any]:
        """The axis as Vega-Lite writes a scale."""
        kind = "log" if self.log else "linear"
        return {"type": kind, "domain": [self.low, self.high], "nice": False, "zero": False}


def fit(points: Sequence[Point], field: str, length: float, *, log: bool = False) -> Axis:
    """The axis for all values and, within reason, their intervals, which are cut to it.

    An interval over very few observations can be a hundred times wider than all values lie apart;
    the axis leaves at most as much room for intervals on either side as the values take.

    Args:
        points: Each has `field`, `field_low` and `field_high`; the latter two are changed.
        field: What the axis shows.
        length: Pixels.
        log: Whether the axis may be logarithmic: it is where one value is over six times another.
    """
    values = [point[field] for point in points]
    first, last = min(values), max(values)
    room = last - first or abs(first) / 10 or 1.0
    low = max(first - room, min(point[f"{field}_low"] for point in points))
    high = min(last + room, max(point[f"{field}_high"] for point in points))
    if log and first > 0 and last / first > 6:
        axis = Axis(max(low, first / 2) / 1.1, high * 1.1, length, log=True)
    else:
        margin = (high - low or room) / 20
        axis = Axis(low - margin, high + margin, length)
    for point in points:
        point[f"{field}_low"] = max(point[f"{field}_low"], axis.low)
        point[f"{field}_high"] = min(point[f"{field}_high"], axis.high)
    return axis
