"""The check that a model comes back as it was, whatever ends the use of a method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

from torch import nn

from tokenry.method import Method

Held = Callable[[type[Any]], AbstractContextManager[Any]]
"""What attaches a class to the model."""


class StopError(Exception):
    """Raised on purpose inside a model."""


def restored(
    cls: type[Method],
    model: nn.Module,
    held: Held,
    use: Callable[[], Any],
    layer: nn.Module,
    rules: Sequence[str],
    same: Callable[[Any, Any], bool],
) -> str:
    """Whether the model is as it was after a normal exit and after an exception anywhere inside.

    Args:
        cls: The method's class.
        model: The model.
        held: Attaches a class to it.
        use: Runs the model and returns what comes out.
        layer: A module in the middle of the model.
        rules: Names of the methods that the contract calls.
        same: Whether two outputs are equal.

    Returns:
        What is wrong, or nothing.
    """
    failing = type(
        cls.__name__, (cls,), {**dict.fromkeys(rules, _stop), "__module__": cls.__module__}
    )
    ends: dict[str, tuple[type[Method], nn.Module | None, bool]] = {
        "a normal exit": (cls, None, False),
        "an exception in the with-block": (cls, None, True),
        "an exception in a layer": (cls, layer, False),
        f"an exception in {' or '.join(rules)}": (failing, None, False),
    }
    expected, before = use(), state(model)
    for name, (used, broken, outside) in ends.items():
        handle = broken.register_forward_pre_hook(_stop) if broken else None
        with suppress(StopError), held(used):
            use()
            if outside:
                raise StopError
        if handle:
            handle.remove()
        after = state(model)
        changed = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
        if changed:
            return f"after {name}, {min(changed)} differs."
        if not same(use(), expected):
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


def _stop(*_: Any, **__: Any) -> None:
    raise StopError
