"""The contract of training objectives: a loss over what a model made of a batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from tokenry.method.base import Method

if TYPE_CHECKING:
    from random import Random

    from jaxtyping import Bool, Float, Int
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What a model made of the `b` rows of a batch, by the names that the objective gives.

    Attributes:
        vectors: Vectors or logits of each view: one for each row, or one for each token.
        real: Which tokens of a view are no padding, where it has tokens.
        labels: What a view shall predict; -100 is no label.
        groups: The group of each row; rows of one group are not negatives of each other. None: each
            row is a group of its own.
    """

    vectors: Mapping[str, Float[Tensor, "*any"]]
    real: Mapping[str, Bool[Tensor, "b n"]] = field(default_factory=dict)
    labels: Mapping[str, Int[Tensor, "*any"]] = field(default_factory=dict)
    groups: Int[Tensor, " b"] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Losses:
    """What training makes small, and what it is made of.

    Attributes:
        total: The loss.
        parts: Its parts by name, before weights; empty where it has none.
    """

    total: Float[Tensor, ""]
    parts: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Objective(Method):
    """A loss over a batch. It sees vectors and logits, never the model that made them."""

    @abstractmethod
    def loss(self, batch: Batch) -> Losses:
        """The loss of a batch; gradients flow through it."""


@dataclass(frozen=True, kw_only=True)
class PairObjective(Objective):
    """An objective over pairs of texts, read by one encoder: the views `left` and `right`.

    `tokenry.plugs.tuning.tune` trains any encoder of sentence-transformers with it.
    """

    tokens: ClassVar[bool] = False
    """Whether it reads the vectors of tokens, and which are real, or one vector for each text."""

    def pair(self, left: str, right: str, draw: Random) -> tuple[str, str]:
        """The two texts as they are read this time; by default as they are."""
        return left, right
