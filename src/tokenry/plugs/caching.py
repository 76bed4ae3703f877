"""A cache policy on a causal language model: what it sees, when it acts, and how it is undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from tokenry.errors import AttachError, UnsupportedModelError, UsageError
from tokenry.method import CachePolicy, KVView
from tokenry.ops.attention import attend, column_mass
from tokenry.ops.budget import kept_count
from tokenry.ops.rope import rotate
from tokenry.ops.slots import reachable
from tokenry.plugs.attachment import MARK, Attachment
from tokenry.plugs.attention import Call, install
from tokenry.plugs.cache import TrackedLayer
from tokenry.plugs.decoders import FIXED_ROTATIONS, find_decoder
from tokenry.plugs.reading import read


@dataclass(frozen=True, slots=True)
class CacheTrace:
    """What the cache holds after a pass, and what the last query read of it.

    Attributes:
        seen: How many tokens a full cache would hold.
        resident: Slots held by each layer with full attention.
        read: Slots that the last query read in each.
        tokens: For each layer which tokens are held, or were read by a selecting policy.
        bytes_resident: Bytes of keys and values held in these layers.
        bytes_read: Bytes of them that the last query read.
        bytes_full: Bytes that a full cache would take.
        selects: Whether the policy reads selectively.
    """

    seen: int
    resident: tuple[int, ...]
    read: tuple[int, ...]
    tokens: tuple[Int[Tensor, "b g k"], ...]
    bytes_resident: int
    bytes_read: int
    bytes_full: int
    selects: bool

    @property
    def share(self) -> float:
        """Mean share of the full cache's slots that is held, or read by a selecting policy."""
        counts = self.read if self.selects else self.resident
        return sum(counts) / (len(counts) * self.seen)


@dataclass(slots=True)
class _Pass:
    """One forward pass under way."""

    cache: Any
    real: Bool[Tensor, "b n"] | None
    places: Int[Tensor, "b t"]
    read: dict[int, Int[Tensor, "b g k"]]


class Caching(Attachment[CachePolicy]):
    """A cache policy on a model. Made by `attach`; not safe for two threads at once."""

    trace: CacheTrace | None

    def __init__(self, model: nn.Module, method: CachePolicy) -> None:
        self.method = method
        self.trace = None
        self._decoder: Any
        self._decoder, row = find_decoder(model)
        self._config: Any = self._decoder.config
        self._attentions = row.attentions(self._decoder)
        self._inv_freq = row.frequencies(self._decoder)
        self._pass: _Pass | None = None
        self._owner = type(method).__name__
        other = self._decoder.__dict__.get(MARK)
        if other is not None:
            raise AttachError(
                f"attach: {type(model).__name__} already carries {other.method.describe()}; "
                "leave its with-block or call its detach() first."
            )
        self._full = self._layers_with_full_attention()
        if method.unrotated:
            self._refuse_rotations()
        self._acts = method.keep < 1
        self._base = self._config._attn_implementation
        name = install(self._base, self._owner)
        self._config._attn_implementation = name
        self._decoder.__dict__[MARK] = self
        for attention in self._attentions:
            attention.__dict__[MARK] = self
        self._handles = [
            self._decoder.register_forward_pre_hook(self._start, with_kwargs=True),
            self._decoder.register_forward_hook(self._finish),
        ]

    def detach(self) -> None:
        """Give the model back exactly as it was; a second call does nothing.

        A cache that slots have gone from still serves one token at a time afterwards.
        """
        for handle in self._handles:
            handle.remove()
        self._pass = None
        if self._decoder.__dict__.get(MARK) is not self:
            return
        for module in (self._decoder, *self._attentions):
            del module.__dict__[MARK]
        self._config._attn_implementation = self._base

    def _layers_with_full_attention(self) -> list[int]:
        layers = DynamicCache(config=self._config).layers
        found = [i for i, layer in enumerate(layers) if type(layer) is DynamicLayer]
        if not found:
            raise UnsupportedModelError(
                f"{self._owner}: no layer of this {type(self._decoder).__name__} has full "
                "attention; the caches of sliding windows and linear layers are bounded already."
            )
        return found

    def _refuse_rotations(self) -> None:
        if self._inv_freq is None:
            raise UnsupportedModelError(
                f"{self._owner}: {type(self._decoder).__name__} does not rotate its keys, so "
                "that they cannot be placed anew; take a policy that evicts."
            )
        parameters = getattr(self._config, "rope_parameters", None) or {}
        kinds = {p["rope_type"] for p in (parameters, *parameters.values()) if _has_kind(p)}
        if kinds - FIXED_ROTATIONS:
            raise UnsupportedModelError(
                f"{self._owner}: the rotary embedding is of the kind {sorted(kinds)}, whose "
                "frequencies change with the length of the text; allowed are "
                f"{', '.join(sorted(FIXED_ROTATIONS))}."
            )

    def _start(
        self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Before a pass: find the cache, track its layers, and note padding and positions."""
        given = args[0] if args else kwargs.get("input_ids")
        given = kwargs["inputs_embeds"] if given is None else given
        t = given.shape[1]
        cache: Any = kwargs.get("past_key_values")
        if cache is None:
            cache = self._new_cache(kwargs)
            kwargs = {**kwargs, "past_key_values": cache}
        self._track(cache, given.shape[0])
        seen = cache.layers[self._full[0]].seen
        places = kwargs.get("position_ids")
        if places is None:
            places = torch.arange(seen, seen + t, device=given.device)[None]
        real = self._real(kwargs.get("attention_mask"), seen + t)
        self._refuse_too_few(seen + t)
        self._pass = _Pass(cache, real, places.expand(given.shape[0], -1), {})
        if self.method.unrotated:
            for index in self._full:
                cache.layers[index].place(self._pass.places)
        return args, kwargs

    def _new_cache(self, kwargs: dict[str, Any]) -> Cache:
        wanted = kwargs.get("use_cache")
        if not (self._config.use_cache if wanted is None else wanted):
            raise UsageError(
                f"{self._owner}: the model runs without a cache (use_cache=False), which is what "
                "a cache policy works on; leave use_cache out."
            )
        return DynamicCache(config=self._config)

    def _track(self, cache: Any, b: int) -> None:
        """Put a tracked layer in the place of each plain one."""
        layers = getattr(cache, "layers", None)
        if layers is None or not isinstance(cache, Cache):
            raise UsageError(f"{self._owner}: a {type(cache).__name__} is not a cache it can use.")
        if not layers:
            layers.extend(DynamicCache(config=self._config).layers)
        for index in self._full:
            layer = layers[index] if index < len(layers) else None
            if type(layer) is DynamicLayer:
                layers[index] = layer = self._adopted(layer)
            if not isinstance(layer, TrackedLayer):
                raise UsageError(
                    f"{self._owner}: layer {index} of the cache is a {type(layer).__name__}; only "
                    "a dynamic cache of this model can be cut (not static, quantized or paged)."
                )
            self._refuse_foreign(layer, index, b)

    def _adopted(self, layer: DynamicLayer) -> TrackedLayer:
        bare = self._acts and self.method.unrotated
        held = layer.keys is not None and layer.keys.numel() > 0
        if held and self._acts and (bare or self.method.weighs):
            raise UsageError(
                f"{self._owner}: the cache was filled before the policy was attached, and what the "
                "policy must see of that is gone; fill it inside the with-block."
            )
        return TrackedLayer.adopt(layer, self._inv_freq if bare else None)

    def _refuse_foreign(self, layer: TrackedLayer, index: int, b: int) -> None:
        if not layer.slots:
            return
        config = self._config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        )
        if layer.keys.shape[:2] != (b, heads) or layer.keys.shape[-1] != width:
            raise UsageError(
                f"{self._owner}: layer {index} of the cache holds keys of shape "
                f"{tuple(layer.keys.shape)}, but this model and input need ({b}, {heads}, slots, "
                f"{width}); the cache belongs to another model or batch."
            )

    def _real(self, mask: Tensor | None, n: int) -> Bool[Tensor, "b n"] | None:
        if mask is None:
            return None
        if mask.ndim != 2 or mask.shape[1] != n:
            raise UsageError(
                f"{self._owner}: attention_mask has the shape {tuple(mask.shape)}; give one of two "
                f"dimensions that covers the cache and the input, {n} tokens together."
            )
        real = mask.bool()
        return None if bool(real.all()) else real

    def _refuse_too_few(self, n: int) -> None:
        count = kept_count(n, self.method.keep)
        if self._acts and self._over(n, count) and count < self.method.least:
            raise UsageError(
                f"{self._owner}: keep={self.method.keep} of {n} tokens is {count} slots, but the "
                f"policy needs {self.method.least} (its first and last ones included); keep more, "
                "or make its window smaller."
            )

    def _over(self, held: float, target: int) -> bool:
        """Whether a cut is due: it is put off until one per cent has gathered."""
        return held > target + max(1, target // 100)

    def attend(self, call: Call) -> Tensor:
        """One attention: as ever while the cache is complete, else over the slots that are left."""
        now, index = self._pass, int(call.module.layer_idx)
        if now is None or index not in self._full:
            return call.plain()
        layer = now.cache.layers[index]
        if self._acts and self.method.selects:
            return self._read(layer, index, call, now)
        t = call.queries.shape[2]
        allowed = None
        if not layer.complete:
            last = torch.arange(layer.seen - t, layer.seen, device=call.queries.device)
            valid = layer.valid(now.real)
            if t > 1 or valid is not None:
                allowed = reachable(layer.tokens, last, valid)
            bias = layer.bias()
            out = attend(call.queries, call.keys, call.values, call.scale, allowed, bias)
            out = out.transpose(1, 2)
        else:
            out = call.plain()
        if self._acts:
            self._note(now, layer, call, allowed)
        return out

    def _read(self, layer: TrackedLayer, index: int, call: Call, now: _Pass) -> Tensor:
        """One attention over what a selecting policy names."""
        queries = call.queries
        if layer.inv_freq is not None:
            queries = rotate(queries, -now.places.unsqueeze(1), layer.inv_freq)
        view = self._view(now, layer, index, call.scale, layer.slots)
        out, now.read[index] = read(self.method, view, queries)
        return out

    @torch.no_grad()
    def _note(self, now: _Pass, layer: TrackedLayer, call: Call, allowed: Tensor | None) -> None:
        """Keep what the policy will want to see."""
        window, t = self.method.window, call.queries.shape[2]
        if window:
            held = [] if layer.queries is None else [layer.queries]
            layer.queries = torch.cat([*held, call.queries], 2)[:, :, -window:].detach()
        if self.method.weighs:
            real = None if now.real is None else now.real[:, -t:]
            if layer.complete and now.real is not None:
                last = torch.arange(layer.seen - t, layer.seen, device=call.queries.device)
                allowed = reachable(layer.tokens, last, layer.valid(now.real))
            bias = layer.bias()
            mass = column_mass(call.queries, call.keys, call.scale, allowed, real, bias)
            layer.mass = mass if layer.mass is None else layer.mass + mass

    def _view(
        self, now: _Pass, layer: TrackedLayer, index: int, scale: float, count: int
    ) -> KVView:
        asked = {"queries": layer.queries, "mass": layer.mass, "positions": layer.positions}
        asked["inv_freq"] = self._inv_freq
        return KVView(
            layer=self._full.index(index),
            depth=len(self._full),
            count=count,
            seen=layer.seen,
            keys=layer.keys,
            values=layer.values,
            tokens=layer.tokens,
            size=layer.size,
            valid=layer.valid(now.real),
            places=now.places,
            scale=scale,
            memory=layer.memory,
            asked={name: held for name, held in asked.items() if held is not None},
        )

    def _finish(self, decoder: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """After a pass: cut the cache if it is time, and keep the record."""
        now = self._pass
        if now is None:
            return
        layers = [now.cache.layers[index] for index in self._full]
        if self._acts and not self.method.selects:
            with torch.no_grad():
                self._cut(layers, now)
        self.trace = self._record(layers, now)
        self._pass = None

    def _cut(self, layers: list[TrackedLayer], now: _Pass) -> None:
        seen, depth = layers[0].seen, len(layers)
        target = kept_count(seen, self.method.keep)
        if not self._over(sum(layer.slots for layer in layers) / depth, target):
            return
        views = [
            self._view(now, layer, index, self._scale(index), target)
            for index, layer in zip(self._full, layers, strict=True)
        ]
        counts = [kept_count(seen, share) for share in self.method.shares(views)]
        for layer, index, count in zip(layers, self._full, counts, strict=True):
            if count < layer.slots:
                view = self._view(now, layer, index, self._scale(index), count)
                layer.keep(self.method.evict(view))

    def _scale(self, index: int) -> float:
        module: Any = self._attentions[index]
        return float(getattr(module, "scaling", None) or module.head_dim**-0.5)

    def _record(self, layers: list[TrackedLayer], now: _Pass) -> CacheTrace:
        resident = tuple(layer.slots for layer in layers)
        tokens = [
            now.read.get(index, layer.tokens)
            for index, layer in zip(self._full, layers, strict=True)
        ]
        read = tuple(held.shape[-1] for held in tokens)
        slot = [_bytes_per_slot(layer) for layer in layers]
        return CacheTrace(
            seen=layers[0].seen,
            resident=resident,
            read=read,
            tokens=tuple(tokens),
            bytes_resident=sum(layer.nbytes for layer in layers),
            bytes_read=sum(n * each for n, each in zip(read, slot, strict=True)),
            bytes_full=sum(layers[0].seen * each for each in slot),
            selects=self.method.selects,
        )


def _has_kind(parameters: Any) -> bool:
    return isinstance(parameters, dict) and "rope_type" in parameters


def _bytes_per_slot(layer: TrackedLayer) -> int:
    return sum(x[:, :, :1].numel() * x.element_size() for x in (layer.keys, layer.values))
