"""Rows in leaves: groups of near ones, of which a query looks into the best alone.

The search of Guo et al. 2020, "Accelerating large-scale inference with anisotropic vector
quantization", without the quantisation: a leaf's rows are scored exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tokenry.errors import UsageError
from tokenry.ops.kmeans import nearest_centroid

SAMPLE = 40
"""Rows of each leaf that the means are learned from, where there are as many."""
ROUNDS = 6
AT_ONCE = 1 << 16
"""Rows that are copied and compared with the means at a time."""


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Leaves:
    """Rows, those of a leaf one after the other.

    Attributes:
        rows: All rows.
        owners: Which row each was.
        starts: Where each leaf begins, and at the end how many rows there are.
        means: The mean of each leaf.
    """

    rows: Float[Tensor, "n d"]
    owners: Int[Tensor, " n"]
    starts: tuple[int, ...]
    means: Float[Tensor, "k d"]

    @property
    def size(self) -> int:
        """Bytes in memory."""
        held = (self.rows, self.owners, self.means)
        return sum(one.numel() * one.element_size() for one in held)

    def best(self, query: Float[Tensor, " d"], count: int, searched: int) -> Int[Tensor, " c"]:
        """The rows of the highest dot products in the best leaves, the highest first.

        Args:
            query: What is looked for.
            count: Rows that are wanted, at most as many as there are.
            searched: Leaves that are looked into, best means first; more where these hold fewer
                rows than are wanted.
        """
        order = (self.means @ query).argsort(descending=True).tolist()
        spans, held = [], 0
        for number, leaf in enumerate(order):
            if number >= searched and held >= count:
                break
            spans.append(slice(self.starts[leaf], self.starts[leaf + 1]))
            held += self.starts[leaf + 1] - self.starts[leaf]
        scores = torch.cat([self.rows[span] @ query for span in spans])
        owners = torch.cat([self.owners[span] for span in spans])
        return owners[scores.topk(count).indices]


def leaves(rows: Float[Tensor, "n d"], count: int, *, seed: int = 0) -> Leaves:
    """Rows around means, by Lloyd's algorithm on a sample of them.

    Args:
        rows: At least one.
        count: Leaves; at most as many as rows. Some may stay empty.
        seed: Which rows are drawn.

    Raises:
        UsageError: If the count is out of range.

    >>> found = leaves(torch.tensor([[0.0], [1.0], [9.0], [8.0]]), 2)
    >>> found.best(torch.tensor([1.0]), count=2, searched=1).tolist()
    [2, 3]
    """
    if not 1 <= count <= len(rows):
        raise UsageError(f"leaves: count={count}; allowed is 1 to {len(rows)}, the number of rows.")
    source = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(len(rows), generator=source)[: SAMPLE * count].to(rows.device)
    sample = rows[drawn]
    means = sample[:count]
    for _ in range(ROUNDS):
        means = _means(sample, _nearest(sample, means), means)
    chosen = _nearest(rows, means)
    order = chosen.argsort(stable=True)
    sizes = torch.bincount(chosen, minlength=count)
    return Leaves(
        rows=rows[order],
        owners=order,
        starts=(0, *sizes.cumsum(0).tolist()),
        means=_means(rows, chosen, means),
    )


def _nearest(rows: Float[Tensor, "n d"], means: Float[Tensor, "k d"]) -> Int[Tensor, " n"]:
    """The mean at the least distance: a dot product, with half a square less for each mean."""
    ends = torch.cat([means, -means.square().sum(1, keepdim=True) / 2], 1)
    found = []
    for part in torch.split(rows, AT_ONCE):
        longer = torch.cat([part, part.new_ones(len(part), 1)], 1)
        found.append(nearest_centroid(longer, ends).to(rows.device))
    return torch.cat(found)


def _means(
    rows: Float[Tensor, "n d"], chosen: Int[Tensor, " n"], old: Float[Tensor, "k d"]
) -> Float[Tensor, "k d"]:
    """The mean of the rows of each leaf; an empty one keeps what it had."""
    sums = torch.zeros_like(old).index_add_(0, chosen, rows)
    sizes = torch.bincount(chosen, minlength=len(old))[:, None]
    return torch.where(sizes > 0, sums / sizes.clamp(min=1), old)
