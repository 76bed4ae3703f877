"""The contract of the probes: what is put to a model, and what its response comes to."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from tokenry.errors import UsageError
from tokenry.method.base import Method

Condition = str | int | float
"""The value of one condition of an item: a length, a kind."""

Span = tuple[int, int]
"""First character and the one after the last."""


@dataclass(frozen=True, slots=True)
class Item:
    """One text that is put to a model, with the exact answer where there is one.

    Attributes:
        id: Its name, the same for the same settings and seed.
        context: What the model reads first.
        rest: What it reads then; a cache policy may cut between the two.
        conditions: What sets this item apart, by name.
        words: Spans of `text` whose surprisal is asked for; empty when an answer is.
        answers: The exact answer, element by element; empty when something else is asked for.
        depths: Where the model's states are asked for, as shares of its layers (0: what goes
            into the first); empty when something else is.
    """

    id: str
    context: str
    rest: str
    conditions: Mapping[str, Condition]
    words: tuple[Span, ...] = ()
    answers: tuple[str, ...] = ()
    depths: tuple[float, ...] = ()

    @property
    def text(self) -> str:
        """All that the model reads."""
        return self.context + self.rest


@dataclass(frozen=True, slots=True)
class Response:
    """What a model made of one item.

    Attributes:
        tokens: Tokens of the item's text, by the model's tokenizer.
        answer: What it wrote; empty when surprisals were asked for.
        surprisals: Surprisal of each of the item's words in nats.
        states: Mean over the item's tokens of the model's state at each of the item's depths.
    """

    tokens: int
    answer: str = ""
    surprisals: tuple[float, ...] = ()
    states: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """What the response to one item comes to.

    Attributes:
        item: Name of the item.
        conditions: Those of the item.
        value: The score.
        more: Secondary scores by name.
    """

    item: str
    conditions: Mapping[str, Condition]
    value: float
    more: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a probe found.

    Attributes:
        metric: What one score is, in words.
        statistic: What stands for the scores of one condition.
        by: Conditions, by name, that the scores are grouped by.
        scores: One per item.
        findings: Figures over all items, by name.
    """

    metric: str
    statistic: Literal["mean", "median"]
    by: tuple[str, ...]
    scores: tuple[Score, ...]
    findings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Probe(Method):
    """Puts texts with exact answers to a model and measures its responses.

    It never sees the model: `items` says what the model shall read, and `measure` gets what came
    back. What it asks for, an answer, surprisals or a state, is the same for all its items.
    """

    noun: ClassVar[str] = "probe"
    asks: ClassVar[Literal["answer", "surprisals", "state"]]

    @abstractmethod
    def items(self, seed: int = 0) -> Sequence[Item]:
        """What is put to the model; the same seed gives the same items, byte for byte."""

    @abstractmethod
    def measure(self, items: Sequence[Item], responses: Sequence[Response]) -> Measurement:
        """What the responses come to.

        Args:
            items: Any of those that `items` gave.
            responses: One for each, in the same order.

        Raises:
            UsageError: If their numbers differ, or a response does not fit its item.
        """


def paired(
    owner: str, items: Sequence[Item], responses: Sequence[Response]
) -> Iterator[tuple[Item, Response]]:
    """Each item with its response.

    Raises:
        UsageError: If their numbers differ, or a response lacks what its item asks for.
    """
    if len(items) != len(responses):
        raise UsageError(
            f"{owner}: got {len(responses)} responses to {len(items)} items; give one for each."
        )
    for item, response in zip(items, responses, strict=True):
        if len(item.words) != len(response.surprisals):
            raise UsageError(
                f"{owner}: the response to {item.id} has {len(response.surprisals)} surprisals; "
                f"the item asks for {len(item.words)}."
            )
        if len(item.depths) != len(response.states):
            raise UsageError(
                f"{owner}: the response to {item.id} has {len(response.states)} states; the item "
                f"asks for {len(item.depths)}."
            )
        yield item, response
