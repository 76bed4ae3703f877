"""What a cache under a policy holds after a pass, and how many bytes that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from tokenry.plugs.cache import TrackedLayer


@dataclass(frozen=True, slots=True)
class CacheTrace:
    """What the cache holds after a pass, and what the last query read of it.

    Attributes:
        seen: How many tokens a full cache would hold.
        resident: Slots held by each layer with full attention.
        read: Slots that the last query read in each.
        tokens: For each layer which tokens are held, or were read by a selecting policy.
        bytes_resident: Bytes of keys and values held in these layers.
        bytes_read: Bytes of them that the last query read.
        bytes_full: Bytes that a full cache would take.
        selects: Whether the policy reads selectively.
    """

    seen: int
    resident: tuple[int, ...]
    read: tuple[int, ...]
    tokens: tuple[Int[Tensor, "b g _"], ...]
    bytes_resident: int
    bytes_read: int
    bytes_full: int
    selects: bool

    @property
    def share(self) -> float:
        """Mean share of the full cache's slots that is held, or read by a selecting policy."""
        counts = self.read if self.selects else self.resident
        return sum(counts) / (len(counts) * self.seen)


def traced(
    layers: Sequence[TrackedLayer], read: Sequence[Int[Tensor, "b g _"]], selects: bool
) -> CacheTrace:
    """The trace of a pass.

    Args:
        layers: Those with full attention.
        read: The tokens that the last query read in each.
        selects: Whether the policy reads selectively.
    """
    counts = tuple(held.shape[-1] for held in read)
    slot = [_bytes_per_slot(layer) for layer in layers]
    return CacheTrace(
        seen=layers[0].seen,
        resident=tuple(layer.slots for layer in layers),
        read=counts,
        tokens=tuple(read),
        bytes_resident=sum(layer.nbytes for layer in layers),
        bytes_read=sum(n * each for n, each in zip(counts, slot, strict=True)),
        bytes_full=sum(layers[0].seen * each for each in slot),
        selects=selects,
    )


def _bytes_per_slot(layer: TrackedLayer) -> int:
    return sum(x[:, :, :1].numel() * x.element_size() for x in (layer.keys, layer.values))
