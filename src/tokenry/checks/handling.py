"""Checks that a model survives a token reducer: restored, copied, trained, compiled."""

from __future__ import annotations

import copy

import torch

from tokenry.checks.models import images, tiny
from tokenry.checks.restoring import restored
from tokenry.checks.tokens import CLOSE, KEEP, attached, run, same
from tokenry.method import TokenReducer
from tokenry.plugs.attach import attach
from tokenry.plugs.encoder import blocks


@torch.no_grad()
def restore(cls: type[TokenReducer]) -> str:
    """The model is as it was after a normal exit and after an exception anywhere inside."""
    model, pixels = tiny("siglip"), images(2)
    return restored(
        cls,
        model,
        held=lambda used: attach(model, used(keep=KEEP)),
        use=lambda: run(model, pixels),
        layer=blocks(model)[3],
        rules=("reduce",),
        same=same,
    )


@torch.no_grad()
def precision(cls: type[TokenReducer]) -> str:
    """Float32 and bfloat16 run, keep their type, and stay finite; bfloat16 is exact at keep=1."""
    for dtype in (torch.float32, torch.bfloat16):
        model, pixels = tiny("dinov2").to(dtype), images(2).to(dtype)
        expected = run(model, pixels)
        with attach(model, cls(keep=KEEP)):
            for part in run(model, pixels):
                if part.dtype != dtype or not part.isfinite().all():
                    return f"in {dtype} the output is {part.dtype} or not finite."
        with attach(model, cls(keep=1.0)):
            if not same(run(model, pixels), expected):
                return f"in {dtype}, keep=1 changes the output."
    return ""


def gradient(cls: type[TokenReducer]) -> str:
    """Gradients reach the patch embedding and every block, and are finite."""
    with torch.enable_grad(), attached(cls, "vit") as (model, _):
        _, pooled = run(model, images(2))
        torch.autograd.backward((pooled * torch.linspace(-1, 1, pooled.shape[-1])).sum())
    for name, weight in model.named_parameters():
        if weight.grad is not None and not weight.grad.isfinite().all():
            return f"the gradient of {name} is not finite."
        if "weight" in name and (weight.grad is None or not weight.grad.any()):
            return f"no gradient reaches {name}."
    return ""


@torch.no_grad()
def deepcopy(cls: type[TokenReducer]) -> str:
    """A copy of the model with the method on it works, and outlives what happens to the first."""
    model, pixels = tiny("clip"), images(2)
    untouched = run(model, pixels)
    with attach(model, cls(keep=KEEP)) as attachment:
        expected = run(model, pixels)
        trace = attachment.trace
        twin = copy.deepcopy(model)
        if not same(run(twin, pixels), expected):
            return "a copy of the model gives another output."
        if attachment.trace is not trace:
            return "running the copy writes into the attachment of the first model."
    if not same(run(twin, pixels), expected):
        return "detaching the first model changes its copy."
    return "" if same(run(model, pixels), untouched) else "the copy changes the first model."


@torch.no_grad()
def state_dict(cls: type[TokenReducer]) -> str:
    """While attached, the state dict has the same keys and the same tensors."""
    model = tiny("dinov2")
    before = {name: weight.data_ptr() for name, weight in model.state_dict().items()}
    with attach(model, cls(keep=KEEP)):
        run(model, images(1))
        after = {name: weight.data_ptr() for name, weight in model.state_dict().items()}
    changed = sorted(before.items() ^ after.items())
    return f"{changed[0][0]} is added, gone or moved." if changed else ""


@torch.no_grad()
def compiled(cls: type[TokenReducer]) -> str:
    """`torch.compile(backend="eager")` gives the output of the plain run."""
    model, pixels = tiny("vit", num_hidden_layers=2), images(2)
    with attach(model, cls(keep=0.75)):
        expected = run(model, pixels)
        try:
            result = run(torch.compile(model, backend="eager"), pixels)
        finally:
            torch.compiler.reset()
    return "" if same(result, expected, CLOSE) else "the compiled model gives another output."
