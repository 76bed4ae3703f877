"""The contract of those that write text as codes of a fixed width, with a predictor of bytes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from tokenry.method.base import Method
from tokenry.ops.arithmetic import Predictor


@dataclass(frozen=True, kw_only=True)
class TextCoder(Method):
    """Writes bytes as tokens of a few bits each, and reads them again."""

    noun: ClassVar[str] = "coder of texts"

    @property
    @abstractmethod
    def width(self) -> int:
        """Bits of a token."""

    @abstractmethod
    def encode(self, predict: Predictor, text: bytes) -> list[int]:
        """The tokens of a text, each below 2^width.

        Args:
            predict: Probabilities of what follows bytes; the same at both ends, to the last bit.
            text: Any bytes.
        """

    @abstractmethod
    def decode(self, predict: Predictor, tokens: list[int]) -> bytes:
        """The text that tokens stand for."""
