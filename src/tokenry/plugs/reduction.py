"""A token reducer on a vision encoder: blocks and hooks, put on and taken off without a trace."""

from __future__ import annotations

import sys
from functools import cache, partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from tokenry.errors import AttachError, UsageError
from tokenry.method import Heads, LayerView, TokenReducer
from tokenry.ops.budget import Budget
from tokenry.ops.plan import Plan
from tokenry.plugs.attachment import MARK, Attachment, refuse_second
from tokenry.plugs.blocks import MEAN_POOLED, config, find_tower, interpolating, refuse_prompts
from tokenry.plugs.trace import TokenState, Trace, grid_origin


class Reduction(Attachment[TokenReducer]):
    """A token reducer on a model. Made by `attach`; not safe for two threads at once.

    Attributes:
        method: The method.
        trace: What became of the tokens in the last pass; None before the first.
    """

    def __init__(self, model: nn.Module, method: TokenReducer) -> None:
        self.method = method
        self.trace: Trace | None = None
        refuse_prompts(type(method).__name__, model)
        self._tower, self._row = find_tower(model)
        self._mean_pooled = type(model).__name__ in MEAN_POOLED
        self._protected = self._row.protected(self._tower)
        self._depth = len(self._row.blocks(self._tower))
        self._state: TokenState | None = None
        self._observes = type(method).observe is not TokenReducer.observe
        self._scoring = False
        self._planned: dict[int, tuple[int, ...]] = {}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        refuse_second(model, self._tower)
        rows, columns = _patches(_pair(config(self._tower).image_size), self._tower)
        self._counts(rows * columns + self._protected)  # an unreachable keep fails now, not later
        self._put_on()

    def detach(self) -> None:
        """Give the model back exactly as it was; a second call does nothing."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._state = None
        if self._tower.__dict__.get(MARK) is not self:  # taken off before, perhaps replaced since
            return
        for module in (self._tower, *self._row.blocks(self._tower)):
            if module.__dict__.pop(MARK, None) is not None and isinstance(module, _Reducing):
                module.__class__ = type(module).__bases__[1]

    def _put_on(self) -> None:
        keep = self._handles.append
        self._tower.__dict__[MARK] = self
        keep(self._tower.register_forward_pre_hook(self._start, with_kwargs=True))
        keep(self._tower.register_forward_hook(self._finish))
        for index, block in enumerate(self._row.blocks(self._tower)):
            if index in self._listened():
                attention = block.get_submodule(self._row.attention)
                keep(attention.get_submodule("q_proj").register_forward_hook(self._see_queries))
                keep(attention.get_submodule("k_proj").register_forward_hook(self._see_keys))
            block.__dict__[MARK] = (self, index)
            block.__class__ = _reducing(cast(Any, type(block)))
        if self._row.pool and getattr(self._tower, "use_head", False):
            pool = self._tower.get_submodule(self._row.pool)
            keep(pool.register_forward_pre_hook(self._weigh_pool, with_kwargs=True))

    def _listened(self) -> set[int]:
        """Layers whose queries and keys the method may ask for."""
        if self._observes:
            return set(range(self._depth))
        layers = self.method.layers(self._depth)
        return set(layers) if self.method.place == "middle" else {index - 1 for index in layers}

    def _start(
        self, tower: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """At the tower's door: score if asked, resize if asked, and begin the bookkeeping."""
        self._refuse_checkpointing()
        memory: dict[str, Any] = {}
        if self.method.scoring_pass and self.method.keep < 1 and not self._scoring:
            memory = self._score(tower, args, kwargs)
        pixels = args[0] if args else kwargs["pixel_values"]
        full = _patches((pixels.shape[-2], pixels.shape[-1]), tower)
        grid = self.method.input_grid(full)
        if grid != full:
            self._refuse_mask(kwargs.get("attention_mask"))
            pixels = _resized(pixels, grid, tower)
            if args:
                args = (pixels, *args[1:])
            else:
                kwargs = {**kwargs, "pixel_values": pixels}
            kwargs = interpolating(tower, kwargs)
        self._state = self._begin(pixels, full, grid, kwargs.get("attention_mask"))
        self._state.memory = memory
        return args, kwargs

    def _begin(
        self, pixels: Tensor, full: tuple[int, int], grid: tuple[int, int], mask: Tensor | None
    ) -> TokenState:
        n, b = grid[0] * grid[1] + self._protected, pixels.shape[0]
        valid = None if mask is None else mask.bool()
        size = torch.ones(b, n, 1, device=pixels.device)
        return TokenState(
            counts=(n,) * self._depth if self._scoring else self._counts(n),
            full=full[0] * full[1] + self._protected,
            full_grid=full,
            grid=grid,
            protected=self._protected,
            origin=grid_origin(full, grid, self._protected, b, pixels.device),
            size=size if valid is None else size * valid.unsqueeze(-1),
            valid=valid,
            weigh=self.method.biases_keys,
        )

    def _score(
        self, tower: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """An untouched pass that only observes; what it noted."""
        self._scoring = True
        try:
            with torch.no_grad():
                tower(*args, **kwargs)
        finally:
            self._scoring = False
        return self._state.memory if self._state else {}

    def _block(self, block: nn.Module, x: Tensor, mask: Tensor | None, kwargs: Any) -> Tensor:
        """One layer: reduce before it, or between its halves, or not at all."""
        _, index = block.__dict__[MARK]
        plain: Any = super(_Reducing, block).forward  # type: ignore[misc]
        state = self._state
        if state is None:  # a block called on its own, outside the tower
            return cast(Tensor, plain(x, mask, **kwargs))
        before = self.method.place == "before"
        state.see(kwargs)
        if before and self._reduces(state, index, x):
            x = state.apply(x, state.plan or self._plan(state, index, x))
            state.plan = None
        if state.touched:
            mask, kwargs = state.bias(x.dtype), state.turned(kwargs)
        entered = x.shape[1]
        plans = self._reduces(state, index + before, x)
        state.listens = plans or self._observes
        if not state.listens:
            state.tokens.append((entered, entered))
            return cast(Tensor, plain(x, mask, **kwargs))
        x = self._row.attend(block, x, mask, kwargs)
        self._observe(state, index)
        if plans and before:
            state.plan = self._plan(state, index + 1, x)
        elif plans:
            x = state.apply(x, self._plan(state, index, x))
        state.queries = state.keys = None  # not to be held while the MLP runs
        state.tokens.append((entered, x.shape[1]))
        return self._row.feed(block, x)

    def _reduces(self, state: TokenState, index: int, x: Tensor) -> bool:
        """Whether rows of `x` go in layer `index`."""
        layers = self.method.layers(self._depth)
        return index in layers and state.counts[index] < x.shape[1]

    def _observe(self, state: TokenState, index: int) -> None:
        if self._observes:
            with torch.no_grad():
                self.method.observe(self._view(state, index))

    def _plan(self, state: TokenState, index: int, x: Tensor) -> Plan:
        # Which rows go where has no gradient; moving and merging them has.
        with torch.no_grad():
            plan = self.method.reduce(x.detach(), self._view(state, index))
        k, count = plan.keep.shape[1], state.counts[index]
        if k > count or (k < count and plan.valid is None):
            raise AttachError(
                f"{type(self.method).__name__}: reduce left {k} rows in layer {index}; "
                f"view.count asks for {count}."
            )
        return plan

    def _view(self, state: TokenState, index: int) -> LayerView:
        return LayerView(
            layer=index,
            depth=self._depth,
            grid=state.grid,
            protected=self._protected,
            count=state.counts[index],
            size=state.size,
            valid=state.valid,
            origin=state.origin,
            heads=self._heads(state),
            bias=state.bias(torch.float32),
            memory=state.memory,
        )

    def _heads(self, state: TokenState) -> Heads | None:
        if state.queries is None or state.keys is None:
            return None
        b, n, d = state.keys.shape
        h = int(config(self._tower).num_attention_heads)
        queries, keys = (
            x.view(b, n, h, d // h).transpose(1, 2) for x in (state.queries, state.keys)
        )
        turn = None if state.turns is None else partial(self._turned, turns=state.turns)
        return Heads(queries, keys, (d // h) ** -0.5, turn)

    def _turned(
        self, queries: Tensor, keys: Tensor, turns: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        """Queries and keys with the rotation that the attention gives them."""
        attention = self._row.blocks(self._tower)[0].get_submodule(self._row.attention)
        rule: Any = sys.modules[type(attention).__module__]
        turned: tuple[Tensor, Tensor] = rule.apply_rotary_pos_emb(queries, keys, *turns)
        return turned

    def _counts(self, n: int) -> tuple[int, ...]:
        """Rows left after each layer for `n` rows at the input, worked out once per `n`."""
        if n in self._planned:
            return self._planned[n]
        budget = Budget(
            tokens=n,
            protected=self._protected,
            depth=self._depth,
            layers=self.method.layers(self._depth),
            middle=self.method.place == "middle",
            max_drop=self.method.max_drop,
        )
        owner = type(self.method).__name__
        self._planned[n] = budget.counts(self.method.keep, self.method.spread, owner)
        return self._planned[n]

    def _see_queries(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        if self._state is not None and self._state.listens:
            self._state.queries = output

    def _see_keys(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        if self._state is not None and self._state.listens:
            self._state.keys = output

    def _weigh_pool(
        self, pool: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A pooling attention sees merged rows with the weight of their size."""
        if self._state is not None and self._state.touched:
            bias = self._state.bias(args[1].dtype)
            if bias is not None:
                kwargs["attn_mask"] = bias[:, 0].repeat_interleave(
                    int(cast(Any, pool).num_heads), 0
                )
        return args, kwargs

    def _finish(self, tower: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """On the way out: keep the record, and make a later plain mean the mean over tokens."""
        state = self._state
        if state is None or self._scoring:
            return None
        self.trace = state.trace(scored=self.method.scoring_pass and self.method.keep < 1)
        self._state = None
        if not (self._mean_pooled and state.touched):
            return None
        patches = state.size[:, self._protected :]
        if state.valid is not None:
            patches = patches * state.valid[:, self._protected :, None]
        weight = state.size.clone()
        weight[:, : self._protected] = 1
        weight[:, self._protected :] = patches / patches.mean(1, keepdim=True)
        scaled = output[0] * weight.to(output[0].dtype)
        if isinstance(output, tuple):
            return (scaled, *output[1:])
        output.last_hidden_state = scaled
        return output

    def _refuse_mask(self, mask: Tensor | None) -> None:
        if mask is not None:
            raise UsageError(
                f"{type(self.method).__name__}: resizes the picture, to which a mask of its "
                "patches no longer fits; leave attention_mask out or take another method."
            )

    def _refuse_checkpointing(self) -> None:
        blocks = self._row.blocks(self._tower)
        if self._tower.training and any(getattr(b, "gradient_checkpointing", 0) for b in blocks):
            raise AttachError(
                f"{type(self.method).__name__}: gradient checkpointing runs each block twice, "
                "which would remove tokens twice; switch it off first."
            )


class _Reducing:
    """Put in front of a block's own class while a method is attached."""

    def forward(self, hidden_states: Tensor, attention_mask: Any = None, **kwargs: Any) -> Tensor:
        attachment, _ = self.__dict__[MARK]
        result: Tensor = attachment._block(self, hidden_states, attention_mask, kwargs)
        return result


@cache
def _reducing(cls: type[nn.Module]) -> type[nn.Module]:
    return type(cls.__name__, (_Reducing, cls), {"__module__": cls.__module__})


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _patches(pixels: tuple[int, int], tower: nn.Module) -> tuple[int, int]:
    patch = _pair(config(tower).patch_size)
    return pixels[0] // patch[0], pixels[1] // patch[1]


def _resized(pixels: Tensor, grid: tuple[int, int], tower: nn.Module) -> Tensor:
    patch = _pair(config(tower).patch_size)
    return nn.functional.interpolate(
        pixels.float(),
        size=(grid[0] * patch[0], grid[1] * patch[1]),
        mode="bicubic",
        antialias=True,
    ).to(pixels.dtype)
