"""Which of many items to take, so that whatever sets them apart is met evenly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def balanced(rows: Sequence[Mapping[str, Any]], n: int, seed: int = 0) -> list[int]:
    r"""Up to `n` rows that meet the values of every field, and their combinations, evenly.

    One by one the row that is least like those taken already: with the least $\sum_i c_i^2$, where
    $c_i$ is the number of fields that it shares with the row $i$. The seed decides between equals.

    Args:
        rows: Each row's fields by name.
        n: How many to take; all when there are no more.
        seed: Another seed, another choice.

    Returns:
        Indices of the rows, rising.

    >>> rows = [{"length": n, "depth": d} for n in (1, 2) for d in (0, 1)]
    >>> [sorted(rows[i][name] for i in balanced(rows, 2)) for name in ("length", "depth")]
    [[1, 2], [0, 1]]
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [[str(row.get(name)) for row in rows] for name in names]
    codes = np.stack([np.unique(column, return_inverse=True)[1] for column in columns], 1)
    order = np.random.default_rng(seed).permutation(len(rows))
    codes, like = codes[order], np.zeros(len(rows))
    for _ in range(min(n, len(rows))):
        chosen = int(like.argmin())
        like += (codes == codes[chosen]).sum(1) ** 2
        like[chosen] = np.inf
    return sorted(int(i) for i in order[np.isinf(like)])
