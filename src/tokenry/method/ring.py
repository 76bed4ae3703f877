"""The contract of sequence parallelism: which rank holds whose queries at which step."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from tokenry.method.base import Method
from tokenry.ops.ring import Tile


@dataclass(frozen=True, slots=True)
class Visit:
    """What one rank has before it at one step.

    Attributes:
        owner: The rank whose rows have come.
        source: The rank that they came from.
        onward: The rank that they go to next.
        carried: The first chunk of the owner's rows that has come; all after it have too.
        tile: Which of the queries meet which of the keys.
    """

    owner: int
    source: int
    onward: int
    carried: int
    tile: Tile


@dataclass(frozen=True, kw_only=True)
class SequenceRing(Method):
    """Exact attention over a sequence that lies in shards on several ranks."""

    noun: ClassVar[str] = "ring"

    @abstractmethod
    def chunks(self, rank: int, world: int) -> tuple[int, ...]:
        """The chunks that a rank owns, rising; every rank owns equally many."""

    @abstractmethod
    def visit(self, rank: int, step: int, world: int, causal: bool) -> Visit:
        """What a rank does at a step; at step 0 its own queries meet its own keys."""
