"""A cache policy on a causal language model: what it sees, when it acts, and how it is undone."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tokenry.errors import UsageError
from tokenry.method import CachePolicy, KVView
from tokenry.ops.attention import additive, attend, attend_and_weigh, column_mass
from tokenry.ops.budget import kept_count
from tokenry.ops.rope import angles, turn
from tokenry.ops.slots import take_slots
from tokenry.plugs.attention import Call
from tokenry.plugs.cache import TrackedLayer
from tokenry.plugs.cache_pass import Pass
from tokenry.plugs.cache_trace import traced
from tokenry.plugs.on_decoder import OnDecoder
from tokenry.plugs.past import cache_in, put_cache
from tokenry.plugs.reading import read


class Caching(OnDecoder[CachePolicy]):
    """A cache policy on a model. Made by `attach`; not safe for two threads at once."""

    _pass: Pass | None

    def __init__(self, model: nn.Module, method: CachePolicy) -> None:
        super().__init__(model, method)
        self._full = self._admission.full
        self._acts = method.keep < 1
        self._signature = inspect.signature(self._decoder.forward)
        self._drafts: Pass | None = None
        self._tree: Bool[Tensor, "b t t"] | None = None
        self._rests = False
        self._switch_on()

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

    @contextmanager
    def drafted(self, tree: Bool[Tensor, "b t t"]) -> Iterator[None]:
        """The next pass reads tokens that may not stay: nothing is noted or cut before `settle`.

        Args:
            tree: Which of the tokens each of them attends to, itself included.
        """
        self._tree = tree
        try:
            yield
        finally:
            self._tree = None

    @contextmanager
    def resting(self) -> Iterator[None]:
        """The model runs as without the policy."""
        self._rests = True
        try:
            yield
        finally:
            self._rests = False

    @torch.no_grad()
    def settle(self, stay: Int[Tensor, "b m"]) -> None:
        """Say which tokens of a pass over drafts stay, each under the one before it.

        What is noted, and cut if it is time, is what would be if no others had come.
        """
        now, self._drafts = self._drafts, None
        if now is None:
            return
        t = now.places.shape[1]
        stay = stay.to(now.places.device)
        now.places = now.places.gather(1, stay)
        for index, layer in now.layers.items():
            layer.accept(stay, t)
            if self._acts:
                now.real = None if now.real is None else now.real[:, : layer.seen]
                every = stay[:, None].expand(-1, now.queries[index].shape[1], -1)
                queries = take_slots(now.queries[index], every)
                self._note(now, layer, index, queries, self._scale(index))
        self._refuse_too_few(now.layers[self._full[0]].seen)
        self._end(now)

    def _start(
        self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Before a pass: find the cache, track its layers, and note padding and positions."""
        self._pass = self._drafts = None
        if self._rests:
            return args, kwargs
        inputs = dict(self._signature.bind_partial(*args, **kwargs).arguments)
        inputs |= inputs.pop("kwargs", {})
        given = inputs.get("input_ids")
        given = inputs.get("inputs_embeds") if given is None else given
        if given is None:
            return args, kwargs
        self._admission.refuse_checkpoints(self._decoder)
        b, t = given.shape[:2]
        cache, layers = self._admission.cache(cache_in(inputs), b, inputs.get("use_cache"))
        seen = layers[self._full[0]].seen
        places = inputs.get("position_ids")
        if places is None:
            places = torch.arange(seen, seen + t, device=given.device)[None]
        if places.ndim == 3:  # time, height and width, perhaps with the text's own before them
            places = places[0]
        real, made = self._admission.columns(inputs.get("attention_mask"), seen + t)
        if self._tree is None:
            self._refuse_too_few(seen + t)
        real = None if real is None else real.expand(b, -1)
        self._pass = Pass(layers, real, places.expand(b, -1), {}, self._tree, made=made)
        self._announce(self._pass)
        put_cache(inputs, cache)
        return (), inputs

    def _announce(self, now: Pass) -> None:
        """Tell each layer of its next tokens; one table of angles serves all."""
        bare = self._acts and self.method.unrotated
        if bare and self._inv_freq is not None:
            dtype = self._decoder.dtype
            now.back = angles(-now.places.unsqueeze(1), self._inv_freq, dtype)
        for layer in now.layers.values():
            turns = None if layer.inv_freq is None else now.back
            layer.expect(now.places if self.method.unrotated else None, turns)

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
        if now.tree is None and self._at_once(call):
            return self._weighed(layer, index, call, now)
        t = call.queries.shape[2]
        if layer.complete and (now.tree is None or t == 1):
            out = call.plain()
        else:
            out = self._cut_attention(layer, call, now.allowed(layer, t, call.mask))
        if now.tree is not None:
            now.queries[index] = call.queries
        elif self._acts:
            self._note(now, layer, index, call.queries, call.scale, mask=call.mask)
        return out

    def _cut_attention(
        self, layer: TrackedLayer, call: Call, allowed: Bool[Tensor, "b g t s"] | None
    ) -> Tensor:
        """One attention over the slots that are left, by what the model attends with."""
        if call.base != "eager":
            out = attend(call.queries, call.keys, call.values, call.scale, allowed, layer.bias())
            return out.transpose(1, 2)
        dtype, heads = call.queries.dtype, call.queries.shape[1] // call.keys.shape[1]
        mask = None if allowed is None else additive(allowed, dtype)
        bias = layer.bias()
        if bias is not None:
            bias = bias.unsqueeze(2).to(dtype)
            mask = bias if mask is None else mask + bias
        out, _ = call.under(None if mask is None else mask.repeat_interleave(heads, 1))
        return out

    def _at_once(self, call: Call) -> bool:
        """Whether one pass of products gives both the output and what each slot got.

        On another device than a processor the fused kernel costs next to nothing beside it.
        """
        rows = (call.queries, call.keys, call.values)
        learns = call.module.training or any(x.requires_grad for x in rows)
        free = call.base == "sdpa" and call.queries.device.type == "cpu" and not learns
        return free and self._acts and self.method.weighs

    def _weighed(self, layer: TrackedLayer, index: int, call: Call, now: Pass) -> Tensor:
        """One attention whose weights are summed as they come by."""
        t = call.queries.shape[2]
        real = now.last(t)
        causal = layer.complete and real is None and not now.made
        allowed = None if causal else now.allowed(layer, t, call.mask)
        out, mass = attend_and_weigh(
            call.queries, call.keys, call.values, call.scale, allowed, real, layer.bias()
        )
        self._note(now, layer, index, call.queries, call.scale, mass)
        return out.transpose(1, 2)

    def _read(self, layer: TrackedLayer, index: int, call: Call, now: Pass) -> Tensor:
        """One attention over what a selecting policy names."""
        queries = call.queries
        if now.back is not None:
            queries = turn(queries, *now.back)
        view = self._view(now, layer, index, call.scale, layer.slots)
        out, now.read[index] = read(self.method, view, queries, now.turns)
        return out

    @torch.no_grad()
    def _note(
        self,
        now: Pass,
        layer: TrackedLayer,
        index: int,
        queries: Float[Tensor, "b h t e"],
        scale: float,
        mass: Float[Tensor, "b h s"] | None = None,
        mask: Tensor | None = None,
    ) -> None:
        """Keep what the policy will want to see of the last tokens, each behind the one before."""
        t = queries.shape[2]
        real = now.last(t)
        if self.method.window:
            layer.remember(queries, real, self.method.window)
        if self.method.weighs and mass is None:
            causal = now.real is None and not now.made
            allowed = None if causal else now.reach(layer, t, mask)
            bias, weighing = layer.bias(), self._row.weighing(self._attentions[index])
            mass = column_mass(queries, layer.keys, scale, allowed, real, bias, weighing)
        if mass is not None:
            layer.weigh(mass)

    def _view(self, now: Pass, layer: TrackedLayer, index: int, scale: float, count: int) -> KVView:
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
            weighing=self._row.weighing(self._attentions[index]),
        )

    def _finish(self, decoder: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """After a pass: cut the cache if it is time, and keep the record."""
        now, self._pass = self._pass, None
        if now is not None and now.tree is not None:
            self._drafts = now
        elif now is not None:
            self._end(now)

    def _end(self, now: Pass) -> None:
        layers = [now.layers[index] for index in self._full]
        if self._acts and not self.method.selects:
            with torch.no_grad():
                self._cut(layers, now)
        read = [
            now.read.get(index, layer.tokens)
            for index, layer in zip(self._full, layers, strict=True)
        ]
        self.trace = traced(layers, read, self.method.selects)

    def _cut(self, layers: list[TrackedLayer], now: Pass) -> None:
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
