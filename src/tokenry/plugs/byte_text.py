"""What can be done with next-byte probabilities, whatever they come from: score and write."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from tokenry.errors import UsageError
from tokenry.ops.covers import END


class ImpossibleTextError(UsageError):
    """No text begins with these bytes, or none that the model gives any probability."""


class ByteText(ABC):
    """A distribution over texts, byte by byte."""

    @abstractmethod
    def next(self, prefix: bytes | str) -> Float[Tensor, " 257"]:
        """Log-probabilities of what follows a text: each byte, and at place 256 its end."""

    def score(self, text: bytes | str, prefix: bytes | str = b"", *, ends: bool = False) -> float:
        r"""The log-probability of a text, $\\sum_i \\ln P(b_i \\mid b_{<i})$, in nats.

        Args:
            text: What is scored.
            prefix: What stands before it.
            ends: Whether the end of text behind it counts too.

        Returns:
            Minus infinity when the text cannot be.
        """
        before, rest = as_bytes(prefix), as_bytes(text)
        outcomes = [*rest, *([END] if ends else [])]
        total = 0.0
        for i, outcome in enumerate(outcomes):
            total += float(self.next(before + rest[:i])[outcome])
            if math.isinf(total):
                break
        return total

    def write(
        self,
        prompt: bytes | str,
        max_new_bytes: int,
        *,
        do_sample: bool = False,
        temperature: float = 1.0,
        stop: bytes | str = b"",
        generator: torch.Generator | None = None,
    ) -> bytes:
        """Go on with a text, byte by byte.

        Args:
            prompt: The text; it may end anywhere, in the middle of a character too.
            max_new_bytes: Most bytes to write.
            do_sample: Draw each byte; else take the likeliest.
            temperature: Of the distribution over bytes, which is not that over tokens.
            stop: Stop behind these bytes.
            generator: Source of random numbers.

        Returns:
            What is new.

        Raises:
            UsageError: If the temperature is not above 0.
        """
        if not temperature > 0:
            raise UsageError(
                f"write: temperature={temperature} is not above 0; for the likeliest byte give "
                "do_sample=False."
            )
        text, mark = as_bytes(prompt), as_bytes(stop)
        start, scores = len(text), self.next(prompt)
        while len(text) - start < max_new_bytes:
            outcome = int(scores.argmax())
            if do_sample:
                shares = (scores / temperature).softmax(-1)
                outcome = int(torch.multinomial(shares, 1, generator=generator))
            if outcome == END:
                break
            try:
                after = self.next(text + bytes([outcome]))
            except ImpossibleTextError:  # it rested on tokens that were not tested
                scores = scores.index_fill(0, torch.tensor([outcome]), -math.inf)
                continue
            text, scores = text + bytes([outcome]), after
            if mark and text[start:].endswith(mark):
                break
        return text[start:]


def as_bytes(text: bytes | str) -> bytes:
    """A text as bytes."""
    return text.encode() if isinstance(text, str) else bytes(text)
