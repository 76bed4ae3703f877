"""What vision tasks share: pixels in, one pass of the encoder, pictures out."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from tokenry.compare.tasks.base import Pass, Subject, Task
from tokenry.errors import UsageError
from tokenry.plugs.encoder import Encoded, blocks, encode, patch_size
from tokenry.plugs.trace import Trace

THUMBNAIL = 224
_MOST_PATCHES = np.iinfo(np.int16).max


class VisionTask(Task):
    """A task on images: a subclass says how an encoded image is scored."""

    kind = "vision"

    def prepare(self, subject: Subject, examples: Sequence[Any]) -> None:
        """Check that the image size fits the model's patches.

        Raises:
            UsageError: If it does not.
        """
        patch, size = patch_size(subject.model), subject.image_size
        if size is not None and (size < patch or size % patch):
            below = max(size // patch, 1) * patch
            raise UsageError(
                f"{self.slug}: image_size={size} is not a multiple of the patch size {patch} of "
                f"{subject.name}; the nearest are {below} and {below + patch}."
            )

    def batch(self, subject: Subject, examples: Sequence[Any]) -> Float[Tensor, "b c y x"]:
        """The processor's pixels: resized, cropped and normalised to one shape.

        Raises:
            UsageError: If the processor gives images of different shapes.
        """
        images = [example.image() for example in examples]
        processor = subject.processor
        settings = {} if subject.image_size is None else sizes(processor, subject.image_size)
        made = processor(images=images, return_tensors=None, **settings)["pixel_values"]
        arrays = [torch.as_tensor(np.asarray(pixels)) for pixels in made]
        if len({pixels.shape for pixels in arrays}) > 1:
            shapes = sorted({tuple(pixels.shape[-2:]) for pixels in arrays})
            raise UsageError(
                f"{self.slug}: {type(processor).__name__} of {subject.name} gives images of "
                f"{len(shapes)} shapes, such as {shapes[0]} and {shapes[-1]}; all must have one. "
                "Give image_size=."
            )
        pixels = torch.stack(arrays)
        if pixels[0, 0].numel() // patch_size(subject.model) ** 2 > _MOST_PATCHES:
            raise UsageError(
                f"{self.slug}: images of {tuple(pixels.shape[-2:])} pixels make more than "
                f"{_MOST_PATCHES} patches each; give a smaller image_size."
            )
        return pixels.to(subject.device, next(subject.model.parameters()).dtype)

    def run(self, model: nn.Module, batch: Float[Tensor, "b c y x"]) -> Encoded:
        """Encode the images."""
        return encode(model, batch)

    def finite(self, outputs: Encoded) -> list[bool]:
        """For each image whether its embedding and last states are finite."""
        if bool((outputs.pooled.sum() + outputs.rows.sum()).isfinite()):
            return [True] * len(outputs.pooled)
        good = outputs.pooled.isfinite().all(1) & outputs.rows.isfinite().flatten(1).all(1)
        return [bool(one) for one in good.tolist()]

    def layers(self, model: nn.Module) -> list[nn.Module]:
        """The encoder's blocks."""
        return blocks(model)

    def thumbnails(
        self, subject: Subject, batch: Float[Tensor, "b c y x"], untouched: Pass
    ) -> list[bytes]:
        """Each image as the model saw it, its normalisation undone, as WebP."""
        pixels = batch.float().cpu()
        if getattr(subject.processor, "do_normalize", False):
            mean, std = subject.processor.image_mean, subject.processor.image_std
            pixels = pixels * torch.tensor(std).view(-1, 1, 1) + torch.tensor(mean).view(-1, 1, 1)
        colours = (pixels.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        return [_webp(Image.fromarray(one)) for one in colours]

    def rows(self, seen: Pass, entered: Sequence[int]) -> Sequence[tuple[int, int]]:
        """Rows that entered attention and MLP of each layer."""
        return super().rows(seen, entered) if seen.trace is None else seen.trace.tokens

    def groups(self, seen: Pass) -> list[NDArray[np.int16]]:
        """The row that each patch ended in, on the grid of patches."""
        if seen.trace is None:
            return []
        trace: Trace = seen.trace
        rows = trace.origin[:, trace.protected :].cpu().numpy().astype(np.int16)
        return list(rows.reshape(-1, *trace.grid))


def sizes(processor: Any, side: int) -> dict[str, Any]:
    """The processor's own settings, changed to square images of `side` pixels.

    A processor that resizes the shorter edge and then crops still does both, without the margin
    that it may cut off by default.
    """
    asked = [name for name, value in dict(processor.size).items() if value is not None]
    settings: dict[str, Any] = {"size": dict.fromkeys(asked, side)}
    if getattr(processor, "do_center_crop", False):
        settings["crop_size"] = {"height": side, "width": side}
    return settings


def require_labels(task: str, examples: Sequence[Any]) -> None:
    """Raise UsageError unless some example has a label."""
    if all(example.label is None for example in examples):
        raise UsageError(
            f"{task}: the data has no labels; put the images into one subfolder per label, or "
            "take task='agreement', which needs none."
        )


def _webp(image: Image.Image) -> bytes:
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=80, method=2)
    return stream.getvalue()
