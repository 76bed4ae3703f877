"""Which methods might be as good as the one that scores best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tokenry.compare import stats
from tokenry.compare.records import Row, TaskInfo


def rivals(rows: Sequence[Row], task: TaskInfo, seed: int) -> tuple[str, list[str]]:
    """The method with the best score, and those that are not shown to be worse.

    Of two that are compared on the same examples, one is shown to be worse where the 95 % interval
    of the paired difference holds no zero. Methods without a dial are meant: each has one row for
    an example.

    Args:
        rows: Those of one task.
        task: The task.
        seed: Of the bootstrap.
    """
    table: dict[str, dict[str, Row]] = {}
    for row in rows:
        table.setdefault(row.method, {})[row.example] = row
    common = sorted(set.intersection(*(set(found) for found in table.values())))
    names = list(table)
    scores = np.array([[table[name][one].score for one in common] for name in names])
    scores = scores if task.higher_is_better else -scores
    weights = None
    if task.weight:
        weights = np.array(
            [[table[name][one].scores[task.weight] for one in common] for name in names]
        )
    best = int(stats.means(scores, weights).argmax())
    draws = stats.resampled_means(scores, seed, weights)
    low, _ = stats.bounds(draws[best] - draws, len(common))
    even = [name for i, name in enumerate(names) if i != best and low[i] <= 0]
    return names[best], even
