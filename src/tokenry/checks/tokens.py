"""Checks of what a token reducer does to the tokens, on tiny encoders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tokenry.checks.declaration import variants
from tokenry.checks.models import images, tiny
from tokenry.method import TokenReducer
from tokenry.plugs.attach import attach
from tokenry.plugs.attachment import Attachment
from tokenry.plugs.trace import Trace

KEEP = 0.6
CLOSE = 1e-5


def run(
    model: Callable[..., Any], pixels: Float[Tensor, "b c y x"], **inputs: Any
) -> tuple[Float[Tensor, "b k d"], Float[Tensor, "b d"]]:
    """Last hidden state and pooled output."""
    output = model(pixels, **inputs)
    return output.last_hidden_state, output.pooler_output


def same(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], tolerance: float = 0.0) -> bool:
    """Whether two outputs have the same shapes and, within `tolerance`, the same numbers."""
    return all(
        a.shape == b.shape and torch.allclose(a, b, rtol=tolerance, atol=tolerance)
        for a, b in zip(one, other, strict=True)
    )


def trace_of(attachment: Attachment[Any]) -> Trace:
    """The record of the pass that just ended."""
    return cast(Trace, attachment.trace)


@contextmanager
def attached(
    cls: type[TokenReducer], tower: str, **settings: Any
) -> Iterator[tuple[nn.Module, Attachment[Any]]]:
    """A tiny model with the method on it, at `KEEP` unless `settings` say otherwise."""
    model = tiny(tower)
    with attach(model, cls(**{"keep": KEEP, **settings})) as attachment:
        yield model, attachment


@torch.no_grad()
def identity(cls: type[TokenReducer]) -> str:
    """At keep=1 the output is the untouched model's, bit for bit."""
    for tower in ("vit", "dinov2-registers", "clip", "siglip"):
        model, pixels = tiny(tower), images(2)
        expected = run(model, pixels)
        for method in variants(cls, keep=1.0):
            with attach(model, method):
                if not same(run(model, pixels), expected):
                    return f"{method.describe()} changes the output of {type(model).__name__}."
    return ""


@torch.no_grad()
def count(cls: type[TokenReducer]) -> str:
    """The mean share of processed tokens is keep within one token, whatever the schedule."""
    model = tiny("vit")
    for keep in (0.9, 0.75, 0.5):
        for method in variants(cls, keep=keep):
            with attach(model, method) as attachment:
                rows, _ = run(model, images(2))
            trace = trace_of(attachment)
            # A scoring pass is a cost of its own; the dial counts the layers after it.
            share = trace.share - trace.scored
            if abs(share - keep) > 1 / trace.full:
                return f"{method.describe()} processes {share:.4f} of {trace.full} tokens."
            if rows.shape[1] != trace.tokens[-1][1]:
                return f"{method.describe()} returns {rows.shape[1]} rows of {trace.tokens[-1]}."
    return ""


@torch.no_grad()
def protected(cls: type[TokenReducer]) -> str:
    """Class, distillation and register tokens stay in front, in order, and take nothing in."""
    for tower in ("vit", "deit", "dinov2-registers"):
        with attached(cls, tower) as (model, attachment):
            run(model, images(2))
        trace, name = trace_of(attachment), type(model).__name__
        p = trace.protected
        if not torch.equal(trace.origin[:, :p], torch.arange(p).expand(2, -1)):
            return f"the first {p} tokens of {name} end in rows {trace.origin[0, :p].tolist()}."
        patches = trace.origin[:, p:]
        if ((patches >= 0) & (patches < p)).any() or (trace.size[:, :p] != 1).any():
            return f"patches of {name} merge into its first {p} rows."
    return ""


@torch.no_grad()
def origins(cls: type[TokenReducer]) -> str:
    """Every original token is in one row or dropped, and each row's size counts its tokens."""
    for tower in ("vit", "siglip"):
        with attached(cls, tower) as (model, attachment):
            rows, _ = run(model, images(2))
        trace, k = trace_of(attachment), rows.shape[1]
        if trace.origin.min() < -1 or trace.origin.max() >= k:
            return f"origin names rows outside -1..{k - 1}."
        members = _members(trace.origin, k)
        real = torch.ones_like(members, dtype=torch.bool) if trace.valid is None else trace.valid
        if not torch.equal(members[real], trace.size.squeeze(-1)[real]):
            return "the size of a row is not the number of tokens in it."
    return ""


def _members(origin: Int[Tensor, "b n0"], k: int) -> Float[Tensor, "b k"]:
    """How many original tokens each of `k` rows stands for; column k collects the dropped."""
    ones = torch.ones(origin.shape)
    return torch.zeros(len(origin), k + 1).scatter_add_(1, origin.remainder(k + 1), ones)[:, :k]


@torch.no_grad()
def padding(cls: type[TokenReducer]) -> str:
    """What stands in masked patches changes nothing for the others."""
    for tower in ("vit", "dinov2-registers"):
        with attached(cls, tower) as (model, attachment):
            mask = _right_side_masked(model)
            seen = []
            for seed, strength in ((1, 0.1), (2, 10.0)):
                pixels = images(2)
                pixels[1, :, :, 24:] = strength * images(1, seed=seed)[0, :, :, 24:]
                rows, pooled = run(model, pixels, attention_mask=mask)
                trace = trace_of(attachment)
                real = trace.unmerge(rows)[mask]
                seen.append((real, pooled, trace.origin[mask]))
        if not torch.equal(seen[0][2], seen[1][2]):
            return f"masked patches decide which tokens of {type(model).__name__} stay."
        if not same(seen[0][:2], seen[1][:2], CLOSE):
            return f"masked patches change the output of {type(model).__name__}."
    return ""


def _right_side_masked(model: nn.Module) -> Bool[Tensor, "2 n"]:
    """All of the first image is real, and all but the two right columns of the second."""
    grid = torch.ones(2, 8, 8, dtype=torch.bool)
    grid[1, :, 6:] = False
    front = 1 + getattr(model.config, "num_register_tokens", 0)
    return torch.cat([torch.ones(2, front, dtype=torch.bool), grid.flatten(1)], 1)


@torch.no_grad()
def batch(cls: type[TokenReducer]) -> str:
    """An image's result does not depend on its place in the batch, nor on its neighbours."""
    pixels, order = images(3), [2, 0, 1]
    with attached(cls, "dinov2") as (model, _):
        rows, pooled = run(model, pixels)
        if not same(run(model, pixels[order]), (rows[order], pooled[order]), CLOSE):
            return "another order of the batch changes the results of its images."
        for i in range(3):
            if not same(run(model, pixels[i : i + 1]), (rows[i : i + 1], pooled[i : i + 1]), CLOSE):
                return "an image alone has another result than in a batch."
    return ""


@torch.no_grad()
def repeat(cls: type[TokenReducer]) -> str:
    """Two runs are equal bit for bit, with the same attachment and with a new one."""
    results = []
    for _ in range(2):
        with attached(cls, "siglip") as (model, _):
            results += [run(model, images(2)) for _ in range(2)]
    if not all(same(result, results[0]) for result in results):
        return "the same input gives different outputs."
    return ""


@torch.no_grad()
def leak(cls: type[TokenReducer]) -> str:
    """No sample leaves anything behind for the next, in the attachment or in the method."""
    small, large = images(1, side=24), images(1, seed=5)
    with attached(cls, "dinov2") as (model, attachment):
        before = repr(vars(attachment.method))
        forwards = [run(model, small), run(model, large)]
    with attached(cls, "dinov2") as (model, attachment):
        backwards = [run(model, large), run(model, small)]
        after = repr(vars(attachment.method))
    if before != after:
        return f"the method changed while it ran: {before} became {after}."
    if not all(same(a, b) for a, b in zip(forwards, reversed(backwards), strict=True)):
        return "the result of an image depends on the image before it."
    return ""
