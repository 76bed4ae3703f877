"""One forward pass of a vision model, whatever its head, in one shape of answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from tokenry.errors import UnsupportedModelError
from tokenry.plugs.blocks import config, find_tower, interpolating


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a vision model says of a batch of images.

    Attributes:
        pooled: One vector per image: the projected embedding where the model has one, else the
            output of its pooling layer, else the class token that its head reads.
        logits: Class scores; None when the model has no classification head.
        rows: Last hidden state of the encoder, as many rows as are left.
    """

    pooled: Float[Tensor, "b e"]
    logits: Float[Tensor, "b c"] | None
    rows: Float[Tensor, "b k d"]


def encode(model: nn.Module, pixel_values: Float[Tensor, "b c y x"]) -> Encoded:
    """Run the vision part of `model` once, on images of any size that its patches divide.

    Raises:
        UnsupportedModelError: If the model has no supported encoder, or no pooled output.
    """
    tower, row = find_tower(model)
    seen: list[tuple[Tensor, Tensor | None]] = []
    # Before an attachment's own hook, which scales the rows for the heads that take plain means.
    handles = [
        tower.register_forward_hook(
            lambda _, args, out: seen.append((out[0], getattr(out, "pooler_output", None))),
            prepend=True,
        )
    ]
    if pixel_values.shape[-2:] != (image_size(model), image_size(model)):
        handles.append(
            tower.register_forward_pre_hook(
                lambda module, args, kwargs: (args, interpolating(module, kwargs)),
                with_kwargs=True,
            )
        )
    try:
        vision = getattr(model, "get_image_features", model)
        output = vision(pixel_values=pixel_values)
    finally:
        for handle in handles:
            handle.remove()
    rows, pooled = seen[-1]
    for name in ("pooler_output", "image_embeds"):
        found = getattr(output, name, None)
        pooled = pooled if found is None else found
    if pooled is None and row.classes:
        pooled = rows[:, 0]
    if pooled is None:
        raise UnsupportedModelError(
            f"{type(model).__name__}: has no pooled output; load it with its pooling layer."
        )
    return Encoded(pooled, getattr(output, "logits", None), rows)


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
