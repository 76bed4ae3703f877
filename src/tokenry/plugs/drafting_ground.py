"""Where drafts are laid on: a cache that a tree goes into, and of which a path stays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from tokenry.plugs.cache import RoomyLayer
from tokenry.plugs.past import CACHE

_HOLES = 32


class DraftLayer(RoomyLayer):
    """Keys and values that grow in place, and of which any may go back to an earlier slot."""

    @classmethod
    def adopt(cls, layer: DynamicLayer) -> DraftLayer:
        """A layer that holds what `layer` holds."""
        ours = cls()
        if layer.is_initialized and layer.keys is not None and layer.values is not None:
            ours.lazy_initialization(layer.keys, layer.values)
            ours.keys, ours.values = layer.keys, layer.values
        return ours

    def release(self) -> DynamicLayer:
        """A plain layer with the same slots, and without spare room."""
        plain = DynamicLayer()  # type: ignore[no-untyped-call]
        if self.is_initialized and self.keys is not None and self.values is not None:
            plain.lazy_initialization(self.keys, self.values)
            plain.keys, plain.values = self.keys.contiguous(), self.values.contiguous()
        return plain

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Take in new tokens; all keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = self._appended("keys", key_states)
        self.values = self._appended("values", value_states)
        return self.keys, self.values

    def move(self, rows: Int[Tensor, " m"], old: Int[Tensor, " m"], new: Int[Tensor, " m"]) -> None:
        """Put what row `rows[i]` holds in slot `old[i]` into slot `new[i]`."""
        for x in (self.keys, self.values):
            if x is not None:
                x[rows, :, new] = x[rows, :, old]

    def _spare(self, slots: int) -> int:
        return 64 + slots // 4

    def _each(self, change: Callable[[Tensor], Tensor]) -> None:
        if self.is_initialized and self.keys is not None and self.values is not None:
            self.keys, self.values = change(self.keys), change(self.values)
            self._room.clear()


class Ground:
    """A decoder's cache under the texts of a batch, each of which advances by itself.

    A pass lays the root and the drafted nodes of all rows behind all that is there, and those that
    became text stay where they are, up to the last of them. Between them, and behind a row that
    advanced by fewer than another, are holes, which the mask hides: to fill them in all layers
    after each pass would cost more than they do. When there are many, and at the end, each row is
    packed into its first slots, padding in front included.

    Args:
        model: The model.
        cache: Its cache after the prompt, all of whose layers are `DraftLayer`s.
        kwargs: What `generate` prepared for the model, without the cache.

    Attributes:
        lengths: Tokens that each row holds, padding included.
    """

    lockstep = False
    """Whether all rows must advance by the same count."""
    chains = False
    """Whether drafts must be chains."""

    def __init__(self, model: Any, cache: Cache, kwargs: dict[str, Any], batch: int) -> None:
        self._model, self._cache = model, cache
        self._kwargs = dict(kwargs)
        self._layers = [layer for layer in cache.layers if isinstance(layer, DraftLayer)]
        n = int(cache.get_seq_length())
        self.lengths = [n] * batch
        self._width = n
        self._held: Bool[Tensor, "b s"] | None = None  # where no hole is; None for none anywhere
        mask = self._kwargs.pop("attention_mask", None)
        self._padding: Bool[Tensor, "b n"] | None = None if mask is None else mask[:, :n].bool()
        places = self._kwargs.pop("position_ids")[:, -1:].expand(batch, 1)
        self._ahead: Int[Tensor, "b 1"] = places + 1 - n
        self._types = {
            name: self._kwargs.pop(name)[:, -1:]
            for name in ("token_type_ids", "mm_token_type_ids")
            if self._kwargs.get(name) is not None
        }
        for name in (CACHE, "inputs_embeds"):
            self._kwargs.pop(name, None)
        self._kwargs |= {"logits_to_keep": 0} if "logits_to_keep" in kwargs else {}
        config = model.config.get_text_config(decoder=True)
        self._additive = config._attn_implementation == "eager"

    @property
    def positions(self) -> list[int]:
        """The position of each row's next token."""
        ahead: list[int] = self._ahead.flatten().tolist()
        return [n + more for n, more in zip(self.lengths, ahead, strict=True)]

    def feed(
        self, tokens: Int[Tensor, "b t"], seen: Bool[Tensor, "b t t"]
    ) -> Float[Tensor, "b t v"]:
        """One pass over the roots and their trees; the scores after each token.

        Args:
            tokens: The last token of each text, and the nodes under it.
            seen: Which of them each attends to.
        """
        b, t = tokens.shape
        lengths = torch.tensor(self.lengths, device=tokens.device)
        depth = seen.sum(-1) - 1 if t > 1 else tokens.new_zeros(b, 1)
        inputs = self._model.prepare_inputs_for_generation(
            tokens,
            next_sequence_length=t,
            **{CACHE: self._cache},
            attention_mask=self._mask(seen),
            position_ids=lengths[:, None] + self._ahead + depth,
            **{name: last.expand(b, t) for name, last in self._types.items()},
            **self._kwargs,
        )
        scores: Tensor = self._model(**inputs, return_dict=True).logits
        return scores

    def _mask(self, seen: Bool[Tensor, "b t t"]) -> Tensor | None:
        """What each token attends to, `(b, 1, t, s + t)`; None when that is everything."""
        b, t, _ = seen.shape
        even = self._padding is None and self._held is None
        if even and t == 1:
            return None
        if self._held is None:
            past = torch.ones(b, self._width, dtype=torch.bool, device=seen.device)
        else:
            past = self._held.clone()
        if self._padding is not None:
            past[:, : self._padding.shape[1]] &= self._padding
        mask = torch.cat([past[:, None].expand(-1, t, -1), seen], -1).unsqueeze(1)
        if not self._additive:
            return mask
        dtype = self._model.dtype
        none = torch.zeros((), dtype=dtype, device=mask.device)
        return torch.where(mask, none, torch.finfo(dtype).min)

    def ahead(self) -> int:
        """Most tokens of a text that a pass may take in with the result of one by one."""
        return sys.maxsize

    def keep(self, slots: Sequence[Sequence[int]]) -> None:
        """Of the last pass keep in each row these tokens, 0 being the root; the rest goes."""
        self._hold(slots)
        self.lengths = [n + len(stay) for n, stay in zip(self.lengths, slots, strict=True)]
        if self._width > max(self.lengths) + _HOLES:
            self._pack()
        self._crop()

    def _hold(self, slots: Sequence[Sequence[int]]) -> None:
        """Behind all that is there each row holds these slots, and holes between them."""
        m = max((stay[-1] + 1 for stay in slots if stay), default=0)
        if self._held is not None or any(len(stay) < m for stay in slots):
            held, device = self._held, self._ahead.device
            if held is None:
                held = torch.ones(len(slots), self._width, dtype=torch.bool, device=device)
            new = [[slot in stay for slot in range(m)] for stay in slots]
            more = torch.tensor(new, dtype=torch.bool, device=device)
            self._held = torch.cat([held, more], 1)
        self._width += m

    def _pack(self) -> None:
        """Let each row's tokens lie in its first slots."""
        if self._held is None:
            return
        rows, old = self._held.nonzero().T
        new = (self._held.cumsum(1) - 1)[rows, old]
        self._move(torch.stack([rows, old, new])[:, old != new])
        self._level()

    def _level(self) -> None:
        """Each row holds its first slots, as many as it has tokens, and no others."""
        self._width, self._held = max(self.lengths), None
        if min(self.lengths) < self._width:
            lengths = torch.tensor(self.lengths, device=self._ahead.device)
            places = torch.arange(self._width, device=lengths.device)
            self._held = places < lengths[:, None]

    def drop(self, counts: Sequence[int]) -> None:
        """Pack the rows, and let go of so many tokens at the end of each."""
        self._pack()
        self.lengths = [n - count for n, count in zip(self.lengths, counts, strict=True)]
        self._level()
        self._crop()

    def _crop(self) -> None:
        spare = int(self._cache.get_seq_length()) - self._width
        if spare:
            self._cache.crop(-spare)

    def _move(self, index: Int[Tensor, "3 m"]) -> None:
        """Of each row, old slot and new slot."""
        placed: dict[torch.device, Tensor] = {}
        for layer in self._layers:
            if layer.keys is not None and layer.is_initialized:
                device = layer.keys.device
                if device not in placed:
                    placed[device] = index.to(device)
                layer.move(*placed[device])
