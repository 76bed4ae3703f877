"""The contract of models that read their text in blocks, each closed by a token of its own."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from tokenry.method.base import In
from tokenry.method.policy import CachePolicy

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class MarkedView:
    """What one layer holds of texts with landmarks among their tokens.

    Query head `i` reads key head `i // (h // g)`; the queries are those of the last slots.

    Attributes:
        queries: Rotated like `keys`.
        keys: One key per slot, rotated to its rank.
        values: One value per slot.
        valid: False where a slot holds no token of its text; None when each does.
        scale: The factor before the softmax.
        inv_freq: Rotary frequencies of the model.
    """

    queries: Float[Tensor, "b h t e"]
    keys: Float[Tensor, "b g s e"]
    values: Float[Tensor, "b g s v"]
    valid: Bool[Tensor, "b s"] | None
    scale: float
    inv_freq: Float[Tensor, " f"]


@dataclass(frozen=True, kw_only=True)
class MarkedPolicy(CachePolicy):
    """Says how a model attends whose texts have a landmark after every `block` tokens.

    Of the valid slots of a text, each whose rank is `block` modulo `block + 1` is a landmark. The
    model must be trained with it, so that it runs without a cache as well.
    """

    noun: ClassVar[str] = "policy of landmarks"

    block: Annotated[int, In(1, 100_000), "how many tokens a landmark closes"] = 50

    @abstractmethod
    def attend(self, view: MarkedView) -> tuple[Float[Tensor, "b t h v"], Int[Tensor, "b h k"]]:
        """The output for each query, and which slots the last one read."""

    @property
    def selects(self) -> bool:
        """All slots stay; a query reads some."""
        return True
