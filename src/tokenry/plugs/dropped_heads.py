"""Whole attention heads are dropped while an encoder trains, in the place of single values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tokenry.errors import UnsupportedModelError

OUTPUTS = (
    "attention.output.dense",
    "attention.attn.o",
    "attention.out_lin",
    "attn.Wo",
    "self_attn.o_proj",
)
"""What architectures call the map behind the heads: BERT and its kin, MPNet, DistilBERT,
ModernBERT, and decoders such as Llama."""


@contextmanager
def dropped_heads(encoder: nn.Module, share: float) -> Iterator[None]:
    r"""In training mode each head of each text is left out with probability `share`.

    Those that stay count $H/k$ times, where $k$ of $H$ do; a text of which none would stay keeps
    all. Dropout of single values is off in the meantime. A share of 0 changes nothing.

    Args:
        encoder: Holds one model of transformers, whose `config` knows how many heads a layer has.
        share: In [0, 1).

    Raises:
        UnsupportedModelError: If no attention with a name of `OUTPUTS` is found.

    Source: Zhou et al. 2020 (DropHead); Liu et al. 2021, section 2 (Mirror-BERT).
    """
    if not share:
        yield
        return
    found = [part for name, part in encoder.named_modules() if name.endswith(OUTPUTS)]
    if not found:
        raise UnsupportedModelError(
            f"dropped_heads: {type(encoder).__name__} has no attention whose output is named "
            f"{', '.join(OUTPUTS)}; train with dropout instead, or add its name to "
            "tokenry.plugs.dropped_heads.OUTPUTS."
        )
    heads = _heads(encoder)
    hooks = [
        part.register_forward_pre_hook(
            lambda part, given: (
                (thinned(given[0], heads, share), *given[1:]) if part.training else given
            )
        )
        for part in found
    ]
    before = [(part, name, getattr(part, name)) for part, name in _dropouts(encoder)]
    try:
        for part, name, _ in before:
            setattr(part, name, 0.0)
        yield
    finally:
        for part, name, value in before:
            setattr(part, name, value)
        for hook in hooks:
            hook.remove()


def thinned(x: Float[Tensor, "b n d"], heads: int, share: float) -> Float[Tensor, "b n d"]:
    """What the heads of each row say, with some of them silent and the others louder.

    Args:
        x: The values of all heads, one head behind the other.
        heads: How many there are.
        share: Chance of each to be silent.
    """
    stays = torch.rand(len(x), 1, heads, device=x.device) >= share
    stays = stays | ~stays.any(-1, keepdim=True)
    scale = stays * (heads / stays.sum(-1, keepdim=True))
    split = x.reshape(*x.shape[:-1], heads, -1) * scale[..., None].to(x.dtype)
    return split.flatten(-2)


def _heads(encoder: nn.Module) -> int:
    """Heads of a layer, as the first model inside says."""
    configs: Any = (getattr(part, "config", None) for part in encoder.modules())
    return int(next(one.num_attention_heads for one in configs if one is not None))


def _dropouts(encoder: nn.Module) -> list[tuple[nn.Module, str]]:
    """Where dropout of single values is set: modules of their own, and attentions."""
    found = [(part, "p") for part in encoder.modules() if isinstance(part, nn.Dropout)]
    names = [(part, "attention_dropout") for part in encoder.modules()]
    return found + [pair for pair in names if isinstance(getattr(*pair, None), float)]
