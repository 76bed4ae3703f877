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
        note: What the attachment gave to the pass under the name `tokenry_pass`.
    """

    def __init__(self, base: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.module, self.queries, self.keys, self.values, self._mask = args
        self.note = kwargs.pop("tokenry_pass", None)
        self._base, self._kwargs = base, kwargs
        scale = kwargs.get("scaling")
        self.scale = float(self.queries.shape[-1] ** -0.5 if scale is None else scale)

    def plain(self) -> Tensor:
        """What the module does without a policy."""
        run = _implementation(self._base, self.module)
        out: Tensor = run(
            self.module, self.queries, self.keys, self.values, self._mask, **self._kwargs
        )[0]
        return out


def install(base: str, owner: str) -> str:
    """Make the implementation over `base` known to transformers; its name.

    Raises:
        UsageError: If masks of `base` cannot differ from layer to layer.
    """
    if base not in BASES:
        raise UsageError(
            f"{owner}: the model's attention implementation is {base!r}, which cannot carry a mask "
            f"per layer; load it with attn_implementation={' or '.join(map(repr, BASES))}."
        )
    name = f"tokenry_{base}"
    AttentionInterface.register(name, partial(_attend, base))
    # Without a mask of the same name transformers would pass none, and sdpa then cuts keys off.
    AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[base])
    return name


def _attend(base: str, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Tensor, None]:
    attachment: Attends = module.__dict__[MARK]
    return attachment.attend(Call(base, (module, *args), kwargs)), None


def _implementation(base: str, module: nn.Module) -> Base:
    if base == "eager":
        run: Base = sys.modules[type(module).__module__].eager_attention_forward
        return run
    found: Base = ALL_ATTENTION_FUNCTIONS[base]
    return found
