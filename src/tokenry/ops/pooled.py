"""One vector for a picture and its text, and where to cut clusters of such vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from tokenry.ops.similarity import unit
from tokenry.ops.single_linkage import DISTANCES, best_cut


def pool(
    pictures: Float[Tensor, "b d"], texts: Float[Tensor, "b d"], weight: float
) -> Float[Tensor, "b d"]:
    """The weighted mean of both, each of length one before and the mean after.

    A row of zeros is nothing: then the other stands alone, unless its weight is 0.

    Args:
        pictures: Vectors of pictures.
        texts: Vectors of texts.
        weight: Of the picture.

    >>> import torch
    >>> pool(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 5.0]]), 0.5).tolist()
    [[0.707..., 0.707...]]
    """
    v, w = unit(pictures), unit(texts)
    if weight in (0, 1):  # not scaled twice, so that they are those of the encoder to the bit
        return v if weight else w
    return unit(weight * v + (1 - weight) * w)


class PooledCut(NamedTuple):
    """What `best_pooled_cut` chose.

    Attributes:
        weight: Of the picture.
        distance: The greatest cosine distance that joins two records.
        agreement: The adjusted Rand index with the true clusters.
    """

    weight: float
    distance: float
    agreement: float


def best_pooled_cut(
    pictures: Float[Tensor, "n d"],
    texts: Float[Tensor, "n d"],
    gold: Int[np.ndarray, " n"],
    weights: Sequence[float] = (0.5,),
    distances: Sequence[float] = DISTANCES,
) -> PooledCut:
    """The weight and the cut whose single-linkage clusters agree best with the true ones.

    `tokenry.ops.single_linkage.linked` then clusters other records. What is reported on these
    here is too good: both were chosen on them.

    Args:
        pictures: Vectors of the pictures of validation records.
        texts: Vectors of their texts.
        gold: Their true clusters.
        weights: What is tried; of equally good ones the first is taken.
        distances: What is tried.
    """
    found = []
    for weight in weights:
        rows = pool(pictures, texts, weight).double().numpy()
        found.append(PooledCut(weight, *best_cut(rows, gold, distances)))
    return max(found, key=lambda one: one.agreement)
