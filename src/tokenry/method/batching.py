"""The contract of those that give each batch of text a tokenizer of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tokenry.method.base import Method

if TYPE_CHECKING:
    from tokenry.method.vocab import Vocab


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class MergedBatch:
    """A batch of texts after neighbouring tokens were merged.

    Attributes:
        sequences: The tokens of each text; a token from `len(vocab)` on is new.
        tokens: The bytes that new tokens stand for, in order of their ids.
        merges: Left, right and made token of each merge, in order.
        starts: For each token of a text, the place of its first part in the text as it came.
        lengths: Tokens of all texts together, before the first merge and after each.
    """

    sequences: Sequence[Sequence[int]]
    tokens: Sequence[bytes]
    merges: Sequence[tuple[int, int, int]]
    starts: Sequence[Sequence[int]]
    lengths: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class BatchMerger(Method):
    """Merges neighbouring tokens of a batch into new ones; a model is given rows for them."""

    noun: ClassVar[str] = "merger of tokens"

    @abstractmethod
    def merge(
        self, batch: Sequence[Sequence[int]], vocab: Vocab, merges: int | None = None
    ) -> MergedBatch:
        """The batch after its merges.

        Args:
            batch: The tokens of each text, without padding.
            vocab: The vocabulary that they are of.
            merges: Most merges; the method's own number when not given.
        """
