"""Which model, cache and mask a cache policy can work on; what it cannot is refused in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.method import CachePolicy
from tokenry.plugs.cache import TrackedLayer
from tokenry.plugs.decoders import FIXED_ROTATIONS, Decoder

_FULL = "full_attention"


@dataclass(frozen=True, slots=True)
class Admission:
    """What a policy on a decoder lets in.

    Attributes:
        method: The policy.
        config: The decoder's configuration.
        inv_freq: Its rotary frequencies; None without rotation.
        row: How its architecture names its parts.
        full: Indices of its layers with full attention.
    """

    method: CachePolicy
    config: Any
    inv_freq: Tensor | None
    row: Decoder
    full: tuple[int, ...]

    @classmethod
    def of(cls, method: CachePolicy, decoder: nn.Module, row: Decoder) -> Admission:
        """Look at a decoder.

        Raises:
            UnsupportedModelError: If the policy cannot work on it.
        """
        config: Any = decoder.config
        layers = DynamicCache(config=config).layers
        full = tuple(i for i, layer in enumerate(layers) if type(layer) is DynamicLayer)
        admission = cls(method, config, row.frequencies(decoder), row, full)
        if not full:
            raise UnsupportedModelError(
                f"{admission.owner}: no layer of this {type(decoder).__name__} has full "
                "attention; the caches of sliding windows and linear layers are bounded already."
            )
        if getattr(config, "reorder_and_upcast_attn", False):
            raise UnsupportedModelError(
                f"{admission.owner}: this {type(decoder).__name__} computes its attention by "
                "itself (reorder_and_upcast_attn=True); load it with that set to False."
            )
        if method.unrotated:
            admission.refuse_rotations(type(decoder).__name__)
        if method.selects:
            admission.refuse_weighing(decoder)
        return admission

    @property
    def owner(self) -> str:
        """Who refuses, for messages."""
        return type(self.method).__name__

    @property
    def bare(self) -> bool:
        """Whether keys are held without their rotation."""
        return self.method.keep < 1 and self.method.unrotated

    def refuse_rotations(self, decoder: str) -> None:
        """Refuse a decoder whose keys cannot be placed anew.

        Raises:
            UnsupportedModelError: If it does not rotate them, or not always alike.
        """
        if self.inv_freq is None:
            raise UnsupportedModelError(
                f"{self.owner}: {decoder} {self.row.still}, so that they cannot be placed "
                "anew; take a policy that evicts."
            )
        parameters = getattr(self.config, "rope_parameters", None) or {}
        kinds = {p["rope_type"] for p in (parameters, *parameters.values()) if _has_kind(p)}
        if kinds - FIXED_ROTATIONS:
            raise UnsupportedModelError(
                f"{self.owner}: the rotary embedding is of the kind {sorted(kinds)}, whose "
                "frequencies change with the length of the text; allowed are "
                f"{', '.join(sorted(FIXED_ROTATIONS))}."
            )

    def refuse_weighing(self, decoder: nn.Module) -> None:
        """Refuse a decoder whose softmax is not the plain one that a policy would take.

        Raises:
            UnsupportedModelError: If it caps scores or has sinks.
        """
        attentions = self.row.attentions(decoder).values()
        if any(self.row.weighing(attention) is not None for attention in attentions):
            raise UnsupportedModelError(
                f"{self.owner}: {type(decoder).__name__} caps its scores or has learned sinks, "
                "which attention over selected slots leaves out; take a policy that evicts."
            )

    def refuse_checkpoints(self, decoder: nn.Module) -> None:
        """Refuse a decoder that is trained without a cache.

        Raises:
            UsageError: If it is one.
        """
        layers = decoder.modules() if decoder.training else ()
        if any(getattr(layer, "gradient_checkpointing", False) for layer in layers):
            raise UsageError(
                f"{self.owner}: gradient checkpointing runs the layers without a cache; call "
                "gradient_checkpointing_disable() or eval() on the model first."
            )

    def cache(
        self, given: Any, b: int, use_cache: bool | None
    ) -> tuple[Cache, dict[int, TrackedLayer]]:
        """The cache of a pass, and its layers with full attention, each tracked from now on.

        Args:
            given: What the model was called with; None for a new cache.
            b: Texts in the batch.
            use_cache: What the model was told; None for its default.

        Raises:
            UsageError: If it is none that slots can go from, or not of this model and batch.
        """
        if given is None:
            if not (self.config.use_cache if use_cache is None else use_cache):
                raise UsageError(
                    f"{self.owner}: the model runs without a cache that it can cut "
                    "(use_cache=False, or batches of pages); leave use_cache out, and generate "
                    "with model.generate."
                )
            given = DynamicCache(config=self.config)
        if not isinstance(given, Cache) or getattr(given, "offloading", False):
            raise UsageError(
                f"{self.owner}: the cache is {type(given).__name__}, offloaded or of another kind; "
                "give a DynamicCache that is not offloaded, or none."
            )
        self.fill(given)
        tracked = {index: self._tracked(given.layers[index], index, b) for index in self.full}
        for index, layer in tracked.items():
            given.layers[index] = layer
        return given, tracked

    def fill(self, cache: Cache) -> None:
        """Give an empty cache its layers.

        Raises:
            UsageError: If it has others than the model.
        """
        expected = DynamicCache(config=self.config).layers
        if not cache.layers:
            cache.layers.extend(expected)
        if len(cache.layers) != len(expected):
            raise UsageError(
                f"{self.owner}: the cache has {len(cache.layers)} layers, but the model "
                f"{len(expected)}; the cache belongs to another model."
            )

    def _tracked(self, layer: Any, index: int, b: int) -> TrackedLayer:
        if type(layer) is DynamicLayer:
            layer = TrackedLayer.adopt(layer)
        if not isinstance(layer, TrackedLayer):
            raise UsageError(
                f"{self.owner}: layer {index} of the cache is a {type(layer).__name__}; only "
                "a dynamic cache of this model can be cut (not static, quantized or paged)."
            )
        if layer.slots:
            self.refuse_foreign(layer.keys, index, b)
            self._refuse_unseen(layer)
        else:
            layer.inv_freq = self.inv_freq if self.bare else None
        return layer

    def _refuse_unseen(self, layer: TrackedLayer) -> None:
        """A policy must have seen what it judges by, and a selecting one finds all slots."""
        if self.method.keep < 1 and self.method.selects and not layer.complete:
            raise UsageError(
                f"{self.owner}: slots have gone from the cache already, but the policy selects "
                "from a complete one; start with a new cache."
            )
        unseen = self.method.keep < 1 and self.method.weighs and not layer.weighed
        if unseen or (layer.inv_freq is None) == self.bare:
            raise UsageError(
                f"{self.owner}: the cache was filled without this policy, and what it must see "
                "of that is gone; fill it inside the with-block."
            )

    def refuse_foreign(self, keys: Float[Tensor, "b g s e"], index: int, b: int) -> None:
        """Refuse keys that this model and batch cannot have made.

        Args:
            keys: What a layer of the cache holds.
            index: Which layer.
            b: Texts in the batch.

        Raises:
            UsageError: If their shape says so.
        """
        config = self.config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        )
        if keys.shape[:2] != (b, heads) or keys.shape[-1] != width:
            raise UsageError(
                f"{self.owner}: layer {index} of the cache holds keys of shape "
                f"{tuple(keys.shape)}, but this model and input need ({b}, {heads}, slots, "
                f"{width}); the cache belongs to another model or batch."
            )

    def columns(self, mask: Any, n: int) -> tuple[Bool[Tensor, "#b n"] | None, bool]:
        """Which of `n` tokens are no padding, and whether tokens see later ones.

        A mask may come ready made, as from models in which the tokens of a picture see each
        other; what its last token sees is then all that is no padding.

        Raises:
            UsageError: If it is neither that nor one that says it token by token.
        """
        if isinstance(mask, dict) and _FULL in mask:
            mask = mask[_FULL]
        if not isinstance(mask, Tensor) or mask.ndim != 4 or mask.shape[1::2] != (1, n):
            return self.padding(mask, n), False
        seen = (mask if mask.dtype == torch.bool else mask == 0)[:, 0]
        real, t = seen[:, -1], seen.shape[1]
        causal = torch.ones_like(seen[:1]).tril(n - t) & real.unsqueeze(1)
        made = bool(((seen != causal) & real[:, -t:, None]).any())
        if made and self.method.selects and self.method.keep < 1:
            raise UsageError(
                f"{self.owner}: the mask lets tokens see later ones, as those of a picture do, "
                "which attention over selected slots cannot; take a policy that evicts."
            )
        return (None if bool(real.all()) else real), made

    def padding(self, mask: Any, n: int) -> Bool[Tensor, "b n"] | None:
        """Which of `n` tokens are none; None when all are.

        Raises:
            UsageError: If the mask does not say it token by token.
        """
        if mask is None:
            return None
        shape = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        if not isinstance(mask, Tensor) or mask.ndim != 2 or mask.shape[1] != n:
            raise UsageError(
                f"{self.owner}: attention_mask has the shape {shape}; give one of two "
                f"dimensions that covers the cache and the input, {n} tokens together."
            )
        real = mask.bool()
        return None if bool(real.all()) else real


def _has_kind(parameters: Any) -> bool:
    return isinstance(parameters, dict) and "rope_type" in parameters
