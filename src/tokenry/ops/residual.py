"""PLAID's codec: a vector as the number of a centroid and a few bits per dimension.

Each dimension of the residual falls into one of 2^b buckets; the cutoffs between them and the
weight that stands for each are quantiles over the residuals of all dimensions (Santhanam et al.
2022, section 4.1; ColBERTv2, section 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from tokenry.errors import UsageError
from tokenry.ops.kmeans import nearest_centroid

BITS = (1, 2, 4, 8)


@dataclass(frozen=True)
class ResidualCodec:
    """What turns vectors into bytes and back.

    Attributes:
        centroids: The vectors that residuals are taken from.
        cutoffs: Between the buckets, ascending.
        weights: What a dimension in each bucket counts as.
    """

    centroids: Float[Tensor, "k d"]
    cutoffs: Float[Tensor, " c"]
    weights: Float[Tensor, " w"]

    @classmethod
    def fit(
        cls, x: Float[Tensor, "n d"], centroids: Float[Tensor, "k d"], bits: int
    ) -> ResidualCodec:
        """Learn the buckets: cutoffs are quantiles i/2^b, weights those halfway between.

        Args:
            x: Vectors to learn from; others than the centroids were learned from, if possible.
            centroids: As they will be stored.
            bits: Per dimension: 1, 2, 4 or 8.

        Raises:
            UsageError: If the bits are others, or a row's codes would not fill bytes.
        """
        if bits not in BITS or x.shape[1] * bits % 8:
            raise UsageError(
                f"ResidualCodec: {bits} bits for {x.shape[1]} dimensions; allowed are "
                f"{', '.join(map(str, BITS))}, where they fill whole bytes."
            )
        residuals = x.float() - centroids[nearest_centroid(x, centroids)]
        # Not torch.quantile: it refuses more than 16 million numbers.
        values, buckets = residuals.numpy().ravel(), 1 << bits
        cutoffs = np.quantile(values, np.arange(1, buckets) / buckets)
        weights = np.quantile(values, np.arange(buckets) / buckets + 0.5 / buckets)
        return cls(centroids, torch.from_numpy(cutoffs).float(), torch.from_numpy(weights).float())

    @property
    def bits(self) -> int:
        """Bits per dimension."""
        return len(self.weights).bit_length() - 1

    @property
    def width(self) -> int:
        """Bytes of a row's residual."""
        return self.centroids.shape[1] * self.bits // 8

    def encode(self, x: Float[Tensor, "n d"]) -> tuple[Int[Tensor, " n"], UInt8[Tensor, "n w"]]:
        """The centroid of each vector, and its packed residual."""
        codes = nearest_centroid(x, self.centroids)
        # The number of cutoffs strictly below.
        buckets = torch.bucketize(x.float() - self.centroids[codes], self.cutoffs)
        return codes, pack(buckets.to(torch.uint8), self.bits)

    def decode(
        self, codes: Int[Tensor, " n"], packed: UInt8[Tensor, "n w"]
    ) -> Float[Tensor, "n d"]:
        """The vectors that codes stand for, not scaled to length one."""
        return self.centroids[codes] + self.spread[packed.int()].flatten(1)

    @cached_property
    def spread(self) -> Float[Tensor, "256 p"]:
        """The weights that each byte stands for."""
        every = torch.arange(256, dtype=torch.uint8)[:, None]
        return self.weights[unpack(every, self.bits).int()]


def pack(buckets: UInt8[Tensor, "n d"], bits: int) -> UInt8[Tensor, "n w"]:
    """Numbers below 2^bits side by side in bytes, the first in the highest bits.

    >>> pack(torch.tensor([[1, 15, 0, 2]], dtype=torch.uint8), 4).tolist()
    [[31, 2]]
    """
    parts = buckets.view(len(buckets), buckets.shape[1] * bits // 8, 8 // bits)
    shifts = torch.arange(8 - bits, -1, -bits, dtype=torch.uint8)
    return (parts << shifts).sum(-1, dtype=torch.int32).to(torch.uint8)


def unpack(packed: UInt8[Tensor, "n w"], bits: int) -> UInt8[Tensor, "n d"]:
    """What `pack` packed."""
    shifts = torch.arange(8 - bits, -1, -bits, dtype=torch.uint8)
    return ((packed[..., None] >> shifts) & ((1 << bits) - 1)).flatten(1)
