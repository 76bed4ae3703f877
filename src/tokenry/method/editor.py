"""The question to a cache editor: the text changed, what becomes of the cached slots?"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Int
from torch import Tensor

from tokenry.method.base import Method
from tokenry.ops.edits import Edit


@dataclass(frozen=True, slots=True, eq=False)
class EditPlan:
    """What becomes of a cache when its text is edited.

    Attributes:
        source: For each token of the new text, the slot of the old cache that it keeps; -1 when
            it is encoded.
        shift: By how many positions the key of each kept slot is rotated; 0 for encoded ones.
    """

    source: Int[Tensor, " n"]
    shift: Int[Tensor, " n"]

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """The runs of tokens that are encoded, as ranges of the new text, from left to right."""
        fresh = [False, *(self.source < 0).tolist(), False]
        ends = [i for i in range(len(fresh) - 1) if fresh[i] != fresh[i + 1]]
        return tuple(zip(ends[::2], ends[1::2], strict=True))

    @property
    def encoded(self) -> int:
        """How many tokens the model has to run on."""
        return int((self.source < 0).sum())


@dataclass(frozen=True)
class CacheEditor(Method):
    """A rule that carries a cache over to an edited text."""

    noun: ClassVar[str] = "editor of a cache"

    @abstractmethod
    def plan(self, length: int, edits: Sequence[Edit]) -> EditPlan:
        """What becomes of each slot.

        Args:
            length: Tokens of the old text.
            edits: What changes, from left to right, in places of the old text.
        """
