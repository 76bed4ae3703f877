"""The contract of those that learn a vocabulary from text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from tokenry.errors import UsageError
from tokenry.method.base import In, Method

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END = "<|endoftext|>"
"""The special token between texts; the first token of what a trainer learns, unless it has others
of its own."""


@dataclass(frozen=True, kw_only=True)
class TokenizerTrainer(Method):
    """Learns a vocabulary from text, as a tokenizer of the `tokenizers` library."""

    noun: ClassVar[str] = "trainer of tokenizers"
    for_few_texts: ClassVar[Mapping[str, Any]] = {}
    """Settings for a few lines of text, where the defaults go through them needlessly often; the
    common checks learn with them."""

    size: Annotated[int, In(2, 10_000_000), "most tokens, special ones included"] = 8192

    @abstractmethod
    def train(self, texts: Iterable[str]) -> Tokenizer:
        """The tokenizer learned from texts; the same texts give the same one.

        Raises:
            UsageError: If the texts hold nothing to learn from.
        """

    def room(self, taken: int) -> int:
        """How many tokens may be learned, beside those that must be there.

        Raises:
            UsageError: If there is no room for those.
        """
        if self.size < taken:
            raise UsageError(
                f"{type(self).__name__}: size={self.size} leaves no room; {taken} tokens must be "
                "there, the special ones and the alphabet."
            )
        return self.size - taken

    def some(self, texts: Iterable[str]) -> Iterator[str]:
        """The texts that are not empty.

        Raises:
            UsageError: If there is none.
        """
        found = (text for text in texts if text)
        first = next(found, None)
        if first is None:
            raise UsageError(f"{type(self).__name__}: the texts hold nothing to learn from.")
        return chain((first,), found)
