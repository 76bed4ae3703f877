"""Checks that a model survives a token reducer: restored, copied, trained, compiled."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from tokenry.checks.models import images, tiny
from tokenry.checks.tokens import CLOSE, KEEP, attached, run, same
from tokenry.method import LayerView, TokenReducer
from tokenry.ops.plan import Plan
from tokenry.plugs.attach import attach
from tokenry.plugs.encoder import blocks


class StopError(Exception):
    """Raised on purpose inside a block."""


@torch.no_grad()
def restore(cls: type[TokenReducer]) -> str:
    """The model is as it was after a normal exit and after an exception anywhere inside."""
    model, pixels = tiny("siglip"), images(2)
    expected, before = run(model, pixels), state(model)
    for name, use in {
        "a normal exit": _use,
        "an exception in the with-block": _fail_outside,
        "an exception in a block": _fail_in_block,
        "an exception in reduce": _fail_in_reduce,
    }.items():
        use(cls, model, pixels)
        after = state(model)
        changed = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
        if changed:
            return f"after {name}, {min(changed)} differs."
        if not same(run(model, pixels), expected):
            return f"after {name}, the output differs."
    return ""


def state(model: nn.Module) -> dict[str, Any]:
    """What could be left behind: classes, attributes, hooks, weights."""
    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        found[f"the class of {name!r}"] = type(module)
        found[f"the attributes of {name!r}"] = sorted(vars(module))
        hooks = {
            key: list(value) for key, value in vars(module).items() if "hooks" in key and value
        }
        found[f"the hooks of {name!r}"] = hooks
        config = getattr(module, "config", None)
        implementation = getattr(config, "_attn_implementation", None)
        found[f"the config of {name!r}"] = id(config), implementation
    for name, weight in model.state_dict().items():
        found[f"the weight {name!r}"] = weight.data_ptr(), weight.double().sum().item()
    return found


def _use(cls: type[TokenReducer], model: nn.Module, pixels: Tensor) -> None:
    with attach(model, cls(keep=KEEP)):
        run(model, pixels)


def _fail_outside(cls: type[TokenReducer], model: nn.Module, pixels: Tensor) -> None:
    try:
        with attach(model, cls(keep=KEEP)):
            run(model, pixels)
            raise StopError
    except StopError:
        return


def _fail_in_block(cls: type[TokenReducer], model: nn.Module, pixels: Tensor) -> None:
    def stop(*_: Any) -> None:
        raise StopError

    handle = blocks(model)[3].register_forward_pre_hook(stop)
    try:
        _use(cls, model, pixels)
    except StopError:
        return
    finally:
        handle.remove()


def _fail_in_reduce(cls: type[TokenReducer], model: nn.Module, pixels: Tensor) -> None:
    def stop(self: TokenReducer, x: Tensor, view: LayerView) -> Plan:
        raise StopError

    failing = type(cls.__name__, (cls,), {"reduce": stop, "__module__": cls.__module__})
    try:
        _use(failing, model, pixels)
    except StopError:
        return


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
