"""Results: what a comparison found, and everything that can be asked of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenry.compare import code
from tokenry.compare.choice import choose
from tokenry.compare.curves import Curve, curve
from tokenry.compare.data_frame import Backend, data_frame
from tokenry.compare.records import (
    UNTOUCHED,
    Best,
    Interval,
    MethodInfo,
    Picture,
    Profile,
    Row,
    Skipped,
    Summary,
    TaskInfo,
)
from tokenry.compare.summaries import REFERENCE, Configuration, summarize
from tokenry.errors import UnknownNameError, UsageError

__all__ = [
    "Best",
    "Interval",
    "Picture",
    "Profile",
    "Results",
    "Row",
    "Skipped",
    "Summary",
    "TaskInfo",
]

Pictures = Callable[[str, float, str], "tuple[NDArray[np.int16], bytes] | None"]
"""From label, keep and example to what became of its tokens, and what it looks like."""


@dataclass(frozen=True, eq=False, repr=False)
class Results:
    """A comparison, finished or not.

    Attributes:
        model: Name of the model.
        data: Name of the data.
        tasks: What was scored.
        infos: What is known of each method, in the order that they were given.
        keeps: The values of the dial.
        labels: The label of each example that is scored, empty when it has none.
        skipped: What could not be run, and why.
        environment: Versions, machine, hashes.
        complete: False when it was stopped by Ctrl-C, the budget, or an error.
        seed: Of all that was drawn.
        source: Where the model comes from.
        conditions: What sets each example apart, by name, where the task knows.
    """

    model: str
    data: str
    tasks: tuple[TaskInfo, ...]
    infos: tuple[MethodInfo, ...]
    keeps: tuple[float, ...]
    labels: Mapping[str, str]
    skipped: tuple[Skipped, ...]
    environment: Mapping[str, str]
    complete: bool
    seed: int
    source: code.Source
    _rows: Sequence[Row]
    _profiles: Sequence[Profile]
    _pictures: Pictures
    conditions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: str | Path) -> Results:
        """Read the last comparison in a folder.

        Raises:
            StoreError: If it cannot be read.
        """
        from tokenry.compare.reading import read

        return read(Path(folder).expanduser())

    @property
    def title(self) -> str:
        """Model and data."""
        return f"{self.model} on {self.data}"

    @property
    def methods(self) -> tuple[str, ...]:
        """Labels of the methods, in the order that they were given."""
        return tuple(info.label for info in self.infos)

    @property
    def examples(self) -> int:
        """Number of examples that are scored."""
        return len(self.labels)

    def __repr__(self) -> str:
        state = "" if self.complete else ", not complete"
        return (
            f"Results({self.title}: {len(self.infos)} methods x {len(self.keeps)} keeps, "
            f"{self.examples} examples{state})"
        )

    def rows(self) -> list[Row]:
        """One row per task, configuration and example."""
        return list(self._rows)

    def profiles(self) -> list[Profile]:
        """Where the time of each configuration goes."""
        return list(self._profiles)

    def summary(self, task: str | None = None) -> list[Summary]:
        """One line per configuration: of one task, or of all.

        Raises:
            UnknownNameError: If there is no such task.
        """
        chosen = self.tasks if task is None else (self._task(task),)
        return [summary for one in chosen for summary in self._summaries[one.slug]]

    def card(self, label: str) -> dict[str, Any] | None:
        """What is known of a method, as in `tokenry.card.Card`; None for the untouched model."""
        return None if label == UNTOUCHED else self._info(label).card

    def code(self, method: str, keep: float = 1.0) -> str:
        """Lines of Python that load the model and run it with a method.

        Args:
            method: A label.
            keep: The dial, any value in (0, 1].

        Raises:
            UnknownNameError: If there is no such method.
        """
        info = None if method == UNTOUCHED else self._info(method)
        return code.lines(self.source, info, keep)

    def best(self, max_loss: float = 0.01, task: str | None = None, by: str = "seconds") -> Best:
        """The fastest configuration that is shown to lose no more than `max_loss`.

        "Shown" is: the 95 % interval of the paired difference of scores ends above `-max_loss`
        (below `max_loss` where lower scores are better), and the configuration is distinguishably
        faster than the untouched model. Where scores are right or wrong and none was lost, the
        interval ends at what may stay unseen on so many examples, unless the method is exact. If
        none qualifies, the untouched model is the answer. A method at `keep=1` is the untouched
        model again; what makes it look faster is chance.

        With `by` another cost, the configuration with the least of it is chosen, whatever its
        speed.

        Args:
            max_loss: Largest mean loss of score, at least 0.
            task: Which task; the first when not given.
            by: What shall be least: "seconds", or one of the task's further costs, such as
                "bytes_resident" or "bytes_read" of a cache.

        Raises:
            UsageError: If `max_loss` is negative, or nothing was measured.
            UnknownNameError: If there is no such task or cost.
        """
        if not max_loss >= 0:
            raise UsageError(f"best: max_loss={max_loss!r} is negative; it is a loss of score.")
        info = self._task(task)
        summaries = self._summaries[info.slug]
        if not summaries:
            raise UsageError("best: nothing was measured; run the comparison to its first batch.")
        untouched = next(s for s in summaries if (s.method, s.keep) == REFERENCE)
        others = [s for s in summaries if s is not untouched]
        acting = [s for s in others if s.keep < 1 or not self._dials(s)]
        exact = {one.label for one in self.infos if one.card.get("exact")}
        found, confidence = choose(untouched, acting, info, max_loss, by, exact)
        return Best(
            found.method, found.keep, found, confidence, self.code(found.method, found.keep)
        )

    def curves(self, task: str | None = None) -> list[Curve]:
        """Precision, recall and F1 of each method at other thresholds; empty without thresholds.

        Args:
            task: Which task; the first when not given.

        Raises:
            UnknownNameError: If there is no such task.
        """
        info = self._task(task)
        rows = [row for row in self._rows if row.task == info.slug]
        found = [curve(m, [r for r in rows if r.method == m]) for m in (UNTOUCHED, *self.methods)]
        return [one for one in found if one is not None]

    def pictures(
        self,
        worst: int = 8,
        task: str | None = None,
        untouched: bool = False,
        examples: Sequence[str] | None = None,
    ) -> list[Picture]:
        """What became of the tokens, where it went worst.

        The examples that lose most against the untouched model, in the mean over all
        configurations that reduce tokens, the worst first; of each, every configuration's picture.

        Args:
            worst: Most examples.
            task: Which task; the first when not given.
            untouched: Begin with the untouched model's picture, where there is one.
            examples: These examples instead, in this order.

        Raises:
            UnknownNameError: If there is no such task.
        """
        info = self._task(task)
        sign = 1 if info.higher_is_better else -1
        rows = [row for row in self._rows if row.task == info.slug]
        reference = {row.example: row.score for row in rows if row.method == UNTOUCHED}
        reducing = self._reducing()
        wanted = [REFERENCE, *reducing] if untouched else reducing
        mine = {(r.method, r.keep, r.example): r for r in rows if (r.method, r.keep) in wanted}
        losses: dict[str, list[float]] = {}
        for (method, keep, example), row in mine.items():
            if example in reference and (method, keep) in reducing:
                loss = sign * (reference[example] - row.score)
                losses.setdefault(example, []).append(loss)
        chosen = sorted(losses, key=lambda example: -statistics.fmean(losses[example]))[:worst]
        chosen = chosen if examples is None else list(examples)
        every = [(method, keep, example) for example in chosen for method, keep in wanted]
        found = [self._picture(mine[one]) for one in every if one in mine]
        return [picture for picture in found if picture is not None]

    def to_frame(self, backend: Backend | None = None) -> Any:
        """The rows as a data frame; each further score, cost, setting and condition is a column.

        Args:
            backend: Which library's; None takes the one that is installed, pandas first.

        Raises:
            MissingExtraError: If it is not installed.
            UsageError: If `backend` is something else.
        """
        columns: dict[str, list[Any]] = {
            name: [getattr(row, name) for row in self._rows]
            for name in ("task", "method", "keep", "example", "score", "seconds")
        }
        columns["label"] = [self.labels[row.example] for row in self._rows]
        columns["peak_bytes"] = [row.peak_bytes for row in self._rows]
        columns["tokens"] = [row.tokens for row in self._rows]
        more: list[dict[str, Any]] = [{**r.scores, **r.costs, **r.settings} for r in self._rows]
        for row, found in zip(self._rows, more, strict=True):
            for name, value in self.conditions.get(row.example, {}).items():
                found[f"example_{name}" if name in (*columns, *found) else name] = value
        for name in sorted({name for found in more for name in found}):
            columns[name] = [found.get(name) for found in more]
        return data_frame(columns, backend)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the single rows, as plain data."""
        return {
            "model": self.model,
            "data": self.data,
            "examples": self.examples,
            "complete": self.complete,
            "tasks": [asdict(task) for task in self.tasks],
            "summary": [asdict(summary) for summary in self.summary()],
            "skipped": [asdict(skipped) for skipped in self.skipped],
        }

    def _task(self, slug: str | None) -> TaskInfo:
        """The task of this name; the first where none is named."""
        for task in self.tasks:
            if slug in (None, task.slug):
                return task
        raise UnknownNameError("task", str(slug), [task.slug for task in self.tasks])

    def _info(self, label: str) -> MethodInfo:
        for info in self.infos:
            if info.label == label:
                return info
        raise UnknownNameError("method", label, [*self.methods, UNTOUCHED])

    @cached_property
    def _summaries(self) -> dict[str, list[Summary]]:
        """The summaries of each task: a second's work, done once."""
        profiles = {(p.method, p.keep): p for p in self._profiles}
        return {
            task.slug: summarize(
                task, [row for row in self._rows if row.task == task.slug], profiles, self.seed
            )
            for task in self.tasks
        }

    def _reducing(self) -> list[Configuration]:
        """Configurations in which some layer sees fewer tokens, or that act without a dial."""
        full = {n for p in self._profiles if p.method == UNTOUCHED for n in p.tokens}
        return [
            (p.method, p.keep)
            for p in self._profiles
            if p.method != UNTOUCHED and not (self._dials(p) and set(p.tokens) <= full)
        ]

    def _dials(self, one: Summary | Profile) -> bool:
        """Whether its method does nothing at keep 1; one without a dial acts there too."""
        return self.tasks[0].dial and self._info(one.method).dial

    def _picture(self, row: Row) -> Picture | None:
        drawn = self._pictures(row.method, row.keep, row.example)
        if drawn is None:
            return None
        groups, thumbnail = drawn
        return Picture(
            method=row.method,
            keep=row.keep,
            example=row.example,
            label=self.labels[row.example],
            score=row.score,
            grid=(groups.shape[0], groups.shape[1]),
            groups=groups,
            thumbnail=thumbnail,
        )
