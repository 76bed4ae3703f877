"""The contract of the cache family: which slots of the key-value cache stay, or are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tokenry.errors import UsageError
from tokenry.method.base import Keep, Method

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from tokenry.ops.attention import Weighing


@dataclass(frozen=True, slots=True)
class KVView:
    """What a cache policy sees of one layer's cache, and nothing else of the model.

    Slots stand in the order of the tokens they hold. Query head `i` reads key head
    `i // (h // g)`.

    Attributes:
        layer: Index among the layers with full attention, from 0.
        depth: Number of such layers.
        count: How many slots shall be left, or be read.
        seen: How many tokens a full cache would hold.
        keys: One key per slot: rotated to its position, unless the policy is `unrotated`.
        values: One value per slot.
        tokens: Which token each slot holds, from 0 to `seen - 1`.
        size: How many tokens each slot stands for; None when each stands for one.
        valid: False where a slot holds padding; None when none does.
        places: Position of each query of this pass as the model counts.
        scale: The factor before the softmax.
        memory: What the policy noted of this layer; tensors in it have the batch first.
        shared: The same for all layers of this cache together; they are asked in order.
        asked: What only some policies ask for, by name; see the properties.
        weighing: What the model's softmax has beside scores; None for the plain one.
    """

    layer: int
    depth: int
    count: int
    seen: int
    keys: Float[Tensor, "b g s e"]
    values: Float[Tensor, "b g s v"]
    tokens: Int[Tensor, "b g s"]
    size: Float[Tensor, "b g s"] | None
    valid: Bool[Tensor, "b g s"] | None
    places: Int[Tensor, "b t"]
    scale: float
    memory: dict[str, Any]
    shared: dict[str, Any]
    asked: dict[str, Tensor]
    weighing: Weighing | None = None

    @property
    def queries(self) -> Float[Tensor, "b h t e"]:
        """For `select` the queries of the chunk, for `evict` the last `window` ones of each text.

        They are rotated like `keys`.
        """
        return self._asked("queries", "give the policy a window")

    @property
    def query_tokens(self) -> Int[Tensor, "b t"]:
        """For `evict`, which token each of the `queries` is; -1 where a text has no more."""
        return self._asked("query_tokens", "give the policy a window")

    @property
    def mass(self) -> Float[Tensor, "b h s"]:
        """Attention that each slot got from each query head, summed over all queries so far."""
        return self._asked("mass", "set weighs = True on the policy")

    @property
    def positions(self) -> Int[Tensor, "b s"]:
        """Position of each slot's token as the model counts."""
        return self._asked("positions", "set unrotated = True on the policy")

    @property
    def inv_freq(self) -> Float[Tensor, " f"]:
        """Rotary frequencies of the model."""
        return self._asked("inv_freq", "set unrotated = True on the policy")

    def _asked(self, name: str, remedy: str) -> Tensor:
        if name not in self.asked:
            raise UsageError(f"KVView: {name} was not asked for; {remedy}.")
        return self.asked[name]


@dataclass(frozen=True, slots=True)
class Slots:
    """What is left of a layer's cache.

    Attributes:
        keep: Indices of the slots that stay, rising.
        keys: What they hold from now on; None for what they held.
        values: The same for values.
        size: How many tokens each stands for; None when that is as before.
    """

    keep: Int[Tensor, "b g k"]
    keys: Float[Tensor, "b g k e"] | None = None
    values: Float[Tensor, "b g k v"] | None = None
    size: Float[Tensor, "b g k"] | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """Slots that a chunk of queries reads, and where they stand for it.

    Several reads of one chunk share one softmax.

    Attributes:
        slots: Indices of the slots, rising.
        positions: Position to which each key is rotated; None for its own. A single number holds
            for all keys and costs nothing: the queries are rotated by the difference.
        places: Position to which each query is rotated for these slots, `(b, t)`; None for
            its own.
        packed: Number the keys anew from 0, without gaps, padding not counted, and the queries,
            whose own slots must be there, with them; in the place of `positions` and `places`.
        allow: Which query may read which slot; None for all. Padding and what comes after a
            query is never read, whatever stands here.
    """

    slots: Int[Tensor, "b g k"]
    positions: Int[Tensor, "#b #g #k"] | None = None
    places: Int[Tensor, "b t"] | None = None
    packed: bool = False
    allow: Bool[Tensor, "#b #g t k"] | None = None


@dataclass(frozen=True, kw_only=True)
class CachePolicy(Method):
    """Says what becomes of the key-value cache of a causal language model.

    A subclass writes `evict` (slots go for good, memory is freed) or `select` (the cache stays
    complete, each chunk of queries reads a part of it), and says what it has to see: the last
    queries (`window`), the attention each slot got (`weighs`), keys without rotation
    (`unrotated`).
    """

    noun: ClassVar[str] = "cache policy"

    keep: Keep = 1.0

    weighs: ClassVar[bool] = False
    """Whether `evict` needs `view.mass`; costs a second product of queries and keys."""

    unrotated: ClassVar[bool] = False
    """Whether keys are cached, and queries shown, without their rotation."""

    @property
    def window(self) -> int:
        """How many of the last queries `evict` needs."""
        return 0

    @property
    def least(self) -> int:
        """Fewest slots that the rule can leave, or of what came before a chunk can read."""
        return 1

    @property
    def chunk(self) -> int:
        """How many queries `select` is asked about at once."""
        return 512

    def check(self, depth: int) -> None:
        """Refuse a model whose `depth` layers with full attention cannot reach `keep`.

        Asked when the policy is attached with `keep` below 1, before any text is read.

        Raises:
            UsageError: If they cannot.
        """

    def shares(self, views: Sequence[KVView]) -> Sequence[float]:
        """The share of its tokens that each layer keeps; the mean is `keep`."""
        return [self.keep] * len(views)

    def evict(self, view: KVView) -> Slots:
        """Say which `view.count` slots stay."""
        raise self._undecided()

    def select(self, view: KVView) -> tuple[Read, ...]:
        """Say which slots the queries of this chunk read, `view.count` for the last one."""
        raise self._undecided()

    def _undecided(self) -> UsageError:
        return UsageError(
            f"{type(self).__name__}: neither says which slots stay nor which are read; write "
            "evict or select."
        )

    @property
    def selects(self) -> bool:
        """Whether slots are read selectively, not evicted."""
        return type(self).select is not CachePolicy.select
