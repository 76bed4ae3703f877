"""One forward pass over a cache under a policy: what came in, and which slots it may read."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tokenry.ops.slots import reachable, seen_slots
from tokenry.plugs.cache import TrackedLayer


@dataclass(slots=True)
class Pass:
    """One forward pass under way; over drafts, until it is said which of them stay.

    Attributes:
        layers: Those with full attention, by their number.
        real: Which of all tokens are no padding; None when all are.
        places: Where the tokens of this pass stand.
        read: The slots of each layer that a selecting policy read last.
        tree: Which of the tokens each of them attends to; None for those before it.
        queries: Those of each layer, where `tree` says that some tokens may go.
        back: Angles that turn queries and keys back to no position.
        turns: Angles that layers share; see `tokenry.plugs.reading`.
        made: Whether the mask that came with the tokens lets some of them see later ones.
    """

    layers: dict[int, TrackedLayer]
    real: Bool[Tensor, "b n"] | None
    places: Int[Tensor, "b t"]
    read: dict[int, Int[Tensor, "b g k"]]
    tree: Bool[Tensor, "b t t"] | None = None
    queries: dict[int, Float[Tensor, "b h t e"]] = field(default_factory=dict)
    back: tuple[Tensor, Tensor] | None = None
    turns: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    made: bool = False

    def last(self, t: int) -> Bool[Tensor, "b t"] | None:
        """Which of the last `t` tokens are no padding."""
        return None if self.real is None else self.real[:, -t:]

    def reach(
        self, layer: TrackedLayer, t: int, mask: Tensor | None = None
    ) -> Bool[Tensor, "b g t s"]:
        """Which of the last `t` tokens could read which slot, the drafts aside.

        Args:
            layer: Whose slots.
            t: How many tokens read.
            mask: What the model made for the full cache.
        """
        if self.made and mask is not None:
            return seen_slots(mask, layer.tokens)
        last = torch.arange(layer.seen - t, layer.seen, device=layer.keys.device)
        return reachable(layer.tokens, last, layer.valid(self.real))

    def allowed(
        self, layer: TrackedLayer, t: int, mask: Tensor | None = None
    ) -> Bool[Tensor, "b g t s"] | None:
        """Which of the last `t` tokens reads which slot; None where the last one reads all."""
        if t == 1 and self.real is None:
            return None
        allowed = self.reach(layer, t, mask)
        if self.tree is not None:
            allowed[..., -t:] = self.tree.unsqueeze(1)
        return allowed
