"""The contract of navigators: which first token to try next, and under which prompt."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tokenry.method.base import Method


@dataclass(frozen=True, slots=True)
class Form:
    r"""How answers stand in a prompt, one after the other.

    Attributes:
        head: What stands before the first answer; `{question}` in it is the question.
        opening: What stands before each answer; `{number}` in it counts from 1.
        closing: The mark that ends an answer.
        joint: What stands between an answer and the opening of the next one.
        length: Most tokens of an answer.

    >>> Form("{question}\n", "{number}. '", "'", "'\n", 8).write("Who?", ("Ann",))
    "Who?\n1. 'Ann'\n2. '"
    """

    head: str
    opening: str
    closing: str
    joint: str
    length: int

    def write(self, question: str, answers: Sequence[str] = ()) -> str:
        """The prompt in which these answers are given, and the next one is due."""
        parts = [self.head.replace("{question}", question)]
        for number, answer in enumerate(answers, 1):
            parts += [self.opening.replace("{number}", str(number)), answer, self.joint]
        parts.append(self.opening.replace("{number}", str(len(answers) + 1)))
        return "".join(parts)


LIST = Form("{question}\n\nAnswer:\n", '{number}. "', '"', '"\n', 64)
"""A numbered list of quoted answers."""

WAYS = Form("{question}\n\n", "### Way {number}:\n* **Step 1:**\n", "#", "\n", 256)
"""Several ways to reason, each under a heading of its own."""


@dataclass(frozen=True)
class Navigator(Method):
    """A rule that finds many answers to one question by trying many first tokens.

    It sees neither model nor tokenizer: tokens come as their text, the likeliest first.
    """

    noun: ClassVar[str] = "navigator"

    @property
    @abstractmethod
    def draws(self) -> bool:
        """Whether first tokens and answers are drawn at random instead."""

    @abstractmethod
    def shown(self, found: Sequence[str]) -> tuple[str, ...]:
        """The answers that stand in the prompt whose ranking is asked for next."""

    @abstractmethod
    def first_tokens(
        self,
        ranking: Iterable[tuple[int, str]],
        probed: Collection[str],
        count: int,
        closing: str,
    ) -> list[int]:
        """The next first tokens, by id.

        Args:
            ranking: Each token's id and text, the likeliest first.
            probed: Texts of the first tokens that were tried before.
            count: Most tokens to name.
            closing: The mark that ends an answer.
        """
