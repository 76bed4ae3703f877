"""What routing is worth: the routed system between the best single expert and an oracle."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Int
from torch import Tensor

from tokenry.errors import UsageError


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Shares of right answers.

    Attributes:
        best_single: Of the expert that is best on all queries.
        chance: Of an expert drawn at random for each query, on average.
        routed: Of the routed system.
        oracle: Of a router that finds a right expert wherever there is one.
    """

    best_single: float
    chance: float
    routed: float
    oracle: float

    @property
    def regret(self) -> float:
        """What a perfect router would add."""
        return self.oracle - self.routed

    @property
    def gain(self) -> float:
        """The part of the way from the best single expert to the oracle; NaN without a way."""
        way = self.oracle - self.best_single
        return (self.routed - self.best_single) / way if way else float("nan")


def routing_table(chosen: Int[Tensor, " n"], right: Bool[Tensor, "n k"]) -> RoutingTable:
    """Compare a router with the best single expert, chance and an oracle.

    Args:
        chosen: The expert that each query went to.
        right: For each query and expert whether it answers right.

    Raises:
        UsageError: If there are no queries, the lengths differ, or an expert does not exist.

    >>> import torch
    >>> right = torch.tensor([[True, False], [True, False], [False, True], [False, False]])
    >>> table = routing_table(torch.tensor([0, 1, 1, 0]), right)
    >>> table.best_single, table.chance, table.routed, table.oracle
    (0.5, 0.375, 0.5, 0.75)
    """
    n, k = right.shape
    if not n or len(chosen) != n or not bool(((chosen >= 0) & (chosen < k)).all()):
        raise UsageError(
            f"routing_table: {len(chosen)} choices for {n} queries and {k} experts; give one "
            "expert from 0 on for each query."
        )
    score = right.double()
    routed = score.gather(1, chosen.unsqueeze(1))
    return RoutingTable(
        best_single=float(score.mean(0).max()),
        chance=float(score.mean()),
        routed=float(routed.mean()),
        oracle=float(score.max(1).values.mean()),
    )
