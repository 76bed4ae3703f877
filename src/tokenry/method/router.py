"""The contract of routers: a model names an expert with one token, and rewrites the query."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from tokenry.method.base import In, Method


@dataclass(frozen=True, slots=True)
class Call:
    """What a router wrote.

    Attributes:
        expert: Number of the expert.
        query: What the expert is asked.
    """

    expert: int
    query: str


@dataclass(frozen=True, kw_only=True)
class Router(Method):
    """Says how queries and calls are written, and whom a query goes to.

    It sees neither model nor tokenizer; experts are numbers from 0 on.
    """

    noun: ClassVar[str] = "router"

    rewrite: Annotated[bool, "whether the model words the query anew for the expert"] = False
    steps: Annotated[int, In(1, 1000), "most experts that one query passes through"] = 8
    visits: Annotated[int, In(1, 1000), "how often one expert may be asked for one query"] = 1

    @property
    @abstractmethod
    def end(self) -> str:
        """The token that ends a call, and stands for "no further expert"."""

    @abstractmethod
    def token(self, expert: int) -> str:
        """The functional token of an expert."""

    @abstractmethod
    def prompt(self, query: str) -> str:
        """What the model reads; the functional token follows."""

    @abstractmethod
    def call(self, query: str) -> str:
        """What follows the functional token: the query as an argument, and the end token."""

    @abstractmethod
    def parse(self, text: str, experts: int) -> tuple[Call, ...]:
        """The calls in what a model wrote.

        Args:
            text: Special tokens included.
            experts: How many there are.

        Raises:
            UsageError: If no call is in it, or one calls an expert that does not exist.
        """

    @abstractmethod
    def choose(self, probabilities: Sequence[float], general: int | None) -> int:
        """Whom a query goes to.

        Args:
            probabilities: One per expert, or per expert and for the end token behind them.
            general: Who answers what no other is sure to; None when nobody does.
        """

    @abstractmethod
    def follow(self, query: str, answer: str) -> str:
        """What the next expert is asked, after the last one answered."""
