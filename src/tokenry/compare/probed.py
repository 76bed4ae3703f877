"""What a probe found: scores in groups with intervals, of one model or of several policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tokenry.compare.columns import aligned
from tokenry.compare.data_frame import Backend, data_frame
from tokenry.compare.records import UNTOUCHED, Interval, Skipped
from tokenry.compare.stats import LEVEL, RESAMPLES
from tokenry.errors import UsageError
from tokenry.method import Condition, Measurement


@dataclass(frozen=True, slots=True)
class Group:
    """The scores of all items with the same conditions.

    Attributes:
        conditions: What these items have in common, by name.
        n: How many there are.
        score: Their mean or median, with its bootstrap interval over items.
    """

    conditions: Mapping[str, Condition]
    n: int
    score: Interval


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe found in a model.

    Attributes:
        model: Name of the model.
        probe: The probe, with its settings.
        seed: Of the items and of the resampling.
        measurement: One score per item, and figures over all items.
        left_out: Items that are longer than the model's positions.
        query: "aware" when context and question were read in one pass, else "free".
        bos: Whether the beginning-of-text token stood in front.
    """

    model: str
    probe: str
    seed: int
    measurement: Measurement
    left_out: int
    query: str
    bos: bool

    def summary(self, by: Sequence[str] | None = None) -> tuple[Group, ...]:
        """The scores in groups of equal conditions, in the order in which they first occur.

        Args:
            by: Names of conditions; None takes those that the probe itself groups by.

        Raises:
            UsageError: If no item has such a condition.
        """
        names = self.measurement.by if by is None else tuple(by)
        groups: dict[tuple[Condition, ...], list[float]] = {}
        for score in self.measurement.scores:
            for name in names:
                if name not in score.conditions:
                    raise UsageError(
                        f"summary: by={name!r} is no condition of {self.probe}; there are "
                        f"{', '.join(score.conditions)}."
                    )
            key = tuple(score.conditions[name] for name in names)
            groups.setdefault(key, []).append(score.value)
        statistic = self.measurement.statistic
        return tuple(
            Group(
                dict(zip(names, key, strict=True)),
                len(values),
                interval(np.array(values), statistic, self.seed),
            )
            for key, values in groups.items()
        )

    def to_frame(self, backend: Backend | None = None) -> Any:
        """One row per item as a data frame, each condition and secondary score a column.

        Args:
            backend: Which library's; None takes the one that is installed, pandas first.

        Raises:
            MissingExtraError: If it is not installed.
            UsageError: If `backend` is something else.
        """
        scores = self.measurement.scores
        columns: dict[str, list[Any]] = {"item": [score.item for score in scores]}
        for name in dict.fromkeys(name for score in scores for name in score.conditions):
            columns[name] = [score.conditions.get(name) for score in scores]
        columns["score"] = [score.value for score in scores]
        for name in dict.fromkeys(name for score in scores for name in score.more):
            columns[name] = [score.more.get(name) for score in scores]
        return data_frame(columns, backend)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the single scores, as plain data."""
        return {
            "model": self.model,
            "probe": self.probe,
            "seed": self.seed,
            "query": self.query,
            "bos": self.bos,
            "metric": self.measurement.metric,
            "statistic": self.measurement.statistic,
            "items": len(self.measurement.scores),
            "left_out": self.left_out,
            "groups": [
                {**group.conditions, "n": group.n, **asdict(group.score)}
                for group in self.summary()
            ],
            "findings": dict(self.measurement.findings),
        }

    @property
    def overall(self) -> Interval:
        """The score over all items."""
        values = np.array([score.value for score in self.measurement.scores])
        return interval(values, self.measurement.statistic, self.seed)

    @property
    def title(self) -> str:
        """What was measured."""
        what = f"{self.measurement.statistic} {self.measurement.metric}"
        return f"{self.probe} of {self.model}, query-{self.query}: {what}"

    @property
    def notes(self) -> list[str]:
        """What must be known beside the scores."""
        if not self.left_out:
            return []
        return [f"{self.left_out} items are longer than the model takes, and left out"]

    def __str__(self) -> str:
        names = self.measurement.by
        rows = [[*names, "n", self.measurement.statistic, "95 % interval"]]
        for group in self.summary():
            value = group.score
            cells = [str(group.conditions[name]) for name in names]
            bounds = f"{value.low:.4g} to {value.high:.4g}"
            rows.append([*cells, str(group.n), f"{value.value:.4g}", bounds])
        lines = [self.title, *aligned(rows)]
        lines += [f"{name}: {value:.4g}" for name, value in self.measurement.findings.items()]
        return "\n".join([*lines, *self.notes])


@dataclass(frozen=True, slots=True)
class PolicyProbed:
    """What a probe found in a model under one policy.

    Attributes:
        method: Label of the policy; "none" is the untouched model.
        keep: The dial.
        probed: The scores.
        difference: Of this score and the untouched model's, item by item.
    """

    method: str
    keep: float
    probed: Probed
    difference: Interval


@dataclass(frozen=True, slots=True)
class ProbedPolicies:
    """What a probe found in a model under several cache policies, on the same items.

    Attributes:
        runs: One for each policy and keep, the untouched model first.
        skipped: What could not be run, and why.
    """

    runs: tuple[PolicyProbed, ...]
    skipped: tuple[Skipped, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the single scores, as plain data."""
        first = self.runs[0].probed.to_dict()
        own = ("groups", "findings")
        return {
            **{name: value for name, value in first.items() if name not in own},
            "runs": [
                {
                    "method": run.method,
                    "keep": run.keep,
                    **asdict(run.probed.overall),
                    "difference": asdict(run.difference),
                    **{name: run.probed.to_dict()[name] for name in own},
                }
                for run in self.runs
            ],
            "skipped": [asdict(skipped) for skipped in self.skipped],
        }

    def to_frame(self, backend: Backend | None = None) -> Any:
        """One row per item, policy and keep; see `Probed.to_frame`.

        Args:
            backend: Which library's; None takes the one that is installed, pandas first.
        """
        import narwhals

        frames = [
            narwhals.from_native(run.probed.to_frame(backend)).with_columns(
                narwhals.lit(run.method).alias("method"), narwhals.lit(run.keep).alias("keep")
            )
            for run in self.runs
        ]
        return narwhals.concat(frames).to_native()

    def __str__(self) -> str:
        first = self.runs[0].probed
        groups = first.summary() if len(first.summary()) > 1 else ()
        named = [", ".join(f"{k} {v}" for k, v in group.conditions.items()) for group in groups]
        findings = list(first.measurement.findings)
        rows = [["method", "keep", "all", "95 % interval", "from none", *named, *findings]]
        for run in self.runs:
            score, apart = run.probed.overall, run.difference
            cells = [run.method, f"{run.keep:g}", f"{score.value:.4g}"]
            cells += [f"{score.low:.4g} to {score.high:.4g}"]
            same = run.method == UNTOUCHED
            cells += ["" if same else f"{apart.value:+.3g} ({apart.low:+.3g} to {apart.high:+.3g})"]
            cells += [f"{group.score.value:.4g}" for group in run.probed.summary() if groups]
            rows.append([*cells, *(f"{v:.4g}" for v in run.probed.measurement.findings.values())])
        lines = [first.title, *aligned(rows)]
        lines += [f"{s.method} at keep {s.keep:g} was refused: {s.reason}" for s in self.skipped]
        return "\n".join([*lines, *first.notes])


def interval(
    values: NDArray[np.float64], statistic: Literal["mean", "median"], seed: int
) -> Interval:
    """The mean or median with its percentile bootstrap interval; of one value, that value."""
    function = np.mean if statistic == "mean" else np.median
    value = float(function(values))
    if len(values) == 1 or np.ptp(values) == 0:
        return Interval(value, value, value)
    found = stats.bootstrap(
        (values,),
        function,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(value, min(float(found.low), value), max(float(found.high), value))


def differences(run: Probed, untouched: Probed) -> Interval:
    """The mean or median of what the scores of the same items differ by, with its interval."""
    pairs = zip(run.measurement.scores, untouched.measurement.scores, strict=True)
    values = np.array([a.value - b.value for a, b in pairs])
    return interval(values, run.measurement.statistic, run.seed)
