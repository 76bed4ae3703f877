"""From rows to one line per configuration: means, paired differences, verdicts, the front."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from tokenry.compare import stats
from tokenry.compare.pareto import front
from tokenry.compare.records import (
    UNTOUCHED,
    Figure,
    Interval,
    Profile,
    Row,
    Summary,
    TaskInfo,
)
from tokenry.ops.agreement import harmonic, share

Configuration = tuple[str, float]
"""Label of the method, and keep."""

REFERENCE: Configuration = (UNTOUCHED, 1.0)


def summarize(
    task: TaskInfo, rows: Sequence[Row], profiles: Mapping[Configuration, Profile], seed: int
) -> list[Summary]:
    """One summary per configuration of a task, in the order of the rows.

    Only examples that every configuration has are used, so that an interrupted comparison stays
    paired.

    Args:
        task: The task.
        rows: Its rows.
        profiles: Costs that are measured once per configuration.
        seed: Of the bootstrap.
    """
    by_configuration: dict[Configuration, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        by_configuration[row.method, row.keep][row.example] = row
    if REFERENCE not in by_configuration:
        return []
    common = set.intersection(*(set(found) for found in by_configuration.values()))
    examples = [example for example in by_configuration[REFERENCE] if example in common]
    if not examples:
        return []
    table = [[found[example] for example in examples] for found in by_configuration.values()]
    return _Table(task, list(by_configuration), table, seed).summaries(profiles)


class _Table:
    """Rows of one task, as one matrix of scores and one of seconds."""

    def __init__(
        self, task: TaskInfo, names: list[Configuration], table: list[list[Row]], seed: int
    ) -> None:
        self._task, self._names, self._table, self._seed = task, names, table, seed
        self._scores = np.array([[row.score for row in rows] for rows in table])
        self._weights = self._further(task.weight) if task.weight else None
        self._logs = _log_seconds(table)
        self._reference = names.index(REFERENCE)

    def summaries(self, profiles: Mapping[Configuration, Profile]) -> list[Summary]:
        """All of them."""
        goodness = self._scores if self._task.higher_is_better else -self._scores
        on_front = front(goodness, self._logs, self._seed, self._weights)
        fronts = {
            name: front(goodness, logs, self._seed, self._weights)
            for name, logs in self._bytes().items()
        }
        scores, differences = self._intervals()
        spans = {f.name: self._spans(f) for f in self._task.figures if f.span}
        return [
            self._summary(
                index,
                profiles.get(name),
                scores[index],
                differences[index],
                {name: found[index] for name, found in spans.items()},
                bool(on_front[index]),
                {name: bool(found[index]) for name, found in fronts.items()},
            )
            for index, name in enumerate(self._names)
        ]

    def _intervals(self) -> tuple[list[Interval], list[Interval]]:
        """Of each configuration the score, and its difference from the untouched model's."""
        n, first = self._scores.shape[1], self._reference
        draws = stats.resampled_means(self._scores, self._seed, self._weights)
        values = stats.means(self._scores, self._weights)
        if self._weights is None:
            # Not the difference of draws: its last bits would say that equal scores differ.
            apart = stats.resampled_means(self._scores - self._scores[first], self._seed)
        else:
            apart = draws - draws[first]
        return (
            [stats.drawn_interval(float(v), d, n) for v, d in zip(values, draws, strict=True)],
            [
                stats.drawn_interval(float(v - values[first]), d, n)
                for v, d in zip(values, apart, strict=True)
            ],
        )

    def _spans(self, figure: Figure) -> list[Interval]:
        """A figure of each configuration with its interval."""
        own = self._further(figure.of or figure.name)
        if figure.over:
            weights = self._further(figure.over)
            draws = stats.resampled_means(share(own, weights), self._seed, weights)
        else:
            draws = stats.resampled_means(own, self._seed)
        if figure.harmonic:
            other = stats.resampled_means(self._further(figure.harmonic), self._seed)
            draws = harmonic(draws, other)
        return [
            stats.drawn_interval(_figure(figure, rows), drawn, len(rows))
            for rows, drawn in zip(self._table, draws, strict=True)
        ]

    def _further(self, name: str) -> stats.Array:
        """A secondary score or cost, as a matrix like that of the scores."""
        return np.array([[{**r.scores, **r.costs}[name] for r in rows] for rows in self._table])

    def _summary(
        self,
        index: int,
        profile: Profile | None,
        score: Interval,
        difference: Interval,
        spans: dict[str, Interval],
        on_front: bool,
        fronts: dict[str, bool],
    ) -> Summary:
        scores, reference = self._scores[index], self._scores[self._reference]
        p_value = stats.mcnemar(scores, reference) if self._task.binary else None
        speedup = stats.log_interval(self._logs[self._reference] - self._logs[index])
        return Summary(
            task=self._task.slug,
            method=self._names[index][0],
            keep=self._names[index][1],
            n=len(scores),
            score=score,
            difference=difference,
            p_value=p_value,
            verdict=stats.verdict(
                self._apart(index), difference, p_value, self._task.higher_is_better
            ),
            seconds=stats.log_interval(self._logs[index]),
            speedup=speedup,
            faster=stats.speed(speedup, self._logs.shape[1]),
            peak_bytes=profile.peak_bytes if profile else 0,
            tokens=float(np.mean([row.tokens for row in self._table[index]])),
            flops=profile.flops if profile else 0.0,
            on_front=on_front,
            figures={f.name: _figure(f, self._table[index]) for f in self._task.figures},
            fronts=fronts,
            spans=spans,
        )

    def _apart(self, index: int) -> stats.Array:
        """Where it differs from the untouched model; of scores that weigh, in the weight too."""
        apart: stats.Array = self._scores[index] - self._scores[self._reference]
        if self._weights is None:
            return apart
        weights: stats.Array = self._weights[index] - self._weights[self._reference]
        either: stats.Array = np.abs(apart) + np.abs(weights)
        return either

    def _bytes(self) -> dict[str, stats.Array]:
        """Logarithms of the task's costs in bytes, one column per example."""
        names = [f.name for f in self._task.figures if f.unit == "bytes"]
        costs = {
            name: np.array([[row.costs.get(name, np.nan) for row in rows] for rows in self._table])
            for name in names
        }
        return {name: np.log(found) for name, found in costs.items() if not np.isnan(found).any()}


def _figure(figure: Figure, rows: list[Row]) -> float:
    """The mean of a score or cost over the examples, its quantile, or what two of them make."""
    found = [{"seconds": row.seconds, **row.scores, **row.costs} for row in rows]

    def values(name: str) -> list[float]:
        return [every.get(name, np.nan) for every in found]

    own = values(figure.of or figure.name)
    if figure.quantile is not None:
        return float(np.quantile(own, figure.quantile))
    mean = np.asarray(np.mean(own))
    if figure.over:
        mean = share(mean, np.asarray(np.mean(values(figure.over))))
    if figure.harmonic:
        mean = harmonic(mean, np.asarray(np.mean(values(figure.harmonic))))
    return float(mean)


def _log_seconds(table: list[list[Row]]) -> stats.Array:
    """Logarithm of seconds per example, one column per batch that was timed together.

    Examples of one batch share its time. Rows that were added later, in batches of other examples,
    make columns of their own.
    """
    columns: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for position, rows in enumerate(zip(*table, strict=True)):
        columns[tuple(row.batch for row in rows)].append(position)
    logs = np.log([[row.seconds for row in rows] for rows in table])
    return np.stack([logs[:, positions].mean(1) for positions in columns.values()], axis=1)
