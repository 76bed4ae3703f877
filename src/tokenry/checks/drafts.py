"""Checks of what a drafter does to what a model writes, and to the model, on tiny decoders."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from tokenry.checks.declaration import variants
from tokenry.checks.models import tiny_decoder, words
from tokenry.checks.restoring import restored
from tokenry.method import Drafter
from tokenry.method import settings as declared
from tokenry.plugs.attach import attach
from tokenry.plugs.decoders import find_decoder

BUDGET = 7
NEW = 24


def decoder(name: str) -> Any:
    """A tiny model of two layers: what is drafted and verified does not depend on its depth."""
    return tiny_decoder(name, num_hidden_layers=2)


def ready(cls: type[Drafter], model: nn.Module, **settings: Any) -> dict[str, Any]:
    """Settings with which a drafter runs on the model: one that has a draft model gets a twin."""
    draft = {"model": deepcopy(model)} if any(s.name == "model" for s in declared(cls)) else {}
    return {"budget": BUDGET, **draft, **settings}


def prompts(count: int, seed: int = 0) -> Int[Tensor, "b n"]:
    """Prompts with something to copy: five tokens, three times over."""
    return words(count, 5, seed).repeat(1, 3)


def write(model: Any, ids: Int[Tensor, "b n"], **settings: Any) -> Int[Tensor, "b m"]:
    """What the model writes behind prompts, greedily if nothing else is said."""
    settings = {"do_sample": False, "max_new_tokens": NEW, "pad_token_id": 0, **settings}
    settings.setdefault("attention_mask", torch.ones_like(ids))
    written: Tensor = model.generate(ids, **settings)
    return written


def identity(cls: type[Drafter]) -> str:
    """Greedy output is the untouched model's, token for token, padding or not."""
    ids = prompts(3)
    mask = torch.ones_like(ids)
    ids[1, :4], mask[1, :4] = 0, 0
    for name in ("llama", "qwen3", "gpt2"):
        model = decoder(name)
        expected = write(model, ids, attention_mask=mask)
        for method in variants(cls, **ready(cls, model)):
            with attach(model, method):
                for _ in range(2):
                    if not torch.equal(write(model, ids, attention_mask=mask), expected):
                        return f"{method.describe()} changes the output of {type(model).__name__}."
    return ""


def budget(cls: type[Drafter]) -> str:
    """No pass verifies more tokens than the budget allows; a budget of one drafts nothing."""
    model, ids = decoder("llama"), prompts(2)
    for count in (1, 2, BUDGET):
        with attach(model, cls(**ready(cls, model, budget=count))) as attachment:
            for _ in range(2):
                write(model, ids)
                trace: Any = attachment.trace
                if trace.offered.max() > count - 1:
                    return f"budget={count} verifies {int(trace.offered.max()) + 1} tokens."
    return ""


def batch(cls: type[Drafter]) -> str:
    """What is written does not depend on the place of a text in the batch, nor on the others."""
    model, ids, order = decoder("llama"), prompts(3), [2, 0, 1]
    with attach(model, cls(**ready(cls, model))):
        written = write(model, ids)
        if not torch.equal(write(model, ids[order]), written[order]):
            return "another order of the batch changes what is written."
        for i in range(3):
            if not torch.equal(write(model, ids[i : i + 1]), written[i : i + 1]):
                return "a text alone goes on otherwise than in a batch."
    return ""


def repeat(cls: type[Drafter]) -> str:
    """Two runs are equal, greedy or sampled from the same seed, drafts included."""
    model, results = decoder("qwen2"), []
    for _ in range(2):
        with attach(model, cls(**ready(cls, model))) as attachment:
            for settings in ({"do_sample": False}, {"do_sample": True}):
                torch.manual_seed(0)
                written = write(model, prompts(2), **settings)
                trace: Any = attachment.trace
                results.append((written, trace.offered, trace.accepted))
    for first, second in zip(results[:2], results[2:], strict=True):
        if not all(torch.equal(a, b) for a, b in zip(first, second, strict=True)):
            return "the same input gives different outputs or drafts."
    return ""


def leak(cls: type[Drafter]) -> str:
    """Settings stay as they are, and what was written before changes no greedy output."""
    model, texts, results = decoder("llama"), (prompts(1), prompts(1, seed=1)), []
    method = cls(**ready(cls, model))
    before = repr(vars(method))
    for order in ((0, 1), (1, 0)):
        with attach(model, method):
            results.append({i: write(model, texts[i]) for i in order})
    if repr(vars(method)) != before:
        return f"the method changed while it ran: {before} became {vars(method)!r}."
    if not all(torch.equal(results[0][i], results[1][i]) for i in (0, 1)):
        return "the output of a text depends on the text before it."
    return ""


def precision(cls: type[Drafter]) -> str:
    """Float32, float64 and bfloat16 run, and write as many tokens of the vocabulary as asked."""
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        model, ids = decoder("llama").to(dtype), prompts(2)
        with attach(model, cls(**ready(cls, model))):
            for sampled in (False, True):
                written = write(model, ids, do_sample=sampled)
                new = written[:, ids.shape[1] :]
                if new.shape[1] != NEW or new.min() < 0 or new.max() >= model.config.vocab_size:
                    return f"in {dtype} the output is {tuple(written.shape)} or no token."
    return ""


def restore(cls: type[Drafter]) -> str:
    """The model is as it was after a normal exit and after an exception anywhere inside."""
    model, ids = decoder("llama"), prompts(2)
    inner, row = find_decoder(model)
    return restored(
        cls,
        model,
        held=lambda used: attach(model, used(**ready(used, model))),
        use=lambda: write(model, ids),
        layer=row.attentions(inner)[1],
        rules=("draft",),
        same=torch.equal,
    )
