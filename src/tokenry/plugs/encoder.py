"""One forward pass of a vision model, whatever its head, in one shape of answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from tokenry.errors import UnsupportedModelError
from tokenry.plugs.blocks import config, find_tower


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a vision model says of a batch of images.

    Attributes:
        pooled: One vector per image: the projected embedding where the model has one.
        logits: Class scores; None when the model has no classification head.
        rows: Last hidden state of the encoder, as many rows as are left.
    """

    pooled: Float[Tensor, "b d"]
    logits: Float[Tensor, "b c"] | None
    rows: Float[Tensor, "b k d"]


def encode(model: nn.Module, pixel_values: Float[Tensor, "b c y x"]) -> Encoded:
    """Run the vision part of `model` once.

    Raises:
        UnsupportedModelError: If the model has no supported encoder, or no pooled output.
    """
    tower, _ = find_tower(model)
    seen: list[Any] = []
    handle = tower.register_forward_hook(lambda module, args, output: seen.append(output))
    try:
        vision = getattr(model, "get_image_features", model)
        output = vision(pixel_values=pixel_values)
    finally:
        handle.remove()
    inner = seen[-1]
    pooled = getattr(output, "image_embeds", None)
    if pooled is None:
        pooled = getattr(output, "pooler_output", None)
    if pooled is None:
        pooled = getattr(inner, "pooler_output", None)
    if pooled is None:
        raise UnsupportedModelError(
            f"{type(model).__name__}: has no pooled output; load it with its pooling layer."
        )
    return Encoded(pooled, getattr(output, "logits", None), inner.last_hidden_state)


def blocks(model: nn.Module) -> list[nn.Module]:
    """The blocks of the model's vision encoder, in order."""
    tower, row = find_tower(model)
    return row.blocks(tower)


def patch_size(model: nn.Module) -> int:
    """Side of a patch in pixels."""
    return _first(config(find_tower(model)[0]).patch_size)


def image_size(model: nn.Module) -> int:
    """Side in pixels of the images that the model was trained on."""
    return _first(config(find_tower(model)[0]).image_size)


def _first(size: Any) -> int:
    return int(size if isinstance(size, int) else size[0])
