"""The contract of those that learn a vocabulary from text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tokenry.method.base import In, Method

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class TokenizerTrainer(Method):
    """Learns a vocabulary from text, as a tokenizer of the `tokenizers` library."""

    size: Annotated[int, In(2, 10_000_000), "most tokens, special ones included"] = 8192

    @abstractmethod
    def train(self, texts: Iterable[str]) -> Tokenizer:
        """The tokenizer learned from texts; the same texts give the same one.

        Raises:
            UsageError: If the texts hold nothing to learn from.
        """
