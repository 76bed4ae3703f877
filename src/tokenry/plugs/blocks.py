"""The table of vision encoders: one row of names per architecture, and one generic block."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from tokenry.errors import UnsupportedModelError


@dataclass(frozen=True, slots=True)
class Tower:
    """How an architecture names the parts of a pre-norm encoder.

    The block is `x + scale1(attention(norm1(x)))`, then `x + scale2(mlp(norm2(x)))`;
    `drop` stands before each addition.

    Attributes:
        layers: Path from the tower to its list of blocks.
        norm1: Norm before the attention.
        attention: Self-attention; called with the states and `attention_mask`.
        norm2: Norm before the MLP.
        mlp: The MLP.
        scale1: Layer scale after the attention; empty when there is none.
        scale2: Layer scale after the MLP; empty when there is none.
        drop: Dropout or stochastic depth before both additions; empty when there is none.
        classes: Class and distillation tokens at the front; registers are read from the config.
        pool: Path to the attention that pools the last states; empty when a class token does.
    """

    layers: str
    norm1: str
    attention: str
    norm2: str
    mlp: str
    scale1: str = ""
    scale2: str = ""
    drop: str = ""
    classes: int = 1
    pool: str = ""

    def blocks(self, tower: nn.Module) -> list[nn.Module]:
        """The blocks of `tower`, in order."""
        return list(tower.get_submodule(self.layers).children())

    def protected(self, tower: nn.Module) -> int:
        """Rows at the front that are not patches."""
        return self.classes + int(getattr(config(tower), "num_register_tokens", 0))

    def attend(self, block: nn.Module, x: Tensor, mask: Tensor | None, kwargs: Any) -> Tensor:
        """First half of the block: norm, attention, residual."""
        y, _ = _part(block, self.attention)(_part(block, self.norm1)(x), mask, **kwargs)
        return self._add(block, y, x, self.scale1)

    def feed(self, block: nn.Module, x: Tensor) -> Tensor:
        """Second half of the block: norm, MLP, residual."""
        y = _part(block, self.mlp)(_part(block, self.norm2)(x))
        return self._add(block, y, x, self.scale2)

    def _add(self, block: nn.Module, y: Tensor, x: Tensor, scale: str) -> Tensor:
        if scale:
            y = _part(block, scale)(y)
        if self.drop:
            y = _part(block, self.drop)(y)
        return y + x


def _part(block: nn.Module, name: str) -> nn.Module:
    return block.get_submodule(name)


_VIT = Tower(
    layers="layers",
    norm1="layernorm_before",
    attention="attention",
    norm2="layernorm_after",
    mlp="mlp",
    drop="dropout",
)
_DINOV2 = Tower(
    layers="encoder.layer",
    norm1="norm1",
    attention="attention",
    norm2="norm2",
    mlp="mlp",
    scale1="layer_scale1",
    scale2="layer_scale2",
    drop="drop_path",
)
_CLIP = Tower(
    layers="encoder.layers",
    norm1="layer_norm1",
    attention="self_attn",
    norm2="layer_norm2",
    mlp="mlp",
)

TOWERS: dict[str, Tower] = {
    "ViTModel": _VIT,
    "ViTMSNModel": _VIT,
    "DeiTModel": replace(_VIT, classes=2),
    "Dinov2Model": _DINOV2,
    "Dinov2WithRegistersModel": _DINOV2,
    "DINOv3ViTModel": replace(_DINOV2, layers="model.layer"),
    "CLIPVisionModel": _CLIP,
    "MetaClip2VisionModel": _CLIP,
    "SiglipVisionModel": replace(_CLIP, classes=0, pool="head.attention"),
}

MEAN_POOLED = frozenset(
    {
        "CLIPForImageClassification",
        "Dinov2ForImageClassification",
        "Dinov2WithRegistersForImageClassification",
        "MetaClip2ForImageClassification",
        "SiglipForImageClassification",
    }
)
"""Models whose head takes the plain mean over the patch rows that the tower returns."""

_FULL_GRID = "its relative positions belong to the full grid"
_MERGED = "its 2x2 patch merger needs the full grid and its images are packed into one sequence"
_DRAWN = "it draws every patch of the picture, and so needs all rows"

REFUSED = {
    "BeitModel": _FULL_GRID,
    "Data2VecVisionModel": _FULL_GRID,
    "Qwen2VisionTransformerPretrainedModel": _MERGED,
    "Qwen2_5_VisionTransformerPretrainedModel": _MERGED,
    "Qwen3VLVisionModel": _MERGED,
    "Qwen3_5VisionModel": _MERGED,
    "SwinModel": "its windows need the full grid",
    "Swinv2Model": "its windows need the full grid",
    "Siglip2VisionModel": "the pictures of a batch have grids of their own (NaFlex); take a "
    "checkpoint of a fixed size, which loads as SigLIP",
    "ViTForMaskedImageModeling": _DRAWN,
    "DeiTForMaskedImageModeling": _DRAWN,
}


def config(module: nn.Module) -> Any:
    """The configuration of a transformers module."""
    return module.config


def interpolating(tower: nn.Module, kwargs: dict[str, Any]) -> dict[str, Any]:
    """`kwargs` for images of another size than trained on, where the tower must be told so."""
    if "interpolate_pos_encoding" in inspect.signature(type(tower).forward).parameters:
        return {**kwargs, "interpolate_pos_encoding": True}
    return kwargs


def find_tower(model: nn.Module) -> tuple[nn.Module, Tower]:
    """The vision encoder inside `model`, and the names of its parts.

    Raises:
        UnsupportedModelError: If no module of `model` has a row in `TOWERS`.
    """
    for module in model.modules():
        reason = REFUSED.get(type(module).__name__)
        if reason is not None:
            raise UnsupportedModelError(f"{type(module).__name__}: not supported: {reason}.")
    for module in model.modules():
        row = TOWERS.get(type(module).__name__)
        if row is not None:
            return module, row
    raise UnsupportedModelError(
        f"{type(model).__name__}: holds no vision encoder that tokenry knows; it knows "
        f"{', '.join(sorted(TOWERS))}. A pre-norm encoder is added with one row of names in "
        "tokenry.plugs.blocks.TOWERS."
    )


def refuse_prompts(owner: str, model: nn.Module) -> None:
    """Refuse a model in which the rows of its encoder stand in a prompt, one for each placeholder.

    Raises:
        UnsupportedModelError: If it is one.
    """
    for module in model.modules():
        settings = getattr(module, "config", None)
        if any(hasattr(settings, name) for name in ("image_token_id", "image_token_index")):
            raise UnsupportedModelError(
                f"{owner}: {type(module).__name__} puts each row of its image encoder in the place "
                "of a token that its processor wrote into the prompt, so none of them can go; "
                "attach a cache policy, which lets image tokens go once they are read, or attach "
                "to an image encoder that is used by itself."
            )
