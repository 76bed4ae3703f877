"""Equal-Info windows: text as codes that each say as much as the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import In, TextCoder
from tokenry.ops import arithmetic
from tokenry.ops.arithmetic import Predictor


@final
@dataclass(frozen=True, kw_only=True)
class EqualInfo(TextCoder):
    r"""Cuts text into windows that arithmetic coding writes with equally many bits.

    A window begins with the coder at [0, 1) and the predictor knowing nothing; it takes bytes as
    long as one of the $2^b$ cells of width $2^{-b}$ lies in their interval. Of those cells it
    takes the first that lies in the interval of no longer text, so that a reader who goes on as
    long as the cell lies in one stops exactly there. The end of a text is a symbol like bytes.

    Args:
        bits: Of a window (the paper's b); a multiple of `token`.
        token: Bits of a token (log2 of the paper's v).
        longest: Most symbols of a window, for text that costs next to nothing.

    Raises:
        UsageError: If a setting is out of range.

    Source: Lester et al. 2024, section 3.3.
    """

    card: ClassVar[Card] = Card(
        slug="equal-info",
        name="Equal-Info",
        title="Training LLMs over Neurally Compressed Text",
        summary="Writes text as neural codes of equal information, which a model can learn.",
        family="vocab",
        have="texts and a model that reads bytes",
        want="tokens that each say as much as the others",
        dial="none: there is no keep; `bits` says how much a window holds",
        needs="training",
        year=2024,
        arxiv="2404.03626",
        venue="TMLR 2024",
        claims=(
            Claim(
                paper="A second model can learn Equal-Info codes, and hardly those of plain "
                "arithmetic coding.",
                effect="With windows of 16 bits a token costs over 15 % less than uniform; in a "
                "stream, within 5 % of it.",
                test="tests/vocab/test_equal_info.py::"
                "test_claim_codes_of_equal_information_can_be_learned",
                measured="6.56 bits for a token of 8, and 8.01 in a stream, as counts of up to 4 "
                "codes have it; codes by counts of up to 3 bytes, 107,000 bytes of manual pages "
                "to learn from.",
            ),
            Claim(
                paper="A second model reaches fewer bits per byte on Equal-Info codes.",
                effect="Fewer bits per byte on windows of 16 bits than on a stream, where it knows "
                "more than the predictor that the codes are made with.",
                test="tests/vocab/test_equal_info.py::"
                "test_claim_a_second_model_that_knows_more_needs_fewer_bits_than_in_a_stream",
                measured="3.20 against 3.83 bits a byte, 3.26 against 4.77 and 3.14 against 3.07, "
                "with codes by counts of up to 1, 0 and 2 bytes and a second model that counts up "
                "to 4 codes. The more the predictor knows, the less is left to learn: by counts of "
                "up to 3 bytes 3.01 against 2.65, where windows begin with 40 % more bits.",
            ),
            Claim(
                paper="Equal-Info does better than GZip's codes, and than arithmetic coding with "
                "static probabilities.",
                effect="A second model needs fewer bits a byte on Equal-Info codes than on those "
                "of Deflate, and than on those of a coder that knows how often bytes occur.",
                test="tests/vocab/test_equal_info.py::"
                "test_claim_other_codes_say_less_or_are_not_learned",
                measured="3.01 against 3.97 and 4.75 bits a byte; 6.56, 8.00 and 8.01 bits for a "
                "token of 8: counts of codes learn nothing of the other two. Texts of 1,000 "
                "bytes, as above.",
            ),
            Claim(
                paper="Windows cost more bits than a stream; wider ones less so.",
                effect="Bits per byte fall with the width, towards those of the stream.",
                test="tests/vocab/test_equal_info.py::"
                "test_claim_the_overhead_shrinks_with_the_window",
                measured="4.07, 3.09, 2.60 and 2.40 bits a byte with windows of 12, 16, 32 and 64 "
                "bits, 2.21 in a stream; counts of up to 3 bytes, manual pages.",
            ),
            Claim(
                paper="A model over codes beats one over bytes at equal inference cost, and the "
                "gap to subwords closes with scale.",
                effect="Fewer bits per byte than a model over bytes of equal cost.",
                not_shown="At our scale bytes are ahead: counts of up to 5 bytes need 2.09 bits a "
                "byte on manual pages, counts of codes 2.50.",
            ),
        ),
        differs=(
            "The paper pads a window to b bits and does not say how a reader knows where it ends. "
            "Here a cell is taken that lies across the border of two continuations; if there is "
            "none, a byte less goes into the window. The lowest cell would often be read too far.",
            "Intervals are whole numbers of any length: nothing is rounded but the probabilities, "
            "to 16 bits (fewer in smaller windows), and every symbol keeps a share.",
            "The end of a text is a symbol, so that the last window needs no length.",
            "Any predictor of bytes will do: `ByteLM` reads any causal language model so. The "
            "paper trains one of 3 million parameters on windows; one that was not trained so "
            "loses more at each beginning.",
        ),
    )

    bits: Annotated[int, In(9, 64), "bits of a window"] = 16
    token: Annotated[int, In(1, 16), "bits of a token"] = 16
    longest: Annotated[int, In(1, 65536), "most symbols of a window"] = 1024

    @property
    def width(self) -> int:
        """Bits of a token."""
        if self.bits % self.token:
            raise UsageError(
                f"EqualInfo: bits={self.bits} is no multiple of token={self.token}; a window is "
                "written with whole tokens."
            )
        return self.token

    def windows(self, predict: Predictor, text: bytes) -> list[tuple[int, bytes]]:
        """The code and the bytes of each window; the end of the text is in the last one.

        Args:
            predict: Probabilities of what follows bytes.
            text: Any bytes.
        """
        found, at = [], 0
        while at <= len(text):
            code, count = arithmetic.window(predict, text[at:], self.bits, self.longest)
            found.append((code, text[at : at + count]))
            at += count
        return found

    def encode(self, predict: Predictor, text: bytes) -> list[int]:
        """The tokens of a text, each below 2^width.

        Args:
            predict: Probabilities of what follows bytes; the same at both ends, to the last bit.
            text: Any bytes.

        Raises:
            UsageError: If a window is not written with whole tokens.
        """
        codes = [code for code, _ in self.windows(predict, text)]
        shifts = range(self.bits - self.width, -1, -self.width)
        return [code >> shift & (1 << self.width) - 1 for code in codes for shift in shifts]

    def decode(self, predict: Predictor, tokens: list[int]) -> bytes:
        """The text that tokens stand for; each window is read by itself.

        Raises:
            UsageError: If there are not whole windows.
        """
        each = self.bits // self.width
        if len(tokens) % each:
            raise UsageError(
                f"EqualInfo: {len(tokens)} tokens are no whole windows; a window has {each}."
            )
        text = b""
        for start in range(0, len(tokens), each):
            code = 0
            for token in tokens[start : start + each]:
                code = code << self.width | token
            text += arithmetic.spelled(predict, code, self.bits, self.longest)
        return text
