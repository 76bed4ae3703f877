"""The question to a reader of bytes: given covers of a text, what may follow it?"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from tokenry.method.base import Method
from tokenry.ops.byte_trie import ByteTrie
from tokenry.ops.covers import Cover, Opening, Rows


@dataclass(frozen=True)
class ByteReader(Method):
    """A rule that turns what a model says of tokens into what it says of bytes."""

    noun: ClassVar[str] = "reader of bytes"

    @abstractmethod
    def asked(self, openings: Sequence[Opening]) -> list[Cover]:
        """The covers that the model has to run on, parents before children.

        Args:
            openings: All covers of a text, with the tokens that may follow each.
        """

    @abstractmethod
    def tested(
        self, openings: Sequence[Opening], fresh: Sequence[Cover]
    ) -> list[tuple[Cover, Rows]]:
        """The tokens of which it has to be known whether they follow in canonical text.

        Args:
            openings: All covers of a text, with the tokens that may follow each.
            fresh: Covers for which the model has just answered.
        """

    @abstractmethod
    def following(
        self, openings: Sequence[Opening], trie: ByteTrie, length: int
    ) -> Float[np.ndarray, " 257"]:
        """Log-probabilities of each byte that may follow a text, and of its end.

        Args:
            openings: All covers of the text, with the tokens that may follow each.
            trie: The vocabulary.
            length: Bytes of the text.
        """
