"""The contract of those that leave fewer token vectors of a document in an index."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from tokenry.method.base import Keep, Method


@dataclass(frozen=True, slots=True)
class TokensView:
    """What is known of the tokens of one document.

    Attributes:
        count: Vectors that shall be left, at least 1.
        words: Number of each token in the vocabulary.
        spread: For each token, the share of the collection's documents that hold it.
        document: A number that no other document of the collection has.
    """

    count: int
    words: Int[Tensor, " n"]
    spread: Float[Tensor, " n"]
    document: int


@dataclass(frozen=True, kw_only=True)
class IndexReducer(Method):
    """Leaves a share of each document's token vectors; queries stay as they are."""

    noun: ClassVar[str] = "reducer of an index"

    keep: Keep = 1.0

    @abstractmethod
    def group(self, x: Float[Tensor, "n d"], view: TokensView) -> Int[Tensor, " n"]:
        """The group of each token, from 0 to `view.count` - 1, or -1 for one that is dropped.

        Tokens of a group become one vector, their mean. No group is empty.

        Args:
            x: The document's token vectors, of length one; more than `view.count`.
            view: What else is known of them.
        """
