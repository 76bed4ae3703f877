"""Pictures in memory: lists of Pillow images, arrays or tensors, and .npz files."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Sequence
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tokenry.data.decode import check_size, from_array, to_rgb
from tokenry.data.examples import Example, ImageData
from tokenry.data.pictures import Pixels
from tokenry.errors import DataError

MAX_NPZ_BYTES = 4 * 2**30
_NPZ = {
    "images": ("images", "labels", None),
    "x_train": ("x_train", "y_train", "train"),
    "x_test": ("x_test", "y_test", "test"),
}


def pictures(items: Sequence[Any], max_pixels: int) -> ImageData:
    """Wrap a list of pictures, or of (picture, label) pairs; nothing is copied.

    Args:
        items: Pillow images, arrays or tensors (h x w, h x w x c, c x h x w; uint8, or floats in
            [0, 1]); a label is text, a whole number or None.
        max_pixels: the most pixels allowed per picture.

    Raises:
        DataError: an empty list, or an item of another kind.
    """
    if not items:
        raise DataError("the list holds no pictures; give at least one.")
    examples = []
    for i, item in enumerate(items):
        pair = isinstance(item, tuple) and len(item) == 2
        picture, label = item if pair else (item, None)
        name = f"picture {i} of the list"
        if not _is_picture(picture):
            raise DataError(
                f"{name}: is {type(picture).__name__}; give a Pillow image, a numpy array, "
                "a torch tensor, or a pair of one of these and a label "
                "(texts: tokenry.data.load_text)."
            )
        if not (label is None or isinstance(label, (str, Integral))):
            raise DataError(
                f"{name}: label is {type(label).__name__}; give text or a whole number."
            )
        made = Pixels(partial(_rgb, picture, name, max_pixels))
        examples.append(
            Example(str(i), None if label is None else str(label), None, None, {}, made)
        )
    return ImageData("pictures", tuple(examples), license="not stated", source="memory")


def npz(path: Path, max_pixels: int) -> ImageData:
    """Read a numpy archive with images and labels, or x_train, y_train and x_test, y_test.

    Labels may be left out; an array `classes` turns numbers into names. Pickled arrays are never
    read.

    Raises:
        DataError: not such an archive, wrong shapes, or more than 4 GiB unpacked.
    """
    arrays = _unpack(path)
    examples: list[Example] = []
    for images_key, labels_key, split in _NPZ.values():
        if images_key in arrays:
            labels = _labels(arrays, labels_key, len(arrays[images_key]), path)
            prefix = f"{split}/" if split else ""
            for i, (pixels, label) in enumerate(zip(arrays[images_key], labels, strict=True)):
                name = f"{path}: {images_key}[{i}]"
                made = Pixels(partial(_rgb, pixels, name, max_pixels))
                examples.append(Example(f"{prefix}{i}", label, split, None, {}, made))
    if not examples:
        raise DataError(
            f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}; give images (and labels), "
            "or x_train, y_train, x_test, y_test, with at least one picture."
        )
    return ImageData(path.stem, tuple(examples), license="not stated", source=str(path))


def _unpack(path: Path) -> dict[str, Any]:
    known = {key for images, labels, _ in _NPZ.values() for key in (images, labels)}
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_NPZ_BYTES:
            raise DataError(f"{path}: unpacks to {size:,} bytes, over {MAX_NPZ_BYTES:,}; split it.")
        with np.load(path, allow_pickle=False) as archive:
            names = [name for name in archive.files if name in known | {"classes"}]
            arrays = {name: archive[name] for name in names}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read as .npz ({error}).") from error
    for key, array in arrays.items():
        if array.ndim == 0:
            raise DataError(f"{path}: {key} is one value; give an array with a first axis.")
    return arrays


def _labels(arrays: dict[str, Any], key: str, count: int, path: Path) -> list[str | None]:
    if key not in arrays:
        return [None] * count
    labels = arrays[key].reshape(-1)
    if len(labels) != count:
        raise DataError(f"{path}: {key} has {len(labels)} labels for {count} pictures.")
    if labels.dtype.kind not in "iuU":
        raise DataError(f"{path}: {key} is {labels.dtype}; give whole numbers or text.")
    if "classes" not in arrays or labels.dtype.kind == "U":
        return [str(label) for label in labels]
    classes = arrays["classes"]
    if len(labels) and not (labels.min() >= 0 and labels.max() < len(classes)):
        raise DataError(f"{path}: {key} points outside the {len(classes)} classes.")
    return [str(classes[label]) for label in labels]


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")  # whoever holds a tensor has imported it
    return torch is not None and isinstance(value, torch.Tensor)


def _is_picture(value: Any) -> bool:
    return isinstance(value, (Image.Image, np.ndarray)) or _is_tensor(value)


def _rgb(value: Any, name: str, max_pixels: int) -> Image.Image:
    if isinstance(value, Image.Image):
        check_size(value.size, name, max_pixels)
        try:
            return to_rgb(value, name)
        except (OSError, SyntaxError) as error:  # opened from a broken file, not yet read
            raise DataError(f"{name}: is broken or cut short ({error}).") from error
    if not _is_tensor(value):
        return from_array(value, name, max_pixels, channels_first=False)
    dense = value.detach().cpu()
    dense = dense.float() if dense.is_floating_point() else dense  # numpy has no bfloat16
    return from_array(dense.numpy(), name, max_pixels, channels_first=True)
