"""The contract of training objectives: a loss over what a model made of a batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar

from tokenry.method.base import In, Method

if TYPE_CHECKING:
    from random import Random

    from jaxtyping import Bool, Float, Int
    from torch import Generator, Tensor


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

    noun: ClassVar[str] = "objective"

    @abstractmethod
    def loss(self, batch: Batch) -> Losses:
        """The loss of a batch; gradients flow through it."""


@dataclass(frozen=True, kw_only=True)
class PairObjective(Objective):
    """An objective over pairs of texts, read by one encoder: the views `left` and `right`.

    `tokenry.plugs.tuning.tune` trains any encoder of sentence-transformers with it.
    """

    noun: ClassVar[str] = "objective over pairs of texts"
    tokens: ClassVar[bool] = False
    """Whether it reads the vectors of tokens, and which are real, or one vector for each text."""
    alone: ClassVar[bool] = False
    """Whether it reads single texts with their groups, the view `left` alone, and batches are drawn
    so that texts of one group meet."""
    labelled: ClassVar[bool] = False
    """Whether it reads pairs that are the same and pairs that are not: 1 and 0, label `same`."""

    @property
    def heads_dropped(self) -> float:
        """Share of the attention heads that training drops; 0 leaves dropout in its place."""
        return 0.0

    def pair(self, left: str, right: str, draw: Random) -> tuple[str, str]:
        """The two texts as they are read this time; by default as they are."""
        return left, right


@dataclass(frozen=True, kw_only=True)
class DuplexObjective(Objective):
    """An objective with two decoders beside a masked language model: one on its first token.

    `tokenry.plugs.duplex` trains any BERT with it. The views are `masked`, the logits of the
    encoder where it was masked; `decoded`, those of the decoder on the first token; `bag`, one
    logit for each word, made of the other tokens. The last two are left out where they weigh 0.
    """

    noun: ClassVar[str] = "objective with two decoders"

    encoder_share: Annotated[float, In(0, 1, open="both"), "the words hidden from the encoder"] = (
        0.3
    )
    decode: Annotated[float, In(0, 100), "the weight of the decoder"] = 1.0
    bag: Annotated[float, In(0, 100), "the weight of the bag of words"] = 1.0

    @abstractmethod
    def hidden(
        self, words: Int[Tensor, "b n"], share: float, draw: Generator
    ) -> Bool[Tensor, "b n"]:
        """Which tokens are hidden: whole words, this share of them; -1 is no word."""

    @abstractmethod
    def visible(
        self, words: Int[Tensor, "b n"], real: Bool[Tensor, "b n"], draw: Generator
    ) -> Bool[Tensor, "b n n"]:
        """What each row of the decoder sees."""

    @abstractmethod
    def words(self, mu: Float[Tensor, "b v"]) -> tuple[Float[Tensor, "b k"], Int[Tensor, "b k"]]:
        """Of the bag, the entries that stand in the vector of a text, and their words."""
