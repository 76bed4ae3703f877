"""Which configuration is worth it, and in words how sure that is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from tokenry.compare import stats
from tokenry.compare.records import Figure, Summary, TaskInfo
from tokenry.counted import counted
from tokenry.errors import UnknownNameError

_NOTHING = 1e-12  # what rounding leaves of an end at zero


class Choice(NamedTuple):
    """What to take, and what speaks for it."""

    summary: Summary
    confidence: str


def choose(
    untouched: Summary,
    others: Sequence[Summary],
    task: TaskInfo,
    max_loss: float,
    by: str,
    exact: Collection[str] = (),
) -> Choice:
    """The cheapest configuration that is shown to lose no more than `max_loss`.

    Args:
        untouched: The model without a method; the answer if nothing else is.
        others: All configurations in which a method acts.
        task: What they were measured on.
        max_loss: Largest mean loss of score, at least 0.
        by: What shall be least: "seconds", which a configuration must be shown to have fewer of,
            or a cost of the task.
        exact: Labels of methods whose output is the untouched model's whatever the examples.

    Raises:
        UnknownNameError: If the task has no such cost.
    """
    worst = {id(s): _worst(s, task, s.method in exact) for s in others}
    safe = [s for s in others if worst[id(s)] >= -max_loss]
    if by == "seconds":
        fast = [s for s in safe if s.faster == "faster"]
        if not fast:
            return _untouched(untouched, task, max_loss, len(safe), "faster")
        chosen = min(fast, key=lambda s: s.seconds.value)
        return Choice(chosen, _shown(chosen, task, worst[id(chosen)]))
    cost = _cost(task, by)
    # Of few examples the interval is no wider than what was seen.
    known = [s for s in safe if s.n >= stats.FEWEST]
    less = [s for s in known if s.figures[by] < untouched.figures[by]]
    if not less:
        return _untouched(untouched, task, max_loss, len(safe), f"cheaper ({cost.title})")
    chosen = min(less, key=lambda s: (s.figures[by], s.seconds.value))
    part = chosen.figures[by] / untouched.figures[by]
    share = f"{cost.title} is {part:.1%} of the untouched model's, "
    return Choice(chosen, _shown(chosen, task, worst[id(chosen)], share))


def _worst(summary: Summary, task: TaskInfo, exact: bool) -> float:
    """The end of the difference's interval on the side of a loss, as a gain."""
    apart = summary.difference
    end = apart.low if task.higher_is_better else -apart.high
    if task.binary and not exact and abs(end) < _NOTHING:  # no example was lost, which says little
        return -stats.unseen(summary.n)
    return end


def _cost(task: TaskInfo, name: str) -> Figure:
    """A cost of the task by its name."""
    costs = {f.name: f for f in task.figures if f.unit != "number"}
    if name not in costs:
        raise UnknownNameError("cost", name, ["seconds", *costs])
    return costs[name]


def _untouched(summary: Summary, task: TaskInfo, max_loss: float, safe: int, better: str) -> Choice:
    little = f"at most {_amount(max_loss, task)} in {task.metric}"
    why = {
        0: f"no method is shown to lose {little}",
        1: f"one configuration loses {little}, but is not shown to be {better}",
    }.get(safe, f"{safe} configurations lose {little}, but none is shown to be {better}")
    on = counted(summary.n, "example")
    return Choice(summary, f"Keep the untouched model: {why} on {on}.")


def _shown(summary: Summary, task: TaskInfo, worst: float, share: str = "") -> str:
    change = summary.difference.value
    sign = "+" if change > 0 else ""
    return (
        f"With 95 % confidence, the loss in {task.metric} is at most "
        f"{_amount(max(0, -worst), task)} (mean difference {sign}{_amount(change, task)} on "
        f"{counted(summary.n, 'example')}), {share}and it is {summary.speedup.value:.2f} times as "
        f"fast ({summary.speedup.low:.2f} to {summary.speedup.high:.2f})."
    )


def _amount(value: float, task: TaskInfo) -> str:
    """A score or a difference of scores: per cent where answers are right or wrong."""
    return f"{100 * value:.3g} %" if task.binary else f"{value:.3g}"
