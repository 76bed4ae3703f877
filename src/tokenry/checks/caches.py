"""Checks of what a cache policy does to the cache and to the model, on tiny decoders."""

from __future__ import annotations

import gc
import math
import weakref
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import DynamicCache

from tokenry.checks.declaration import variants
from tokenry.checks.models import tiny_decoder, words
from tokenry.checks.restoring import restored
from tokenry.method import CachePolicy
from tokenry.plugs.attach import attach
from tokenry.plugs.decoders import find_decoder
from tokenry.plugs.past import CACHE

KEEP = 0.7
CLOSE = 1e-4
STEPS = 3  # tokens that come one by one after the prompt


def length(method: CachePolicy) -> int:
    """A prompt long enough for the rule, 96 tokens if that will do."""
    return max(96, math.ceil(1.1 * method.least / method.keep))


def run(
    model: Any, ids: Int[Tensor, "b n"], mask: Int[Tensor, "b n"] | None = None
) -> tuple[Float[Tensor, "b n v"], list[Any]]:
    """Logits of a prompt and of `STEPS` tokens that follow one by one, and the cache's layers."""
    cache, logits, n = DynamicCache(), [], ids.shape[1] - STEPS
    for start, stop in [(0, n), *((i, i + 1) for i in range(n, n + STEPS))]:
        inputs: dict[str, Any] = {}
        if mask is not None:
            places = (mask.cumsum(1) - 1).clamp(min=0)
            inputs = {"attention_mask": mask[:, :stop], "position_ids": places[:, start:stop]}
        logits.append(model(ids[:, start:stop], **{CACHE: cache}, **inputs).logits)
    return torch.cat(logits, 1), cache.layers


def close(one: Tensor, other: Tensor) -> bool:
    """Whether two outputs are equal but for rounding."""
    return torch.allclose(one, other, rtol=CLOSE, atol=CLOSE)


@torch.no_grad()
def identity(cls: type[CachePolicy]) -> str:
    """At keep=1 the output is the untouched model's, bit for bit."""
    for name in ("llama", "qwen3", "phi3"):
        model = tiny_decoder(name)
        for method in variants(cls, keep=1.0):
            ids = words(2, length(method) + STEPS)
            expected, _ = run(model, ids)
            with attach(model, method):
                if not torch.equal(run(model, ids)[0], expected):
                    return f"{method.describe()} changes the output of {type(model).__name__}."
    return ""


@torch.no_grad()
def count(cls: type[CachePolicy]) -> str:
    """The mean share of slots that are held, or read, is keep within one slot per pass."""
    model = tiny_decoder("llama")
    for keep in (0.9, KEEP):
        for method in variants(cls, keep=keep):
            n = length(method)
            cache = DynamicCache()
            with attach(model, method) as attachment:
                model(words(2, n), **{CACHE: cache})
                if method.selects:
                    model(words(2, 1), **{CACHE: cache})
            trace: Any = attachment.trace
            if abs(trace.share - keep) * trace.seen > (2 if method.selects else 1):
                verb = "reads" if method.selects else "holds"
                return f"{method.describe()} {verb} {trace.share:.4f} of {trace.seen} slots."
    return ""


@torch.no_grad()
def padding(cls: type[CachePolicy]) -> str:
    """What stands in the padding changes nothing, and it goes before any token."""
    method, model = cls(keep=KEEP), tiny_decoder("llama")
    n = length(method) + STEPS
    mask = torch.ones(2, n, dtype=torch.long)
    mask[1, : n // 12] = 0
    results = []
    for seed in (1, 2):
        ids = torch.where(mask.bool(), words(2, n), words(2, n, seed=seed))
        with attach(model, method) as attachment:
            logits, _ = run(model, ids, mask)
        results.append((logits[mask.bool()], attachment.trace))
    (logits, trace), (others, other) = results
    if not all(torch.equal(a, b) for a, b in zip(trace.tokens, other.tokens, strict=True)):
        return "padding decides which slots stay."
    if not close(logits, others):
        return "padding changes the output."
    for tokens in trace.tokens:
        if tokens.shape[-1] < mask[1].sum() and (tokens[1] < n // 12).any():
            return "padding is held or read although tokens go."
    return ""


@torch.no_grad()
def batch(cls: type[CachePolicy]) -> str:
    """A text's result does not depend on its place in the batch."""
    method, model, order = cls(keep=KEEP), tiny_decoder("llama"), [2, 0, 1]
    ids = words(3, length(method) + STEPS)
    with attach(model, method):
        logits, _ = run(model, ids)
        if not close(run(model, ids[order])[0], logits[order]):
            return "another order of the batch changes the results of its texts."
    return ""


@torch.no_grad()
def repeat(cls: type[CachePolicy]) -> str:
    """Two runs are equal bit for bit, with the same attachment and with a new one."""
    method, model = cls(keep=KEEP), tiny_decoder("qwen2")
    ids, results = words(2, length(method) + STEPS), []
    for _ in range(2):
        with attach(model, method):
            results += [run(model, ids)[0] for _ in range(2)]
    if not all(torch.equal(result, results[0]) for result in results):
        return "the same input gives different outputs."
    return ""


@torch.no_grad()
def leak(cls: type[CachePolicy]) -> str:
    """No text leaves anything behind for the next, nor in the method, nor in memory."""
    method, model = cls(keep=KEEP), tiny_decoder("llama")
    n = length(method) + STEPS
    texts, before, results = (words(1, n), words(1, n + 9, seed=1)), repr(vars(method)), []
    for order in ((0, 1), (1, 0)):
        with attach(model, method):
            outputs = {i: run(model, texts[i]) for i in order}
        results.append({i: logits for i, (logits, _) in outputs.items()})
        layers = [weakref.ref(cache[0]) for _, cache in outputs.values()]
        del outputs
        gc.collect()
        if any(layer() is not None for layer in layers):
            return "the cache of a text is still referred to after detach."
    if repr(vars(method)) != before:
        return f"the method changed while it ran: {before} became {vars(method)!r}."
    if not all(torch.equal(results[0][i], results[1][i]) for i in (0, 1)):
        return "the result of a text depends on the text before it."
    return ""


@torch.no_grad()
def precision(cls: type[CachePolicy]) -> str:
    """Float32 and bfloat16 run, keep their type, and stay finite; bfloat16 is exact at keep=1."""
    method = cls(keep=KEEP)
    for dtype in (torch.float32, torch.bfloat16):
        model, ids = tiny_decoder("llama").to(dtype), words(2, length(method) + STEPS)
        expected, _ = run(model, ids)
        with attach(model, method):
            logits, cache = run(model, ids)
        held = [x for layer in cache for x in (layer.keys, layer.values)]
        if any(x.dtype != dtype or not x.isfinite().all() for x in (logits, *held)):
            return f"in {dtype} the output or the cache is of another type or not finite."
        with attach(model, cls(keep=1.0)):
            if not torch.equal(run(model, ids)[0], expected):
                return f"in {dtype}, keep=1 changes the output."
    return ""


@torch.no_grad()
def restore(cls: type[CachePolicy]) -> str:
    """The model is as it was after a normal exit and after an exception anywhere inside."""
    model, ids = tiny_decoder("llama"), words(2, length(cls(keep=KEEP)) + STEPS)
    decoder, row = find_decoder(model)
    return restored(
        cls,
        model,
        held=lambda used: attach(model, used(keep=KEEP)),
        use=lambda: run(model, ids)[0],
        layer=row.attentions(decoder)[3],
        rules=("evict", "select") if cls(keep=KEEP).selects else ("evict",),
        same=torch.equal,
    )
