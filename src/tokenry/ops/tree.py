"""Trees of tokens: which node sees which, how deep each stands, and how trees make a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def reach(parents: Int[Tensor, "b n"]) -> Bool[Tensor, "b n+1 n+1"]:
    """Which tokens each token of a tree attends to: its ancestors, the root and itself.

    Args:
        parents: The node that each node stands under; -1 is the root.

    Returns:
        Row and column 0 are the root, row and column `i + 1` are node `i`.

    >>> reach(torch.tensor([[-1, 0, -1]]))[0].int().tolist()
    [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]
    """
    b, n = parents.shape
    up = torch.cat([parents.new_zeros(b, 1), parents + 1], 1)
    seen = torch.eye(n + 1, dtype=torch.bool, device=parents.device).expand(b, -1, -1)
    # Each round doubles how far up the tree a row has looked.
    for _ in range(n.bit_length()):
        seen = seen | seen.gather(1, up.unsqueeze(-1).expand_as(seen))
        up = up.gather(1, up)
    return seen


def children(parents: Sequence[int]) -> dict[int, list[int]]:
    """The nodes under the root (-1) and under each node, in order.

    >>> children([-1, 0, -1])
    {-1: [0, 2], 0: [1]}
    """
    found: dict[int, list[int]] = {}
    for node, parent in enumerate(parents):
        found.setdefault(parent, []).append(node)
    return found


def chain(n: int) -> Int[Tensor, " n"]:
    """The parents of `n` nodes of which each stands under the one before it.

    >>> chain(3).tolist()
    [-1, 0, 1]
    """
    return torch.arange(-1, n - 1)


def first_path(parents: Sequence[int]) -> list[int]:
    """The first node under the root, the first under that, and so on.

    >>> first_path([-1, -1, 0, 1, 0])
    [0, 2]
    """
    below, path = children(parents), [-1]
    while found := below.get(path[-1]):
        path.append(found[0])
    return path[1:]


def down_to(parents: Sequence[int], depth: int) -> list[int]:
    """The nodes that stand at most so deep; those under the root stand at 1.

    >>> down_to([-1, -1, 0, 2, 0], 2)
    [0, 1, 2, 4]
    """
    depths = {-1: 0}
    for node, parent in enumerate(parents):
        depths[node] = depths[parent] + 1
    return [node for node in range(len(parents)) if depths[node] <= depth]


def padded(
    rows: Sequence[tuple[Sequence[int], Sequence[int]]], fill: Sequence[int]
) -> tuple[Int[Tensor, "b n"], Int[Tensor, "b n"]]:
    """Trees of different sizes as one batch; padding hangs under the root and leads nowhere.

    Args:
        rows: Tokens and parents of each tree.
        fill: The token that each row is padded with.

    Returns:
        Tokens and parents.

    >>> padded([([7, 8], [-1, 0]), ([], [])], [5, 6])[0].tolist()
    [[7, 8], [6, 6]]
    """
    n = max(len(tokens) for tokens, _ in rows)
    all_tokens = [
        [*tokens, *([token] * (n - len(tokens)))]
        for (tokens, _), token in zip(rows, fill, strict=True)
    ]
    all_parents = [[*parents, *([-1] * (n - len(parents)))] for _, parents in rows]
    return torch.tensor(all_tokens).long(), torch.tensor(all_parents).long()
