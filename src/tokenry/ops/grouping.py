"""Groups of rows: which rows become one, and what the one is."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def first_merges(merges: Int[np.ndarray, "m 2"], rows: int) -> Int[Tensor, " n"]:
    """The group of each row after some merges of a hierarchy, in the order of their first rows.

    Args:
        merges: What was merged, as `scipy.cluster.hierarchy.linkage` writes it: below `rows` a
            row, above it the result of an earlier merge.
        rows: Number of rows.

    Returns:
        As many groups as rows are left: `rows - m`.

    >>> first_merges(np.array([[2, 3], [0, 4]]), 4).tolist()
    [0, 1, 0, 0]
    """
    owner = np.arange(rows + len(merges))
    for step, pair in enumerate(merges):
        owner[pair] = rows + step
    for node in range(len(owner) - 1, -1, -1):  # a result is greater than what it was made of
        owner[node] = owner[owner[node]]
    _, first, group = np.unique(owner[:rows], return_index=True, return_inverse=True)
    place = np.empty_like(first)
    place[first.argsort()] = np.arange(len(first))
    return torch.from_numpy(place[group])


def kept_rows(keep: Int[Tensor, " k"], rows: int) -> Int[Tensor, " n"]:
    """Groups of one row each: the place of each row that stays, in reading order, else -1.

    >>> kept_rows(torch.tensor([3, 1]), 4).tolist()
    [-1, 0, -1, 1]
    """
    groups = torch.full((rows,), -1, dtype=torch.int64, device=keep.device)
    groups[keep.sort().values] = torch.arange(len(keep), device=keep.device)
    return groups


def group_means(x: Float[Tensor, "n d"], groups: Int[Tensor, " n"]) -> Float[Tensor, "k d"]:
    """The mean of each group, brought to the length that its rows have on average.

    Rows of length one give means of length one; a group of one row is that row, to the last bit.

    Args:
        x: Rows.
        groups: The group of each row, from 0 without gaps; -1 for rows that are dropped.
    """
    kept = groups >= 0
    rows, group = x[kept], groups[kept]
    count = int(group.max()) + 1 if len(group) else 0
    sizes = torch.bincount(group, minlength=count).to(torch.float32)
    total = x.new_zeros(count, x.shape[1], dtype=torch.float32).index_add(0, group, rows.float())
    length = x.new_zeros(count, dtype=torch.float32).index_add(0, group, rows.float().norm(dim=1))
    tiny = torch.finfo(torch.float32).tiny
    scale = length / sizes / total.norm(dim=1).clamp(min=tiny)
    means = (total * scale[:, None]).to(x.dtype)
    alone = sizes[group] == 1
    found: Tensor = means.index_copy(0, group[alone], rows[alone])
    return found
