"""Arithmetic coding cut into tokens: the codes that a model can hardly learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from tokenry.card import Card
from tokenry.method import In, TextCoder
from tokenry.ops import arithmetic
from tokenry.ops.arithmetic import Predictor


@final
@dataclass(frozen=True, kw_only=True)
class ArithmeticCodes(TextCoder):
    """Writes a whole text as one number, and cuts its bits into tokens.

    The predictor knows all bytes before. This is as short as a text can be written with it, within
    two bits and what fills the last token.

    Args:
        token: Bits of a token.

    Raises:
        UsageError: If a setting is out of range.
    """

    card: ClassVar[Card] = Card(
        slug="arithmetic-codes",
        name="Arithmetic codes",
        title="The bits of arithmetic coding, cut into tokens",
        summary="Writes text as short as its predictor allows; what Equal-Info is measured with.",
        family="vocab",
        have="texts and a model that reads bytes",
        want="a code to measure others against",
        dial="none: there is no keep",
        needs="training",
    )

    token: Annotated[int, In(1, 16), "bits of a token"] = 16

    @property
    def width(self) -> int:
        """Bits of a token."""
        return self.token

    def encode(self, predict: Predictor, text: bytes) -> list[int]:
        """The tokens of a text, each below 2^width; a 1 and zeros fill the last one.

        Args:
            predict: Probabilities of what follows bytes; the same at both ends, to the last bit.
            text: Any bytes.
        """
        code, bits = arithmetic.stream(predict, text)
        filled = -(-(bits + 1) // self.width)
        code = (code << 1 | 1) << (filled * self.width - bits - 1)
        shifts = range((filled - 1) * self.width, -1, -self.width)
        return [code >> shift & (1 << self.width) - 1 for shift in shifts]

    def decode(self, predict: Predictor, tokens: list[int]) -> bytes:
        """The text that tokens stand for."""
        code = 0
        for token in tokens:
            code = code << self.width | token
        spare = (code & -code).bit_length()
        return arithmetic.unstreamed(predict, code >> spare, len(tokens) * self.width - spare)
