"""The contract of the vision family: which rows of an encoder's layer stay."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tokenry.errors import UsageError
from tokenry.method.base import In, Keep, Method

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from tokenry.ops.plan import Plan

Schedule = Annotated[
    Literal["constant", "linear", "ratio"] | tuple[int, ...],
    In(0, 1_000_000),
    "how the removal is spread over the layers, or the exact number removed in each",
]


@dataclass(frozen=True, slots=True)
class Heads:
    """Queries and keys of one attention, before any rotation, and its scale.

    `turn` rotates them to where their rows stand; None where rows are not rotated.
    """

    queries: Float[Tensor, "b h n e"]
    keys: Float[Tensor, "b h n e"]
    scale: float
    turn: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None


@dataclass(frozen=True, slots=True)
class LayerView:
    """What a token reducer sees of one layer, and nothing else of the model.

    Attributes:
        layer: Index of the layer, from 0.
        depth: Number of layers.
        grid: Rows and columns of the patch grid at the input.
        protected: Number of rows at the front that must stay (class, registers).
        count: Number of rows that shall be left, the protected ones included.
        size: How many original tokens each row stands for, `(b, n, 1)` float32.
        valid: False where a row is padding, `(b, n)`; None when no row is.
        origin: The row that each original token is in now, `(b, n0)`; -1 when dropped.
        heads: Queries and keys of the last attention that ran; None before the first.
        bias: What is added to the scores of each key, `(b, 1, 1, n)`; None when nothing is.
        memory: What the method noted earlier in the same forward pass.
    """

    layer: int
    depth: int
    grid: tuple[int, int]
    protected: int
    count: int
    size: Float[Tensor, "b n 1"]
    valid: Bool[Tensor, "b n"] | None
    origin: Int[Tensor, "b n0"]
    heads: Heads | None
    bias: Float[Tensor, "b 1 1 n"] | None
    memory: dict[str, Any]

    @property
    def queries(self) -> Float[Tensor, "b h n e"]:
        """Queries of the last attention that ran, before any rotation."""
        return self._attended().queries

    @property
    def keys(self) -> Float[Tensor, "b h n e"]:
        """Keys of the last attention that ran, before any rotation."""
        return self._attended().keys

    @property
    def compared(self) -> tuple[Float[Tensor, "b h n e"], Float[Tensor, "b h n e"]]:
        """Queries and keys as the last attention compared them, rotated where it rotates."""
        heads = self._attended()
        if heads.turn is None:
            return heads.queries, heads.keys
        return heads.turn(heads.queries, heads.keys)

    @property
    def scale(self) -> float:
        """The factor before that attention's softmax."""
        return self._attended().scale

    def _attended(self) -> Heads:
        if self.heads is None:
            raise UsageError(
                f"LayerView: queries and keys do not exist before the first attention (layer "
                f"{self.layer}); remove tokens later, or note what is needed in a scoring pass."
            )
        return self.heads


@dataclass(frozen=True, kw_only=True)
class TokenReducer(Method):
    """Merges or drops tokens inside a vision encoder.

    A subclass writes `reduce`; where a rule asks for it, it also says in which layers it
    works (`layers`), whether it works before the block or between attention and MLP
    (`place`), and how much it can remove at once (`max_drop`).
    """

    noun: ClassVar[str] = "reducer of image tokens"

    keep: Keep = 1.0

    place: ClassVar[Literal["before", "middle"]] = "middle"
    max_drop: ClassVar[float] = 1.0
    """Largest share of the unprotected rows that one reduction can remove."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.spread, tuple) and self.keep != 1:
            raise UsageError(
                f"{type(self).__name__}: keep={self.keep} and schedule={self.spread} both say how "
                "many tokens go; give one of them."
            )

    @property
    def spread(self) -> Literal["constant", "linear", "ratio"] | tuple[int, ...]:
        """How the removal is spread over `layers`."""
        return "constant"

    @property
    def biases_keys(self) -> bool:
        """Whether later layers weigh each key by the tokens it stands for."""
        return False

    @property
    def scoring_pass(self) -> bool:
        """Whether an untouched pass over the encoder, seen by `observe`, goes first."""
        return False

    def layers(self, depth: int) -> tuple[int, ...]:
        """The layers, from 0, in which tokens are removed."""
        return tuple(range(depth))

    def input_grid(self, grid: tuple[int, int]) -> tuple[int, int]:
        """The patch grid that the image is resized to before the encoder sees it."""
        return grid

    def observe(self, view: LayerView) -> None:
        """Note what a later `reduce` needs in `view.memory`; called after each attention."""

    @abstractmethod
    def reduce(self, x: Float[Tensor, "b n d"], view: LayerView) -> Plan:
        """Say which `view.count` rows of `x` stay and where the others go.

        A method that works before a layer is asked as soon as the attention of the layer
        before has run, so that its queries and keys need not be held any longer; `x` is then
        what goes into that layer's MLP. Before the first layer there are none.
        """
