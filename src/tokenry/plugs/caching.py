"""A cache policy on a causal language model: what it sees, when it acts, and how it is undone."""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from tokenry.errors import AttachError, UsageError
from tokenry.method import CachePolicy, KVView
from tokenry.ops.attention import attend, column_mass
from tokenry.ops.budget import kept_count
from tokenry.ops.rope import angles, turn
from tokenry.ops.slots import reachable
from tokenry.plugs.admission import Admission
from tokenry.plugs.attachment import MARK, Attachment
from tokenry.plugs.attention import Call, install
from tokenry.plugs.cache import TrackedLayer
from tokenry.plugs.decoders import find_decoder
from tokenry.plugs.past import cache_in, put_cache
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
    tokens: tuple[Int[Tensor, "b g _"], ...]
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

    layers: dict[int, TrackedLayer]
    real: Bool[Tensor, "b n"] | None
    places: Int[Tensor, "b t"]
    read: dict[int, Int[Tensor, "b g k"]]
    back: tuple[Tensor, Tensor] | None = None
    turns: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)


class Caching(Attachment[CachePolicy]):
    """A cache policy on a model. Made by `attach`; not safe for two threads at once."""

    trace: CacheTrace | None

    def __init__(self, model: nn.Module, method: CachePolicy) -> None:
        self.method = method
        self.trace = None
        self._owner = type(method).__name__
        self._decoder: Any
        self._decoder, row = find_decoder(model)
        other = self._decoder.__dict__.get(MARK)
        if other is not None:
            raise AttachError(
                f"attach: {type(model).__name__} already carries {other.method.describe()}; "
                "leave its with-block or call its detach() first."
            )
        self._attentions = row.attentions(self._decoder)
        self._inv_freq = row.frequencies(self._decoder)
        self._admission = Admission.of(method, self._decoder, self._inv_freq)
        self._full = self._admission.full
        if method.keep < 1:
            method.check(len(self._full))
        self._acts = method.keep < 1
        self._signature = inspect.signature(self._decoder.forward)
        self._pass: _Pass | None = None
        self._configs = self._put_on(install(self._decoder.config._attn_implementation, method))
        self._handles = [
            self._decoder.register_forward_pre_hook(self._start, with_kwargs=True),
            self._decoder.register_forward_hook(self._finish),
        ]

    def ahead(self, cache: Any, most: int) -> int:
        """How many tokens can come in one pass with the result of one by one, up to `most`.

        A policy that evicts cuts after the last of them, or later; for one that selects each
        token is a pass of its own.

        Args:
            cache: One that the policy has seen; the tokens would join it.
            most: How many tokens there are.
        """
        if not self._acts:
            return most
        if self.method.selects:
            return min(1, most)
        layers = [cache.layers[index] for index in self._full]
        seen, held = layers[0].seen, sum(layer.slots for layer in layers) / len(layers)
        for n in range(1, most):
            if self._over(held + n, kept_count(seen + n, self.method.keep)):
                return n
        return most

    def _put_on(self, implementation: str) -> list[Any]:
        """Point the decoder and its attentions here; what they had for a config."""
        # A copy: other models may share the config, and each must keep its own implementation.
        config = copy.copy(self._decoder.config)
        config._attn_implementation = implementation
        modules = (self._decoder, *self._attentions)
        held = [module.config for module in modules]
        for module in modules:
            module.__dict__[MARK], module.config = self, config
        return held

    def detach(self) -> None:
        """Give the model back exactly as it was; a second call does nothing.

        A cache that slots have gone from still serves one token at a time afterwards, with sdpa
        and without padding.
        """
        for handle in self._handles:
            handle.remove()
        self._pass = None
        if self._decoder.__dict__.get(MARK) is not self:
            return
        for module, config in zip((self._decoder, *self._attentions), self._configs, strict=True):
            del module.__dict__[MARK]
            module.config = config

    def _start(
        self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Before a pass: find the cache, track its layers, and note padding and positions."""
        self._pass = None
        inputs = dict(self._signature.bind_partial(*args, **kwargs).arguments)
        inputs |= inputs.pop("kwargs", {})
        given = inputs.get("input_ids")
        given = inputs.get("inputs_embeds") if given is None else given
        if given is None:
            return args, kwargs
        self._refuse_checkpoints()
        b, t = given.shape[:2]
        cache, layers = self._admission.cache(cache_in(inputs), b, inputs.get("use_cache"))
        seen = layers[self._full[0]].seen
        places = inputs.get("position_ids")
        if places is None:
            places = torch.arange(seen, seen + t, device=given.device)[None]
        real = self._admission.padding(inputs.get("attention_mask"), seen + t)
        self._refuse_too_few(seen + t)
        self._pass = _Pass(layers, real, places.expand(b, -1), {})
        self._announce(self._pass)
        put_cache(inputs, cache)
        return (), inputs

    def _announce(self, now: _Pass) -> None:
        """Tell each layer of its next tokens; one table of angles serves all."""
        bare = self._acts and self.method.unrotated
        if bare and self._inv_freq is not None:
            dtype = self._decoder.dtype
            now.back = angles(-now.places.unsqueeze(1), self._inv_freq, dtype)
        for layer in now.layers.values():
            turns = None if layer.inv_freq is None else now.back
            layer.expect(now.places if self.method.unrotated else None, turns)

    def _refuse_checkpoints(self) -> None:
        layers = self._decoder.modules() if self._decoder.training else ()
        if any(getattr(layer, "gradient_checkpointing", False) for layer in layers):
            raise UsageError(
                f"{self._owner}: gradient checkpointing runs the layers without a cache; call "
                "gradient_checkpointing_disable() or eval() on the model first."
            )

    def _refuse_too_few(self, n: int) -> None:
        count = kept_count(n, self.method.keep)
        if self._acts and self._over(n, count) and count < self.method.least:
            raise UsageError(
                f"{self._owner}: keep={self.method.keep} of {n} tokens is {count} slots, but the "
                f"policy needs {self.method.least} (its first and last ones included); keep more, "
                "feed a longer text at once, or make its window smaller."
            )

    def _over(self, held: int | float, target: int) -> bool:
        """Whether a cut is due: it is put off until one per cent has gathered."""
        return held > target + max(1, target // 100)

    def attend(self, call: Call) -> Tensor:
        """One attention: as ever while the cache is complete, else over the slots that are left."""
        now, index = self._pass, int(call.module.layer_idx)
        if now is None or index not in self._full:
            return call.plain()
        layer = now.layers[index]
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
        if now.back is not None:
            queries = turn(queries, *now.back)
        view = self._view(now, layer, index, call.scale, layer.slots)
        out, now.read[index] = read(self.method, view, queries, now.turns)
        return out

    @torch.no_grad()
    def _note(self, now: _Pass, layer: TrackedLayer, call: Call, allowed: Tensor | None) -> None:
        """Keep what the policy will want to see."""
        t = call.queries.shape[2]
        real = None if now.real is None else now.real[:, -t:]
        if self.method.window:
            layer.remember(call.queries, real, self.method.window)
        if self.method.weighs:
            if layer.complete and now.real is not None:
                last = torch.arange(layer.seen - t, layer.seen, device=call.queries.device)
                allowed = reachable(layer.tokens, last, layer.valid(now.real))
            bias = layer.bias()
            layer.weigh(column_mass(call.queries, call.keys, call.scale, allowed, real, bias))

    def _view(
        self, now: _Pass, layer: TrackedLayer, index: int, scale: float, count: int
    ) -> KVView:
        asked = {
            "queries": layer.queries,
            "query_tokens": layer.query_tokens,
            "mass": layer.mass if layer.weighed else None,
            "positions": layer.positions,
            "inv_freq": self._inv_freq,
        }
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
            shared=now.layers[self._full[0]].shared,
            asked={name: held for name, held in asked.items() if held is not None},
        )

    def _finish(self, decoder: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """After a pass: cut the cache if it is time, and keep the record."""
        now = self._pass
        if now is None:
            return
        layers = [now.layers[index] for index in self._full]
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


def _bytes_per_slot(layer: TrackedLayer) -> int:
    return sum(x[:, :, :1].numel() * x.element_size() for x in (layer.keys, layer.values))
