"""An attention implementation that asks the attachment of the module which calls it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from torch import Tensor, nn
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface

from tokenry.errors import UsageError
from tokenry.method import Method
from tokenry.plugs.attachment import MARK

Base = Callable[..., tuple[Tensor, Any]]
BASES = ("sdpa", "eager")
"""Implementations whose mask may differ from layer to layer."""


class Attends(Protocol):
    """What an attachment on an attention module must answer."""

    def attend(self, call: Call) -> Tensor:
        """The output of one attention, `(b, t, h, v)`."""


class Call:
    """One call of an attention module, and the way to what it would have done.

    Attributes:
        module: The attention module.
        queries: `(b, h, t, e)`.
        keys: What the cache gave, `(b, g, s, e)`.
        values: The same, `(b, g, s, v)`.
        scale: The factor before the softmax.
        mask: What the model made for the full cache, `(b, 1, t, s)`; None where it needs none.
        base: The name of what the module would have done.
        note: What the attachment gave to the pass under the name `tokenry_pass`.
        weights: The matrix that `plain` came by, if it gave one.
    """

    def __init__(self, base: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.module, self.queries, self.keys, self.values, self.mask = args
        self.note = kwargs.pop("tokenry_pass", None)
        self.base, self._kwargs = base, kwargs
        self.weights: Any = None
        scale = kwargs.get("scaling")
        self.scale = float(self.queries.shape[-1] ** -0.5 if scale is None else scale)

    def plain(self) -> Tensor:
        """What the module does without a policy."""
        out, self.weights = self.under(self.mask)
        return out

    def under(self, mask: Tensor | None) -> tuple[Tensor, Any]:
        """What the module does under another mask: output and weights."""
        run = _implementation(self.base, self.module)
        return run(self.module, self.queries, self.keys, self.values, mask, **self._kwargs)


def install(base: str, method: Method) -> str:
    """Make the implementation over `base` known to transformers; its name.

    Raises:
        UsageError: If masks of `base` cannot differ from layer to layer.
    """
    if base not in BASES:
        raise UsageError(
            f"{type(method).__name__}: the model's attention implementation is {base!r}, which "
            "cannot carry a mask per layer; load it with "
            f"attn_implementation={' or '.join(map(repr, BASES))}."
        )
    name = f"tokenry_{base}"
    AttentionInterface.register(name, partial(_attend, base))
    # Without a mask of the same name transformers would pass none, and sdpa then cuts keys off.
    AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[base])
    return name


def _attend(base: str, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
    call = Call(base, (module, *args), kwargs)
    # A model made from the config of one that carries a policy carries none itself.
    attachment: Attends | None = module.__dict__.get(MARK)
    return (call.plain() if attachment is None else attachment.attend(call)), call.weights


def _implementation(base: str, module: nn.Module) -> Base:
    if base == "eager":
        run: Base = sys.modules[type(module).__module__].eager_attention_forward
        return run
    found: Base = ALL_ATTENTION_FUNCTIONS[base]
    return found
