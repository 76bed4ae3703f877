"""Scores by two conditions of the examples: a small table for each method and keep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tokenry.compare.records import UNTOUCHED
from tokenry.report import words
from tokenry.report.entries import display_name

if TYPE_CHECKING:
    from tokenry.compare.records import TaskInfo
    from tokenry.compare.results import Results

MOST = 40
"""Values of one condition that a table has room for."""


def grids(results: Results, task: TaskInfo, keeps: Sequence[float]) -> dict[str, Any]:
    """The tables of a task; empty where its examples have no such conditions, or all the same.

    Args:
        results: The comparison.
        task: One of its tasks.
        keeps: The values of the dial that are shown.
    """
    down, across = (_values(results, name) for name in task.grid) if task.grid else ([], [])
    if not across or len(down) * len(across) < 2 or max(len(down), len(across)) > MOST:
        return {}
    cells: dict[tuple[str, float], dict[tuple[str, str], list[float]]] = {}
    for row in results.rows():
        if row.task == task.slug and (row.method == UNTOUCHED or row.keep in keeps):
            where = results.conditions[row.example]
            place = where.get(task.grid[0], ""), where[task.grid[1]]
            found = cells.setdefault((row.method, row.keep), defaultdict(list))
            found[place].append(row.score)
    return {
        "down": words.clean(task.grid[0], 20),
        "across": [words.clean(task.grid[1], 20), *(words.clean(value, 12) for value in across)],
        "tables": [
            {
                "name": display_name(results, method),
                "keep": None if method == UNTOUCHED else keeps.index(keep),
                "mean": words.amount(fmean(s for some in found.values() for s in some), task),
                "rows": [
                    (
                        words.clean(first, 12),
                        [_cell(found.get((first, second))) for second in across],
                    )
                    for first in down
                ],
            }
            for (method, keep), found in cells.items()
        ],
    }


def _values(results: Results, name: str) -> list[str]:
    """The values of a condition in their order; one empty value where no example has it."""
    found = {where.get(name, "") for where in results.conditions.values()}
    return sorted(found, key=lambda value: (_number(value), value))


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return float("inf")


def _cell(scores: Iterable[float] | None) -> tuple[int, str, int]:
    """Percent of the score, the score, and of how many examples; an empty text for none."""
    found = list(scores or ())
    if not found:
        return 0, "", 0
    mean = fmean(found)
    return round(100 * min(1.0, max(0.0, mean))), f"{mean:.2f}", len(found)
