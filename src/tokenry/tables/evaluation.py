"""What `tokenry.evaluate_links` found, as data and as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenry.ops.resampling import Interval
from tokenry.ops.thresholds import Curve

Measures = Mapping[str, Mapping[str, Interval]]


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class LinkEvaluation:
    """How well pairs or clusters agree with what is known.

    Attributes:
        counts: Pairs or records that count: found, right, wanted; with clusters records, labelled
            ones, entities; unknown: ids of gold that are nowhere else.
        measures: Precision, recall and F1, each with its interval, of "pairs" as they were given,
            of "cluster pairs" (all pairs within clusters) and of "b-cubed" (the average over
            records); and "rand" with the adjusted Rand index.
        curve: Of scored pairs: precision, recall and F1 at every threshold.
        sources: The same by the source of the pairs or of the records.
        blocking: Of candidates: "recall", the share of true pairs that are among them, and
            "reduction", the share of all possible pairs that are not compared.
        resampled: What was drawn for the intervals: entities, records, or left records.
    """

    counts: Mapping[str, int]
    measures: Measures
    curve: Curve | None
    sources: Measures
    blocking: Mapping[str, float]
    resampled: str

    @property
    def best(self) -> tuple[float, float] | None:
        """The threshold with the highest F1, and that F1; None where there are no scores."""
        if self.curve is None or not len(self.curve.threshold):
            return None
        at = self.curve.best
        return float(self.curve.threshold[at]), float(self.curve.f1[at])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        curve = self.curve
        return {
            "counts": dict(self.counts),
            "measures": _plain(self.measures),
            "sources": _plain(self.sources),
            "blocking": dict(self.blocking),
            "resampled": self.resampled,
            "best": None
            if self.best is None
            else dict(zip(("threshold", "f1"), self.best, strict=True)),
            "curve": None
            if curve is None
            else {name: column.tolist() for name, column in curve._asdict().items()},
        }

    def __str__(self) -> str:
        lines = [", ".join(f"{name} {number}" for name, number in self.counts.items())]
        lines += _lines(self.measures)
        if self.best is not None:
            lines.append(f"best threshold {self.best[0]:.4g}: F1 {self.best[1]:.4f}")
        if self.blocking:
            lines.append(", ".join(f"blocking {n} {v:.4f}" for n, v in self.blocking.items()))
        lines += _lines(self.sources)
        lines.append(f"Intervals of 95 % draw {self.resampled}.")
        return "\n".join(lines)


def _plain(measures: Measures) -> dict[str, dict[str, list[float]]]:
    return {
        name: {part: [one.value, one.low, one.high] for part, one in found.items()}
        for name, found in measures.items()
    }


def _lines(measures: Measures) -> list[str]:
    return [
        f"{name}: "
        + ", ".join(
            f"{part} {one.value:.4f} ({one.low:.4f} to {one.high:.4f})"
            for part, one in found.items()
        )
        for name, found in measures.items()
    ]
