"""Bookkeeping of one forward pass: sizes, origins and counts of the rows, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tokenry.ops.attention import key_bias
from tokenry.ops.plan import Plan, take_rows, unmerge


@dataclass(frozen=True, slots=True)
class Trace:
    """What became of the tokens in one forward pass.

    Attributes:
        tokens: For each layer, the rows that entered its attention and its MLP.
        full: Rows of the untouched model.
        grid: Rows and columns of the patch grid of the untouched model.
        protected: Rows at the front that are not patches.
        origin: The last row of each original token, special tokens first; -1 when dropped.
        size: How many original tokens each last row stands for.
        valid: False where a last row is padding; None when no row is.
        scored: Whether an untouched scoring pass went first.
    """

    tokens: tuple[tuple[int, int], ...]
    full: int
    grid: tuple[int, int]
    protected: int
    origin: Int[Tensor, "b n0"]
    size: Float[Tensor, "b k 1"]
    valid: Bool[Tensor, "b k"] | None
    scored: bool

    @property
    def share(self) -> float:
        """Mean share of tokens that the layers really processed; 1 more for a scoring pass."""
        mean = sum(a + m for a, m in self.tokens) / (2 * len(self.tokens))
        return mean / self.full + self.scored

    def unmerge(self, x: Float[Tensor, "b k d"]) -> Float[Tensor, "b n0 d"]:
        """One row per original token: that of the group it merged into, zeros when dropped."""
        return unmerge(x, self.origin)


@dataclass(slots=True)
class TokenState:
    """The rows as they stand in the middle of a pass."""

    counts: tuple[int, ...]
    full: int
    full_grid: tuple[int, int]
    grid: tuple[int, int]
    protected: int
    origin: Int[Tensor, "b n0"]
    size: Float[Tensor, "b n 1"]
    valid: Bool[Tensor, "b n"] | None
    weigh: bool
    memory: dict[str, Any] = field(default_factory=dict)
    tokens: list[tuple[int, int]] = field(default_factory=list)
    queries: Float[Tensor, "b n he"] | None = None
    keys: Float[Tensor, "b n he"] | None = None
    listens: bool = False
    plan: Plan | None = None
    merged: bool = False
    touched: bool = False
    turns: tuple[Tensor, ...] | None = None  # cosines and sines of the patches, (b, 1, n, e)

    def see(self, kwargs: dict[str, Any]) -> None:
        """Note the rotation that layers are called with, before the first row goes."""
        turns = kwargs.get("position_embeddings")
        if turns is not None and self.turns is None:
            self.turns = tuple(x.expand(len(self.size), 1, -1, -1) for x in turns)

    def turned(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The same with the rotation of the rows that are left."""
        return kwargs if self.turns is None else {**kwargs, "position_embeddings": self.turns}

    def apply(self, x: Float[Tensor, "b n d"], plan: Plan) -> Float[Tensor, "b k d"]:
        """Carry out `plan` on the rows and on everything that is known of them."""
        self.origin = plan.follow(self.origin, x.shape[1])
        if plan.valid is not None:
            self.valid = plan.valid
        elif self.valid is not None:
            self.valid = self.valid.gather(1, plan.keep)
        self.merged = self.merged or plan.source is not None
        self.touched = True
        if self.turns is not None:  # a merged row stands where the one that stayed stood
            patches = plan.keep[:, self.protected :] - self.protected
            self.turns = tuple(take_rows(x[:, 0], patches)[:, None] for x in self.turns)
        x, self.size = plan.merge(x, self.size)
        return x

    def bias(self, dtype: torch.dtype) -> Float[Tensor, "b 1 1 n"] | None:
        """What later attention adds to each key's score; None when nothing."""
        bias = key_bias(self.size, self.valid, self.weigh and self.merged)
        return None if bias is None else bias.to(dtype)

    def trace(self, scored: bool) -> Trace:
        """The record of the finished pass."""
        return Trace(
            tokens=tuple(self.tokens),
            full=self.full,
            grid=self.full_grid,
            protected=self.protected,
            origin=self.origin,
            size=self.size,
            valid=self.valid,
            scored=scored,
        )


def grid_origin(
    full: tuple[int, int], grid: tuple[int, int], protected: int, batch: int, device: torch.device
) -> Int[Tensor, "b n0"]:
    """The row of each original token at the input, when the image was resized to `grid`.

    >>> grid_origin((2, 2), (1, 1), 1, 1, torch.device("cpu")).tolist()
    [[0, 1, 1, 1, 1]]
    """
    # The small patch that holds the centre of the original one is also the nearest.
    rows = (2 * torch.arange(full[0], device=device) + 1) * grid[0] // (2 * full[0])
    columns = (2 * torch.arange(full[1], device=device) + 1) * grid[1] // (2 * full[1])
    patches = (rows[:, None] * grid[1] + columns).reshape(-1) + protected
    special = torch.arange(protected, device=device)
    return torch.cat([special, patches]).expand(batch, -1)
