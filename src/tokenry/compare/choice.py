"""Which configuration is worth it, and in words how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tokenry.compare import stats
from tokenry.compare.records import Figure, Interval, Summary, TaskInfo
from tokenry.errors import UnknownNameError


class Choice(NamedTuple):
    """What to take, and what speaks for it."""

    summary: Summary
    confidence: str


def choose(
    untouched: Summary, others: Sequence[Summary], task: TaskInfo, max_loss: float, by: str
) -> Choice:
    """The cheapest configuration that is shown to lose no more than `max_loss`.

    Args:
        untouched: The model without a method; the answer if nothing else is.
        others: All configurations in which a method acts.
        task: What they were measured on.
        max_loss: Largest mean loss of score, at least 0.
        by: What shall be least: "seconds", which a configuration must be shown to have fewer of,
            or a cost of the task.

    Raises:
        UnknownNameError: If the task has no such cost.
    """
    safe = [s for s in others if _worst(s.difference, task) >= -max_loss]
    if by == "seconds":
        fast = [s for s in safe if s.faster == "faster"]
        if not fast:
            return _untouched(untouched, task, max_loss, len(safe), "faster")
        chosen = min(fast, key=lambda s: s.seconds.value)
        return Choice(chosen, _shown(chosen, task))
    cost = _cost(task, by)
    # Of few examples the interval is no wider than what was seen.
    known = [s for s in safe if s.n >= stats.FEWEST]
    less = [s for s in known if s.figures[by] < untouched.figures[by]]
    if not less:
        return _untouched(untouched, task, max_loss, len(safe), f"cheaper ({cost.title})")
    chosen = min(less, key=lambda s: (s.figures[by], s.seconds.value))
    part = chosen.figures[by] / untouched.figures[by]
    return Choice(
        chosen, _shown(chosen, task, f"{cost.title} is {part:.1%} of the untouched model's, ")
    )


def _worst(difference: Interval, task: TaskInfo) -> float:
    """The end of an interval on the side of a loss, as a gain."""
    return difference.low if task.higher_is_better else -difference.high


def _cost(task: TaskInfo, name: str) -> Figure:
    """A cost of the task by its name."""
    costs = {f.name: f for f in task.figures if f.unit != "number"}
    if name not in costs:
        raise UnknownNameError("cost", name, ["seconds", *costs])
    return costs[name]


def _untouched(summary: Summary, task: TaskInfo, max_loss: float, safe: int, better: str) -> Choice:
    why = (
        "no method is shown to lose so little"
        if safe == 0
        else f"{safe} configurations lose so little, but none is shown to be {better}"
    )
    return Choice(
        summary,
        f"Keep the untouched model: of the allowed loss of {max_loss:g} in {task.metric}, {why} on "
        f"{summary.n} examples.",
    )


def _shown(summary: Summary, task: TaskInfo, share: str = "") -> str:
    loss = max(0.0, -_worst(summary.difference, task))
    return (
        f"With 95 % confidence, {task.metric} loses no more than {loss:.4g} (mean difference "
        f"{summary.difference.value:+.4g} on {summary.n} examples), {share}and a pass is "
        f"{summary.speedup.value:.2f} times as fast ({summary.speedup.low:.2f} to "
        f"{summary.speedup.high:.2f})."
    )
