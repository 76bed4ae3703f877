"""A plan: which rows of a token sequence stay, and which of the others they take in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def flat_rows(index: Int[Tensor, "b k"], n: int) -> Int[Tensor, " bk"]:
    """Index into the rows of a `(b, n, d)` tensor seen as `(b*n, d)`.

    One flat `index_select` is several times faster than `gather` with an expanded index.
    """
    first = torch.arange(index.shape[0], device=index.device)[:, None] * n
    return (index + first).reshape(-1)


def take_rows(x: Float[Tensor, "b n d"], index: Int[Tensor, "b k"]) -> Float[Tensor, "b k d"]:
    """The rows `index` of each sequence.

    >>> take_rows(torch.arange(6.0).view(1, 3, 2), torch.tensor([[2, 0]])).tolist()
    [[[4.0, 5.0], [0.0, 1.0]]]
    """
    b, n, d = x.shape
    return x.reshape(b * n, d).index_select(0, flat_rows(index, n)).view(b, -1, d)


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows that stay, in their new order, and rows that merge into them.

    A row that is in neither list is dropped.

    Attributes:
        keep: Old indices of the rows that stay, `(b, k)`.
        source: Old indices of the rows that are merged away, `(b, r)`.
        target: For each source, its place in `keep`, `(b, r)`; -1 leaves the source alone, so
            that images with different counts fit one tensor.
        valid: False where a row of `keep` is padding, `(b, k)`; None when all are real.
    """

    keep: Int[Tensor, "b k"]
    source: Int[Tensor, "b r"] | None = None
    target: Int[Tensor, "b r"] | None = None
    valid: Bool[Tensor, "b k"] | None = None

    def select(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b k d"]:
        """The rows that stay, with nothing merged into them."""
        return take_rows(x, self.keep)

    def merge(
        self, x: Float[Tensor, "b n d"], size: Float[Tensor, "b n 1"]
    ) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b k 1"]]:
        r"""Size-weighted mean of each row that stays and the rows that merge into it.

        $x'_j = \sum_i s_i x_i / \sum_i s_i, \quad s'_j = \sum_i s_i$

        Args:
            x: Token rows.
            size: How many original tokens each row stands for, float32.

        Returns:
            The new rows, in the type of `x`, and their sizes.

        >>> plan = Plan(torch.tensor([[0]]), torch.tensor([[1]]), torch.tensor([[0]]))
        >>> x, size = plan.merge(torch.tensor([[[1.0], [4.0]]]), torch.tensor([[[1.0], [2.0]]]))
        >>> x.item(), size.item()
        (3.0, 3.0)
        """
        b, k = self.keep.shape
        kept = take_rows(size, self.keep)
        if self.valid is not None:
            kept = kept * self.valid.unsqueeze(-1)
        if self.source is None or self.target is None or self.source.shape[1] == 0:
            return self.select(x), kept
        rows = flat_rows(self.target.clamp(min=0), k)
        moved = take_rows(size, self.source) * (self.target >= 0).unsqueeze(-1)
        total = kept.reshape(b * k, 1).index_add(0, rows, moved.reshape(-1, 1))
        # Padding has size 0; a row made of padding alone becomes 0, not NaN.
        scale = 1 / total.clamp(min=1)
        weight = (moved.reshape(-1, 1) * scale.index_select(0, rows)).to(x.dtype)
        merged = self.select(x).reshape(b * k, -1) * (kept.reshape(-1, 1) * scale).to(x.dtype)
        share = take_rows(x, self.source).reshape(-1, x.shape[-1]) * weight
        return merged.index_add(0, rows, share).view(b, k, -1), total.view(b, k, 1)

    def follow(self, origin: Int[Tensor, "b n0"], n: int) -> Int[Tensor, "b n0"]:
        """Where each original token is after this plan, given where it was before.

        Args:
            origin: The row of each original token among the `n` old rows; -1 when dropped.
            n: Number of old rows.
        """
        b, k = self.keep.shape
        moved = origin.new_full((b, n + 1), -1)
        stays = self.keep if self.valid is None else self.keep.where(self.valid, n)
        moved.scatter_(1, stays, torch.arange(k, device=origin.device).expand(b, k))
        if self.source is not None and self.target is not None:
            moved.scatter_(1, self.source.where(self.target >= 0, n), self.target)
        moved[:, n] = -1
        return moved.gather(1, origin.where(origin >= 0, n))


def unmerge(x: Float[Tensor, "b k d"], origin: Int[Tensor, "b n0"]) -> Float[Tensor, "b n0 d"]:
    """One row per original token: its merged row, zeros where it was dropped.

    >>> unmerge(torch.tensor([[[5.0]]]), torch.tensor([[0, -1, 0]])).flatten().tolist()
    [5.0, 0.0, 5.0]
    """
    rows = take_rows(x, origin.clamp(min=0))
    return rows * (origin >= 0).unsqueeze(-1).to(x.dtype)
