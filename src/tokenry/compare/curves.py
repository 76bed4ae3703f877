"""What links would be at other thresholds: precision, recall and F1 from the scores of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenry.compare.records import Row
from tokenry.ops.thresholds import threshold_curve

POINTS = 60
"""Most thresholds of a curve."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One method at every threshold.

    Attributes:
        method: Its label.
        thresholds: Rising.
        precision: Share of the links at a threshold that are true; 1 where there are none.
        recall: Share of the true pairs that are links.
        f1: Their harmonic mean.
        chosen: The threshold that its score in the comparison is of.
    """

    method: str
    thresholds: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    f1: tuple[float, ...]
    chosen: float


def curve(method: str, rows: Sequence[Row]) -> Curve | None:
    """The curve of one method's rows; None where they are of no task with thresholds.

    Args:
        method: Its label.
        rows: With the scores `link` (of the best pair), `right` (whether that is true), `wanted`
            and `threshold`.
    """
    if not rows or "link" not in rows[0].scores:
        return None
    score, right, wanted = (
        np.array([row.scores[name] for row in rows]) for name in ("link", "right", "wanted")
    )
    true = right.astype(bool)
    found = threshold_curve(score, true, int(wanted.sum()) - int((true & ~np.isnan(score)).sum()))
    count = len(found.threshold)
    kept = np.linspace(0, count - 1, min(POINTS, count)).round().astype(int)
    kept = np.unique(np.r_[kept, found.best])[::-1] if count else kept

    def some(values: NDArray[np.float64]) -> tuple[float, ...]:
        return tuple(map(float, values[kept]))

    return Curve(
        method,
        some(found.threshold),
        some(found.precision),
        some(found.recall),
        some(found.f1),
        rows[0].scores["threshold"],
    )
