"""One line of the comparison in words: what the table, the charts and the answer all quote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tokenry.compare.records import UNTOUCHED
from tokenry.report import words
from tokenry.report.phrases import PHRASES

if TYPE_CHECKING:
    from tokenry.compare.records import Figure, Summary, TaskInfo
    from tokenry.compare.results import Results

Kind = Literal["untouched", "paper", "baseline"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One (task, method, keep) with its names; every string is safe to show.

    Args:
        summary: The figures.
        task: What they measure.
        name: The method's name.
        kind: Untouched model, method of a paper, or plain baseline.
        rank: Place of the method in the comparison; -1 for the untouched model.
        dial: Whether the method was run at several keeps.
    """

    summary: Summary
    task: TaskInfo
    name: str
    kind: Kind
    rank: int
    dial: bool = True

    @property
    def acts(self) -> bool:
        """Whether a method is at work: at keep 1 one that has the dial is not."""
        return self.kind != "untouched" and (self.summary.keep < 1 or not self.dial)

    @property
    def keep(self) -> str:
        """The dial, with at most three digits."""
        return f"{self.summary.keep:.3g}"

    @property
    def title(self) -> str:
        """Name and dial."""
        plain = self.kind == "untouched" or not self.dial
        return self.name if plain else f"{self.name} {self.keep}"

    @property
    def setting(self) -> str:
        """Where on the dial, in words; empty without one."""
        return f"at keep {self.keep}" if self.dial else ""

    @property
    def score(self) -> str:
        """The score."""
        return words.amount(self.summary.score.value, self.task)

    @property
    def score_span(self) -> str:
        """The score's 95 % interval."""
        return words.span(self.summary.score, self.task)

    @property
    def difference(self) -> str:
        """Score minus the untouched model's."""
        return words.amount(self.summary.difference.value, self.task, signed=True)

    @property
    def difference_span(self) -> str:
        """The difference's 95 % interval."""
        return words.span(self.summary.difference, self.task, signed=True)

    @property
    def verdict(self) -> str:
        """What the difference comes to, in words."""
        return words.clean(self.summary.verdict)

    @property
    def seconds(self) -> str:
        """Time per example."""
        return words.seconds(self.summary.seconds.value)

    @property
    def speedup(self) -> str:
        """Time of the untouched model over this time."""
        return words.times(self.summary.speedup.value)

    @property
    def speedup_span(self) -> str:
        """The ratio's 95 % interval."""
        return words.times_span(self.summary.speedup)

    @property
    def faster(self) -> str:
        """Faster, slower or not distinguishable, in words."""
        return words.clean(self.summary.faster)

    def on_front(self, cost: Figure | None = None) -> bool:
        """Whether it is on the front of score against time, or against one of the task's costs."""
        found = self.summary
        return found.on_front if cost is None else found.fronts[cost.name]

    @property
    def says(self) -> str:
        """The whole line as a sentence."""
        line = f"{self.title}: {words.clean(self.task.metric)} {self.score} ({self.score_span})"
        bytes_of = [
            f", {words.clean(f.title, 40)} {words.figure(self.summary.figures[f.name], f.unit)}"
            for f in self.task.figures
            if f.unit == "bytes"
        ]
        costs = f"{self.seconds} per example{''.join(bytes_of)}"
        if self.kind == "untouched":
            return f"{line}; {costs}"
        return (
            f"{line}, {self.difference} ({self.verdict}); {costs}, {self.speedup} ({self.faster})"
        )


def entries(results: Results, task: TaskInfo) -> list[Entry]:
    """The lines of one task, the untouched model first, then as the methods were given.

    Args:
        results: The comparison.
        task: One of its tasks.
    """
    ranks = {label: n for n, label in enumerate(results.methods)} | {UNTOUCHED: -1}
    dials = {info.label for info in results.infos if info.dial and task.dial}
    found = []
    for summary in results.summary(task.slug):
        label = summary.method
        kind: Kind = "untouched" if label == UNTOUCHED else kind_of(results, label)
        name = display_name(results, label)
        found.append(Entry(summary, task, name, kind, ranks[label], label in dials))
    return sorted(found, key=lambda e: (e.rank, -e.summary.keep))


def display_name(results: Results, label: str) -> str:
    """The name that the page shows for one of the methods.

    Of names that are alike because they were shortened, each gets a number.
    """
    if label == UNTOUCHED:
        return PHRASES[results.tasks[0].kind].untouched
    name = words.name(label, results.card(label))
    alike = [other for other in results.methods if words.name(other, results.card(other)) == name]
    return f"{name} {alike.index(label) + 1}" if label in alike and len(alike) > 1 else name


def kind_of(results: Results, label: str) -> Literal["paper", "baseline"]:
    """Whether a paper stands behind a method."""
    card = results.card(label)
    return "paper" if card is not None and card["arxiv"] else "baseline"
