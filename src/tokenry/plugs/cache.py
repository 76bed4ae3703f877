"""One layer of a key-value cache that knows which token each of its slots holds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers.cache_utils import DynamicLayer

from tokenry.errors import UsageError
from tokenry.method import Slots
from tokenry.ops.rope import turn
from tokenry.ops.slots import take_slots

_BATCHED = ("keys", "values", "_tokens", "size", "mass", "queries", "query_tokens", "positions")
"""What has the batch first."""


class BatchedLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A layer whose every tensor follows what is done to the sequences of the batch."""

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Follow the beams."""
        self._each(lambda x: x.index_select(0, beam_idx.to(x.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each sequence of the batch."""
        self._each(lambda x: x.repeat_interleave(repeats, 0))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some sequences of the batch."""
        self._each(lambda x: x[indices])

    @abstractmethod
    def _each(self, change: Callable[[Tensor], Tensor]) -> None:
        """Change all that has the batch first."""


class RoomyLayer(BatchedLayer):  # type: ignore[no-untyped-call]
    """A layer that takes new tokens in place while it has room, and makes room when it has none."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._room: dict[str, Tensor] = {}

    def _spare(self, slots: int) -> int:
        """How much room to make beside so many slots."""
        return slots // 128

    def _appended(self, name: str, new: Tensor) -> Tensor:
        """What is held and `new` behind it: in place while room is left, else in new memory.

        Joining them anew for each token costs as much as the attention over a long cache.
        """
        held: Tensor = getattr(self, name)
        if held.ndim == 1:
            held = new[..., :0, :]
        if torch.is_grad_enabled():  # a gradient may still need what stands there
            return torch.cat([held, new], -2)
        n, stop = held.shape[-2], held.shape[-2] + new.shape[-2]
        room = self._room.get(name)
        if room is None or stop > room.shape[-2] or not _may_write(room, held):
            room = new.new_empty(*new.shape[:2], stop + self._spare(stop), new.shape[-1])
            room.narrow(-2, 0, n).copy_(held)
            self._room[name] = room
        room.narrow(-2, n, stop - n).copy_(new)
        return room.narrow(-2, 0, stop)


class TrackedLayer(RoomyLayer):  # type: ignore[no-untyped-call]
    """Keys and values of the slots that are left, and what is known of them.

    To transformers it looks as long as the full cache (`seen`), so that positions, masks and
    `generate` stay right; what it holds may be less, and differ from head to head.

    Attributes:
        seen: How many tokens have gone in.
        size: How many tokens each slot stands for, `(b, g, s)`; None when each stands for one.
        mass: Attention that each slot got from each query head, `(b, h, s)`; None when unasked,
            shorter where tokens came in unwatched.
        queries: The last queries of each text, `(b, h, w, e)`; None when unasked.
        query_tokens: Which token each of them is, `(b, w)`; -1 for padding.
        positions: Position of each token as the model counts, `(b, s)`; None when unasked.
        inv_freq: Rotary frequencies when keys are held without their rotation, else None.
        memory: What the policy noted; tensors in it have the batch first.
        shared: The same for all layers of the cache; the first layer's is used.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, inv_freq: Tensor | None = None) -> None:
        super().__init__()
        self.inv_freq = inv_freq
        self._forget()

    def _forget(self) -> None:
        self.seen = 0
        self.size: Tensor | None = None
        self.mass: Tensor | None = None
        self.queries: Tensor | None = None
        self.query_tokens: Tensor | None = None
        self.positions: Tensor | None = None
        self._back: tuple[Tensor, Tensor] | None = None
        self.memory: dict[str, Any] = {}
        self.shared: dict[str, Any] = {}
        self._room.clear()
        self._tokens: Tensor | None = None
        self._expects = False

    @classmethod
    def adopt(cls, layer: DynamicLayer) -> TrackedLayer:
        """A tracked layer that holds what `layer` holds."""
        tracked = cls()
        keys, values = layer.keys, layer.values
        if layer.is_initialized and keys is not None and values is not None and keys.numel():
            tracked.update(keys, values)
        return tracked

    @property
    def slots(self) -> int:
        """Slots held by each head."""
        return int(self.keys.shape[-2]) if self.is_initialized else 0

    @property
    def complete(self) -> bool:
        """Whether every token still has a slot of its own."""
        return self._tokens is None

    @property
    def tokens(self) -> Int[Tensor, "b g s"]:
        """Which token each slot holds."""
        if self._tokens is None:
            every = torch.arange(self.slots, device=self.keys.device)
            return every.expand(*self.keys.shape[:2], -1)
        return self._tokens

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values."""
        if not self.is_initialized:
            return 0
        return sum(int(x.untyped_storage().nbytes()) for x in (self.keys, self.values))

    @property
    def weighed(self) -> bool:
        """Whether `mass` counts every token that went in."""
        return self.mass is not None and self.mass.shape[-1] == self.slots

    def expect(
        self,
        positions: Int[Tensor, "b t"] | None = None,
        back: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """Say that the next `update` is known of.

        Args:
            positions: Where its tokens stand, if that matters.
            back: Cosines and sines that turn their keys back from there.
        """
        self._expects, self._back = True, back
        if positions is not None:
            before = None if self.positions is None else self.positions[:, : self.seen]
            self.positions = positions if before is None else torch.cat([before, positions], 1)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Take in new tokens; what all queries up to now may read.

        Raises:
            UsageError: If the model carries no policy any more, but reading needs one.
        """
        t = key_states.shape[-2]
        if (
            self.slots
            and not self._expects
            and (self.inv_freq is not None or self.size is not None)
        ):
            raise UsageError(
                "cache: its keys have no rotation, or its slots stand for several tokens each, "
                "which only the policy that made it so can read; attach that to the model."
            )
        self._expects = False
        if self._back is not None:
            key_states = turn(key_states, *self._back)
        if self._tokens is not None:
            new = torch.arange(self.seen, self.seen + t, device=self._tokens.device)
            heads = self._tokens.shape[:2]
            self._tokens = torch.cat([self._tokens, new.expand(*heads, -1)], -1)
        if self.size is not None:
            self.size = torch.cat([self.size, self.size.new_ones(*self.size.shape[:2], t)], -1)
        self.seen += t
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys = self._appended("keys", key_states)
        self.values = self._appended("values", value_states)
        return self.keys, self.values

    def accept(self, new: Int[Tensor, "b m"], t: int) -> None:
        """Of the last `t` tokens let those stay, one behind the other, as if no others had come.

        Args:
            new: Which of them, for each text.
            t: How many came in the last pass.
        """
        m, first, new = new.shape[1], self.slots - t, new.to(self.keys.device)
        if not bool((new == torch.arange(m, device=new.device)).all()):
            index = (new + first)[:, None].expand(-1, self.keys.shape[1], -1)
            for x in (self.keys, self.values):
                x[..., first : first + m, :] = take_slots(x, index)
            if self.positions is not None:
                before, last = self.positions[:, :-t], self.positions[:, -t:]
                self.positions = torch.cat([before, last.gather(1, new), last[:, m:]], 1)
        self.crop(m - t)

    def weigh(self, mass: Float[Tensor, "b h s"]) -> None:
        """Add the attention that each slot got from the queries of this pass."""
        if self.mass is not None:
            mass = mass + torch.nn.functional.pad(
                self.mass, (0, mass.shape[-1] - self.mass.shape[-1])
            )
        self.mass = mass

    def remember(
        self, queries: Float[Tensor, "b h t e"], real: Bool[Tensor, "b t"] | None, window: int
    ) -> None:
        """Keep the last `window` queries of each text that are no padding."""
        b, h, t, _ = queries.shape
        tokens = torch.arange(self.seen - t, self.seen, device=queries.device).expand(b, -1)
        if real is not None:
            tokens = tokens.where(real, -1)
        else:  # of a long prompt nothing else is copied
            queries, tokens = queries[:, :, -window:], tokens[:, -window:]
        if self.queries is not None and self.query_tokens is not None:
            queries = torch.cat([self.queries, queries], 2)
            tokens = torch.cat([self.query_tokens, tokens], 1)
        last = tokens.argsort(dim=1, stable=True)[:, -window:]
        self.query_tokens = tokens.gather(1, last)
        self.queries = take_slots(queries, last[:, None].expand(-1, h, -1)).detach()

    def keep(self, left: Slots) -> None:
        """Let all slots go but those, and free their memory."""
        index, tokens = left.keep, self.tokens.gather(-1, left.keep)
        if self.mass is not None and self.weighed:
            heads = self.mass.shape[1] // index.shape[1]
            self.mass = self.mass.gather(-1, index.repeat_interleave(heads, 1))
        else:
            self.mass = None
        keys = take_slots(self.keys, index) if left.keys is None else left.keys
        values = take_slots(self.values, index) if left.values is None else left.values
        self.keys, self.values = keys.contiguous(), values.contiguous()
        self._room.clear()
        if left.size is not None:
            self.size = left.size
        elif self.size is not None:
            self.size = self.size.gather(-1, index)
        self._tokens = tokens

    def valid(self, real: Bool[Tensor, "b n"] | None) -> Bool[Tensor, "b g s"] | None:
        """Which slots hold no padding, given which tokens are none."""
        if real is None:
            return None
        every = real[:, None].expand(-1, self.keys.shape[1], -1)
        return every if self._tokens is None else every.gather(-1, self._tokens)

    def bias(self) -> Float[Tensor, "b g s"] | None:
        """The log of how many tokens each slot stands for."""
        return None if self.size is None else self.size.log()

    def get_seq_length(self) -> int:
        """Tokens that have gone in."""
        return self.seen

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the mask of the full cache."""
        return self.seen + query_length, 0

    def crop(self, tokens_to_remove: int) -> None:
        """Take back the last tokens, if no head has let one of them go.

        Raises:
            UsageError: If one has.
        """
        n = abs(tokens_to_remove)
        if tokens_to_remove > 0 or n > self.slots:
            raise UsageError(f"crop: got {tokens_to_remove}; give minus the number of tokens.")
        if n == 0:
            return
        last = torch.arange(self.seen - n, self.seen, device=self.keys.device)
        if not torch.equal(self.tokens[..., -n:], last.expand(*self.tokens.shape[:2], -1)):
            raise UsageError(
                f"crop: some of the last {n} tokens are no longer in the cache; a policy that "
                "keeps a window of recent tokens leaves them."
            )
        self.seen -= n
        left = self.slots - n
        for name in ("keys", "values"):
            setattr(self, name, getattr(self, name)[..., :left, :])
        for name in ("_tokens", "size", "mass"):
            held = getattr(self, name)
            setattr(self, name, None if held is None else held[..., :left])
        if self.positions is not None:
            self.positions = self.positions[:, : self.seen]
        if self.query_tokens is not None:
            self.query_tokens = self.query_tokens.where(self.query_tokens < self.seen, -1)

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self._forget()

    def _each(self, change: Callable[[Tensor], Tensor]) -> None:
        if not self.is_initialized:
            return
        for name in _BATCHED:
            held = getattr(self, name)
            setattr(self, name, None if held is None else change(held))
        self._room.clear()
        self.memory, self.shared = (
            {name: change(x) if isinstance(x, Tensor) else x for name, x in noted.items()}
            for noted in (self.memory, self.shared)
        )


def _may_write(room: Tensor, held: Tensor) -> bool:
    """Whether `held` lies in `room`, and this is no tensor of an inference mode that is over."""
    ours = room.data_ptr() == held.data_ptr() and room.shape[:2] == held.shape[:2]
    return ours and (torch.is_inference_mode_enabled() or not room.is_inference())
