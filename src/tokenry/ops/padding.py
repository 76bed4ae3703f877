"""Lists of numbers of different lengths as one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def padded(
    rows: Sequence[Sequence[int]],
    fill: int = 0,
    *,
    left: bool = False,
    device: torch.device | str | None = None,
) -> tuple[Int[Tensor, "b n"], Bool[Tensor, "b n"]]:
    """Rows of one length, and where they are no padding.

    Args:
        rows: Numbers; a row may be empty.
        fill: What stands where a row has none.
        left: Whether padding stands in front.
        device: Where both go, made whole.

    >>> padded([[1, 2], [3]], 9, left=True)[0].tolist()
    [[1, 2], [9, 3]]
    """
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
    real = torch.arange(max(map(len, rows), default=0)) < lengths[:, None]
    real = real.flip(1) if left else real
    ids = torch.full(real.shape, fill)
    ids[real] = torch.tensor([*chain.from_iterable(rows)], dtype=torch.long)
    return ids.to(device=device), real.to(device=device)
