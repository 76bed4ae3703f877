"""The contract of those that give every text embeddings of its own."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tokenry.method.base import Method

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Generator, Tensor


@dataclass(frozen=True, kw_only=True)
class RowSampler(Method):
    """Says by which vectors each text of a batch is read and written."""

    noun: ClassVar[str] = "sampler of rows"

    @abstractmethod
    def rows(
        self,
        learned: Float[Tensor, "v d"],
        special: Bool[Tensor, " v"],
        count: int,
        source: Generator,
    ) -> Float[Tensor, "b v d"]:
        """One vector per token for each of `count` texts.

        Args:
            learned: The model's own embeddings.
            special: Which tokens stand for no text.
            count: How many texts there are.
            source: What is drawn comes from it.
        """
