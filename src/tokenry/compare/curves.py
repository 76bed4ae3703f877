"""What links would be at other thresholds: precision, recall and F1 from the scores of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokenry.compare.records import Row

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
    there = ~np.isnan(score)
    order = np.argsort(-score[there], kind="stable")
    score, right = score[there][order], right[there][order]
    last = np.flatnonzero(np.r_[np.diff(score) != 0, True]) if len(score) else np.arange(0)
    hits, found = np.cumsum(right)[last], last + 1.0
    true = float(wanted.sum())
    precision, recall = hits / found, hits / max(true, 1)
    f1 = 2 * hits / (found + true)
    kept = np.unique(np.linspace(0, len(last) - 1, min(POINTS, len(last))).round().astype(int))
    kept = np.unique(np.r_[kept, f1.argmax()])[::-1] if len(last) else kept
    return Curve(
        method,
        *(tuple(map(float, values[kept])) for values in (score[last], precision, recall, f1)),
        chosen=rows[0].scores["threshold"],
    )
