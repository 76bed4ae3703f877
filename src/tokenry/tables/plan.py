"""What shall be done with two tables, checked before anything is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tokenry.errors import UsageError
from tokenry.method import Aids, Linker
from tokenry.tables import blocking
from tokenry.tables.engine import Engine
from tokenry.tables.stages import Stages

Assign = Literal["many", "best_left", "best_right", "mutual", "one_to_one", "greedy"]
"""How many links a row may have; `tokenry.ops.assignment` says what each does."""


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Plan:
    """What shall be done with two tables.

    Attributes:
        who: The verb, for messages.
        left: Key columns of the left table.
        right: Key columns of the right one, in the same order.
        method: What scores.
        aids: What the method may ask for.
        names: What `aids` are called, as plain data: what is kept of earlier runs depends on it.
        rules: Which rows are compared; none for the nearest of each row.
        max_block: Pairs of a block; larger ones are left out.
        k: Without rules: how many right rows each left row is compared with in full.
        threshold: The score from which on a pair is a link; None for the method's own.
        apart: Keep pairs below the threshold too, as far as so many times the distance of the least
            link, 1 - score: a guard looks at them. 0 for links alone.
        assign: How many links a row may have.
        normalise: How texts are normalised.
        normaliser: The same as plain data.
        engine: Makes the engine that joins.
        gold: Pairs that are known to be true, to measure candidates and links with.
    """

    who: str = "link"
    left: tuple[str, ...]
    right: tuple[str, ...]
    method: Linker
    aids: Aids
    names: Any
    rules: tuple[blocking.Rule, ...] = ()
    max_block: int = blocking.MAX_BLOCK
    k: int | None = None
    threshold: float | None = None
    apart: float = 0.0
    assign: str = "best_left"
    normalise: Callable[[str], str | None]
    normaliser: str = ""
    engine: Callable[[Stages], Engine]
    gold: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.assign not in get_args(Assign):
            raise UsageError(
                f"{self.who}: assign={self.assign!r} is unknown; give "
                f"{', '.join(get_args(Assign))}."
            )
        if self.threshold is not None and not self.threshold < np.inf:
            raise UsageError(
                f"{self.who}: threshold={self.threshold!r} is no score; give a number, or nothing "
                "for the method's own."
            )
        for name, low in (("k", 1), ("max_block", 1)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or value < low):
                raise UsageError(f"{self.who}: {name}={value!r} is below {low}.")

    @property
    def most(self) -> int:
        """Without rules: pairs of each left row."""
        return self.k or (1 if self.assign == "best_left" else 10)

    def floor(self, threshold: float) -> float:
        """The score from which on pairs are kept."""
        return threshold if not self.apart else 1 - self.apart * (1 - threshold)
