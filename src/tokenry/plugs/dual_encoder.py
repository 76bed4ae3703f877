"""A dual encoder such as CLIP: pictures and texts to vectors in one space."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from tokenry.data.decode import MAX_PIXELS, check_size, decode, to_rgb
from tokenry.data.pictures import read_file
from tokenry.errors import DataError, UnsupportedModelError
from tokenry.ops.similarity import unit
from tokenry.zoo import load

_BATCH = 64


@dataclass(frozen=True, eq=False, slots=True)
class DualEncoder:
    """A model that reads pictures and texts, with what prepares them.

    Args:
        model: Of transformers, with `get_image_features` and `get_text_features`: CLIP, SigLIP,
            or any two encoders as a `VisionTextDualEncoderModel`.
        tokenizer: Of the texts.
        pictures: The image processor; whatever turns a list of Pillow images into `pixel_values`.
        longest: Tokens of a text, at most; longer ones are cut.

    Raises:
        UnsupportedModelError: If the model is no dual encoder.
    """

    model: Any
    tokenizer: Any
    pictures: Any
    longest: int = 77

    def __post_init__(self) -> None:
        for needed in ("get_image_features", "get_text_features"):
            if not hasattr(self.model, needed):
                raise UnsupportedModelError(
                    f"{type(self.model).__name__}: has no {needed}; a dual encoder such as CLIP "
                    "or SigLIP has."
                )

    @classmethod
    def load(cls, name: str | os.PathLike[str], **kwargs: Any) -> DualEncoder:
        """A dual encoder from a folder or the Hub.

        Args:
            name: A folder, or a name on the Hub.
            **kwargs: For `tokenry.zoo.load`.

        Raises:
            UsageError: If it cannot be loaded.
            UnsupportedModelError: If it is no dual encoder.
        """
        loaded = load(name, kind="image-text", **kwargs)
        processor = loaded.processor
        config = loaded.model.config
        room = getattr(getattr(config, "text_config", config), "max_position_embeddings", 77)
        return cls(loaded.model, processor.tokenizer, processor.image_processor, room)

    def embed(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Vectors of length one for texts, each distinct one read once."""
        distinct = list(dict.fromkeys(texts))
        place = {text: i for i, text in enumerate(distinct)}
        return self._all(distinct, self.of_texts)[[place[text] for text in texts]]

    def picture(self, pictures: Sequence[Any]) -> Float[np.ndarray, "n d"]:
        """Vectors of length one for pictures: paths, bytes or Pillow images.

        Raises:
            DataError: If one of them cannot be read; the message says which.
        """
        return self._all(list(pictures), self.of_pictures)

    def of_texts(self, texts: Sequence[str]) -> Float[Tensor, "b d"]:
        """Vectors of a batch of texts, with a gradient where there is one to be had."""
        read = self.tokenizer(
            list(texts),
            padding="max_length",  # SigLIP reads its vector off the last place, padding or not
            truncation=True,
            max_length=self.longest,
            return_tensors="pt",
            return_token_type_ids=False,
        ).to(self._device())
        return _vectors(self.model.get_text_features(**read))

    def of_pictures(self, pictures: Sequence[Any]) -> Float[Tensor, "b d"]:
        """Vectors of a batch of pictures, with a gradient where there is one to be had."""
        images = [opened(one, f"picture {i}") for i, one in enumerate(pictures)]
        made = self.pictures(images, return_tensors="pt")
        # SigLIP 2 of variable size also takes the grid of each picture, and what of it is padding.
        takes = {"pixel_values", *inspect.signature(self.model.get_image_features).parameters}
        given = {name: made[name].to(self._device()) for name in made if name in takes}
        return _vectors(self.model.get_image_features(**given))

    def _device(self) -> torch.device:
        device: torch.device = next(iter(self.model.parameters())).device
        return device

    @torch.no_grad()
    def _all(self, things: list[Any], read: Any) -> Float[np.ndarray, "n d"]:
        was = self.model.training
        self.model.eval()
        try:
            steps = range(0, len(things), _BATCH)
            parts = [unit(read(things[at : at + _BATCH])) for at in steps]
        finally:
            self.model.train(was)
        return torch.cat(parts).cpu().numpy() if parts else np.zeros((0, 1), np.float32)


def opened(picture: Any, name: str) -> Image.Image:
    """A picture as RGB, from a path, bytes or a Pillow image.

    Raises:
        DataError: If it is none of these, or cannot be read.
    """
    if isinstance(picture, Image.Image):
        check_size(picture.size, name, MAX_PIXELS)
        return picture if picture.mode == "RGB" else to_rgb(picture, name)
    if isinstance(picture, bytes):
        return decode(picture, name)[0]
    if isinstance(picture, str | os.PathLike):
        path = Path(picture).expanduser()
        return decode(read_file(path, str(path), MAX_PIXELS), str(path))[0]
    raise DataError(f"{name}: is a {type(picture).__name__}; give a path, bytes or a Pillow image.")


def parameters(encoder: DualEncoder) -> list[nn.Parameter]:
    """What training changes: all weights but the scale that the loss does not read."""
    named = encoder.model.named_parameters()
    return [weight for name, weight in named if not name.endswith(("logit_scale", "logit_bias"))]


def _vectors(output: Any) -> Tensor:
    # Releases differ in whether they return the projected vectors alone.
    found: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return found
