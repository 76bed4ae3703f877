"""Run a study: every configuration on every batch, and only what is not stored yet."""

from __future__ import annotations

import hashlib
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenry.compare import cost
from tokenry.compare.configurations import REFERENCE, Configuration
from tokenry.compare.store import COMMIT_SECONDS, Key, Record, Store
from tokenry.compare.study import Part, Study
from tokenry.compare.tasks.base import Pass, Scores
from tokenry.errors import UsageError
from tokenry.progress import track


class Runner:
    """Carries out a study.

    Args:
        study: What to do.
        store: Where rows go, and where those of earlier runs are.
        began: `time.monotonic()` when the comparison began, for the budget.
    """

    def __init__(self, study: Study, store: Store, began: float) -> None:
        self._study, self._store, self._began = study, store, began
        self._number = store.study(study.facts)
        self._done = store.done(self._number)
        self._bar: Any = None

    def run(self) -> None:
        """Measure what is missing, until all is there, Ctrl-C, or the budget is spent."""
        request = self._store.add_request(self._study.request(self._number, complete=False))
        self._store.commit()
        with track(unit="pass") as self._bar:
            try:
                complete = self._measure()
            except KeyboardInterrupt:
                complete = False
        self._store.change_request(request, self._study.request(self._number, complete))
        self._store.commit()

    def _measure(self) -> bool:
        """Whether everything was measured."""
        waiting = self._waiting()
        if not waiting:
            return True
        self._bar.total = self._passes(waiting)
        self._bar.set_description("fitting")
        self._fit()
        self._bar.set_description("profiling")
        self._warm_up(waiting)
        self._bar.set_description("comparing")
        longest = 0.0
        for index, examples in enumerate(self._batches(self._missing())):
            start = time.monotonic()
            if index and self._spent(start + longest):
                return False
            self._batch(index, examples)
            longest = max(longest, time.monotonic() - start)
        return True

    def _spent(self, then: float) -> bool:
        budget = self._study.options.budget_seconds
        return budget is not None and then - self._began > budget

    def _waiting(self) -> list[Configuration]:
        """Configurations that lack a row or a profile."""
        profiled = self._store.profiles(self._number)
        return [
            c
            for c in self._study.configurations
            if _key(c) not in profiled or any(self._lacks(c, e) for e in self._study.scored)
        ]

    def _lacks(self, configuration: Configuration, example: Any) -> bool:
        done = self._done.get(_key(configuration), set())
        return any(
            example.id in part.scored and (part.identity, example.id) not in done
            for part in self._study.parts
        )

    def _missing(self) -> list[Any]:
        """Examples that some configuration lacks."""
        configurations = self._study.configurations
        return [e for e in self._study.scored if any(self._lacks(c, e) for c in configurations)]

    def _batches(self, examples: Sequence[Any]) -> list[Sequence[Any]]:
        size = self._study.options.batch_size
        return [examples[i : i + size] for i in range(0, len(examples), size)]

    def _passes(self, waiting: Sequence[Configuration]) -> int:
        batches = self._batches(self._missing())
        fitting = [self._batches(examples) for examples, _ in self._study.fits]
        each = len(waiting) * self._study.options.repeats
        return sum(map(len, fitting)) + len(waiting) + each * len(batches)

    def _fit(self) -> None:
        """Show the untouched model's outputs to the tasks that are fitted on them."""
        study = self._study
        for fitted, tasks in study.fits:
            for examples in self._batches(fitted):
                batch = study.lead.batch(study.subject, examples)
                seen = self._reference(batch, examples)
                for task in tasks:
                    task.observe(seen, examples)
                self._bar.update()
            for task in tasks:
                task.fit()

    def _warm_up(self, waiting: Sequence[Configuration]) -> None:
        """An untimed pass of each configuration, and its profile where there is none yet.

        Always over the first batch of all, so that profiles do not depend on where an earlier run
        stopped. What turns out to be impossible is skipped here.
        """
        study = self._study
        examples = study.scored[: study.options.batch_size]
        whole = study.lead.batch(study.subject, examples)
        part = study.lead.profiled(whole)
        untouched = self._reference(part, examples)
        self._scores(REFERENCE, untouched, untouched, examples)
        profiled = self._store.profiles(self._number)
        for configuration in waiting:
            new = _key(configuration) not in profiled
            try:
                try:
                    self._try(configuration, part, new, len(examples))
                except UsageError:
                    if part is whole:
                        raise
                    # What the whole can do need not work for a part of it.
                    self._try(configuration, whole, new, len(examples))
            except UsageError as error:
                study.skip(configuration, str(error))
            self._store.commit(after=COMMIT_SECONDS)
            self._bar.update()

    def _try(self, configuration: Configuration, batch: Any, new: bool, size: int) -> None:
        """One untimed pass, and the profile if it is new."""
        with self._attached(configuration) as run:
            if new:
                profile = self._profile(partial(run, batch), size)
                self._store.add_profile(self._number, _key(configuration), profile)
            else:
                run(batch)

    def _profile(self, run: Callable[[], Pass], size: int) -> dict[str, Any]:
        """Costs that are measured once per configuration, in passes of their own."""
        subject, passes = self._study.subject, []
        operations, peak = cost.operations_and_bytes(lambda: passes.append(run()), subject.device)
        layers = cost.layer_seconds(run, self._study.lead.layers(subject.model), subject.device)
        return {
            "layer_seconds": [seconds / size for seconds in layers.seconds],
            "other_seconds": layers.other / size,
            "tokens": list(self._study.lead.rows(passes[0], layers.rows)),
            "flops": operations / size,
            "peak_bytes": self._study.lead.peak(passes[0], peak),
        }

    def _batch(self, index: int, examples: Sequence[Any]) -> None:
        """All configurations on one batch, in an order that is rotated from batch to batch."""
        study, lead = self._study, self._study.lead
        batch = lead.batch(study.subject, examples)
        untouched = self._reference(batch, examples)
        thumbnails = lead.thumbnails(study.subject, batch, untouched)
        pictures = zip((e.id for e in examples), thumbnails, strict=False)
        self._store.add_thumbnails(self._number, pictures)
        waiting = [c for c in study.configurations if any(self._lacks(c, e) for e in examples)]
        turn = index % len(waiting)
        found = {_key(c): _Found([e.id for e in examples]) for c in waiting}
        for _ in range(study.options.repeats):
            for configuration in waiting[turn:] + waiting[:turn]:
                one = found[_key(configuration)]
                try:
                    with self._attached(configuration) as run:
                        seconds, seen = cost.timed(partial(run, batch), study.subject.device)
                except UsageError as error:
                    if not configuration.methods:
                        raise
                    # What the warm-up could do need not work for a shorter example.
                    study.skip(configuration, str(error))
                    waiting = [c for c in waiting if c is not configuration]
                    continue
                self._note(one, configuration, seconds, seen, untouched, examples)
                if len(one.seconds) == study.options.repeats:
                    self._store.add(
                        self._number, _key(configuration), one.records(), one.pictures()
                    )
                    self._store.commit(after=COMMIT_SECONDS)
                self._bar.update()
        self._store.commit()

    def _note(
        self,
        found: _Found,
        configuration: Configuration,
        seconds: float,
        seen: Pass,
        untouched: Pass,
        examples: Sequence[Any],
    ) -> None:
        """Take down one timed pass; scores are those of the first."""
        found.seconds.append(self._study.lead.seconds(seen, seconds))
        found.costs.append(self._study.lead.costs(seen))
        if not found.scores:
            found.scores = self._scores(configuration, seen, untouched, examples)
            found.tokens = 1.0 if seen.trace is None else seen.trace.share
            found.groups = self._study.lead.groups(seen)

    def _reference(self, batch: Any, examples: Sequence[Any]) -> Pass:
        """The untouched model's pass; not timed."""
        with self._attached(REFERENCE) as run:
            seen = run(batch)
        self._check(REFERENCE, self._study.lead.finite(seen.outputs), examples)
        return seen

    def _scores(
        self, configuration: Configuration, seen: Pass, untouched: Pass, examples: Sequence[Any]
    ) -> list[tuple[Part, Scores]]:
        self._check(configuration, self._study.lead.finite(seen.outputs), examples)
        found = [(p, p.task.score(seen, untouched, examples)) for p in self._study.parts]
        for _, scores in found:
            self._check(configuration, [math.isfinite(v) for v in scores.values], examples)
        return found

    def _check(
        self, configuration: Configuration, finite: Sequence[bool], examples: Sequence[Any]
    ) -> None:
        if all(finite):
            return
        first = examples[list(finite).index(False)].id
        advice = (
            "look at its weights and its number type"
            if not configuration.methods
            else "the untouched model's are finite: leave this method out, or use float32"
        )
        raise UsageError(
            f"compare: {configuration} gives NaN or infinite outputs for example {first!r}; "
            f"{advice}."
        )

    @contextmanager
    def _attached(self, configuration: Configuration) -> Iterator[Callable[[Any], Pass]]:
        """A function from a batch to a pass under this configuration."""
        lead, model = self._study.lead, self._study.subject.model
        with lead.switched(model, configuration.methods) as attachment:
            yield lambda batch: Pass(lead.run(model, batch), attachment and attachment.trace)


@dataclass(slots=True)
class _Found:
    """What the passes of one configuration over a batch gave."""

    names: list[str]
    seconds: list[float] = field(default_factory=list)
    costs: list[dict[str, float]] = field(default_factory=list)
    scores: list[tuple[Part, Scores]] = field(default_factory=list)
    tokens: float = 1.0
    groups: list[NDArray[np.int16]] = field(default_factory=list)

    def pictures(self) -> list[tuple[str, NDArray[np.int16]]]:
        """What became of the tokens of each example."""
        return list(zip(self.names, self.groups, strict=False))

    def records(self) -> list[Record]:
        """As rows of the store."""
        # Two batches are timed alike only if they hold the same examples.
        digest = hashlib.sha256("\n".join(self.names).encode()).digest()
        seconds = statistics.median(self.seconds) / len(self.names)
        costs = {
            name: float(statistics.median(one[name] for one in self.costs))
            for name in self.costs[0]
        }
        return [
            Record(
                task=part.identity,
                example=name,
                batch=int.from_bytes(digest[:6], "big"),
                score=float(score),
                scores={k: float(v[i]) for k, v in scores.secondary.items()},
                seconds=seconds,
                tokens=self.tokens,
                costs=costs,
            )
            for part, scores in self.scores
            for i, (name, score) in enumerate(zip(self.names, scores.values, strict=True))
            if name in part.scored
        ]


def _key(configuration: Configuration) -> Key:
    return configuration.identity, configuration.keep
