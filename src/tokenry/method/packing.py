"""The contract of packed training: who sees whom when documents share a sequence."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tokenry.method.base import Method

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from torch import Tensor

    from tokenry.ops.packing import Piece, Segments


@dataclass(frozen=True, kw_only=True)
class PackedAttention(Method):
    """Says how several documents behind one anchor attend in a single sequence.

    `tokenry.plugs.packing.PackingCollator` makes batches of it. Document ids are as
    `tokenry.ops.packing` describes them.
    """

    noun: ClassVar[str] = "rule for packed documents"

    @abstractmethod
    def visible(self, query: Tensor, key: Tensor) -> Tensor:
        """Whether a token of document `query` sees an earlier one of `key`; elementwise."""

    @abstractmethod
    def allow(self, documents: Int[Tensor, "b n"]) -> Bool[Tensor, "b n n"]:
        """Which query (row) attends to which key (column)."""

    @abstractmethod
    def places(self, documents: Int[Tensor, "b n"]) -> Int[Tensor, "b n"]:
        """The position of each token."""

    @abstractmethod
    def segments(self, documents: Int[Tensor, "b n"]) -> Segments:
        """The same attention as independent causal sequences, for kernels without a mask."""

    @abstractmethod
    def order(self, lengths: Sequence[int]) -> list[Piece]:
        """The order in which a pack holds documents of these lengths, or parts of them."""
