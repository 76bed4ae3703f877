"""The few best of many scores, found without looking at all of them twice."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

_BLOCK = 128


def top(scores: Float[Tensor, "n v"], k: int) -> Int[Tensor, "n k"]:
    """The places of the `k` greatest of each row, the greatest first.

    They stand in the `k` blocks with the greatest maxima, so that only those are sorted: on a
    vocabulary of fifty thousand that is several times faster than `torch.topk` over all.

    >>> top(torch.tensor([[0.1, 0.9, 0.5]]), 2).tolist()
    [[1, 2]]
    """
    n, v = scores.shape
    blocks = v // _BLOCK
    if blocks <= 2 * k:
        return scores.topk(k, -1).indices
    whole = scores[:, : blocks * _BLOCK].reshape(n, blocks, _BLOCK)
    best = whole.amax(-1).topk(k, -1).indices
    offset = torch.arange(_BLOCK, device=scores.device)
    places = (best[..., None] * _BLOCK + offset).flatten(1)
    rest = torch.arange(blocks * _BLOCK, v, device=scores.device).expand(n, -1)
    places = torch.cat([places, rest], 1)
    return places.gather(1, scores.gather(1, places).topk(k, -1).indices)
