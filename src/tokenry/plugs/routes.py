"""What came of a query: where it went, and its way through a graph of experts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Ending = Literal["end token", "no hand-over", "visits", "steps"]
"""Why a query went no further."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where one query goes.

    Attributes:
        expert: Who answers it.
        query: What the expert is asked.
        confidence: Probability of the expert that the model names; `expert` is another one, the
            general expert, when it is below the threshold.
        probabilities: Of all experts; they sum to one.
    """

    expert: str
    query: str
    confidence: float
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Step:
    """One expert on the way of a query.

    Attributes:
        route: How it was chosen.
        answer: What it answered.
    """

    route: Route
    answer: str


@dataclass(frozen=True, slots=True)
class Execution:
    """The way of one query through the graph.

    Attributes:
        answer: What the last expert answered.
        steps: Every expert that was asked, in order.
        ended: Why it went no further: the router wrote the end token, the last expert may hand
            over to nobody, all it may hand over to were asked as often as allowed, or the limit of
            steps was reached.
    """

    answer: str
    steps: tuple[Step, ...]
    ended: Ending
