"""Rows that have one vector each, made of whatever cells they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tokenry.method import Aids, Matcher, Scored
from tokenry.ops.nearest import ALL, nearest, products

_HOW = "pass a dual encoder, as tokenry.plugs.dual_encoder builds it, or its `{}`."

Rows = Int[np.ndarray, " m"]
Scores = Float[np.ndarray, " m"]
Vectors = Float[np.ndarray, "n d"]


class PooledRows(Matcher):
    """Inner products of vectors of length one; NaN in a vector is no vector."""

    def __init__(self, left: Vectors, right: Float[np.ndarray, "m d"], *, apart: bool) -> None:
        self.left, self.right, self.apart = left, right, apart

    def score(self, left: Rows, right: Rows) -> Scores:
        """The inner product of given pairs."""
        return products(self.left, self.right, left, right)

    def nearest(self, k: int, least: float = -np.inf, rows: slice = ALL) -> Scored:
        """The k best right rows of each left one."""
        both = self.left, self.right
        return Scored(*nearest(*both, k, least, itself=not self.apart, rows=rows))


def vectors_of(cells: Sequence[Any], aids: Aids, aid: str) -> Float[Tensor, "n d"] | None:
    """The vectors of cells, zeros where one is empty; None where all are."""
    rows = [
        row
        for row, cell in enumerate(cells)
        if not (cell is None or (isinstance(cell, float) and cell != cell))
    ]
    if not rows:
        return None
    found = aids.need("clippings", aid, _HOW.format(aid))([cells[row] for row in rows])
    vectors = torch.zeros(len(cells), found.shape[1])
    vectors[rows] = torch.as_tensor(np.array(found, dtype=np.float32))
    return vectors
