"""From bytes, arrays and Pillow images to RGB: bounded, upright, nothing clipped."""

from __future__ import annotations

import io
import math
import warnings
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tokenry.errors import DataError

MAX_PIXELS = 50_000_000
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
)
# A fixed list: Pillow also opens formats that start other programs (EPS) or reach far (PDF).
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    """Refuse a picture of more than `max_pixels` pixels before any of them is decoded.

    Raises:
        DataError: the picture is larger.
    """
    width, height = size
    if width * height > max_pixels:
        raise DataError(
            f"{name}: {width} x {height} is more than max_pixels={max_pixels:,}; "
            f"make it smaller, or pass max_pixels={width * height} if you trust it."
        )


def decode(
    data: bytes, name: str, max_pixels: int = MAX_PIXELS, *, draft: bool = False
) -> tuple[Image.Image, int]:
    """Decode the first frame of an encoded picture.

    Args:
        data: the bytes of a PNG, JPEG, WebP, GIF, BMP, TIFF or PPM file.
        name: what messages call the picture.
        max_pixels: the most pixels allowed, read from the header.
        draft: a JPEG may come at an eighth of its size, which is enough to see that it is whole.

    Returns:
        The picture as RGB, and the number of frames that the file holds.

    Raises:
        DataError: not a picture, broken, cut short, or too large.
    """
    try:
        with warnings.catch_warnings():
            # max_pixels is the bound here; Pillow's warning would tell the user about another one.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
        check_size(image.size, name, max_pixels)
        if draft:
            image.draft("RGB", (max(1, image.width // 8), max(1, image.height // 8)))
        frames = getattr(image, "n_frames", 1)
        return to_rgb(image, name), frames
    except (DataError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{name}: {error}; this is Pillow's own bound, above max_pixels={max_pixels:,}: "
            "make the picture smaller, or raise PIL.Image.MAX_IMAGE_PIXELS as well as max_pixels."
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(f"{name}: is not a picture ({', '.join(_FORMATS)} are read).") from error
    # Decoders raise a dozen kinds of error on broken files; here they all mean the same.
    except Exception as error:
        raise DataError(f"{name}: is broken or cut short ({error}).") from error


def to_rgb(image: Image.Image, name: str) -> Image.Image:
    """Turn any Pillow image into 8-bit RGB.

    The EXIF orientation is applied, transparency is laid on white, 16 bits are scaled to 8, CMYK
    and palettes go through Pillow's conversion.

    Raises:
        DataError: 32-bit pixels, whose range nobody knows.
    """
    known_wide = image.format in {"PNG", "PPM"}  # these open 16 bits as mode I in some releases
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and known_wide):
        scaled = np.rint(np.asarray(image, np.float32) * (255 / 65535)).clip(0, 255)
        return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")
    if image.mode in {"I", "F"}:
        raise DataError(
            f"{name}: has 32-bit pixels (mode {image.mode}), whose range is not known; "
            "scale them to 8 bits first."
        )
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def from_array(array: Any, name: str, max_pixels: int, *, channels_first: bool) -> Image.Image:
    """Turn one array into an RGB picture.

    Args:
        array: h x w, h x w x c or c x h x w with c in 1, 3, 4; uint8, or floats in [0, 1].
        name: what messages call the picture.
        max_pixels: the most pixels allowed.
        channels_first: how to read a shape that fits both, as 3 x 5 x 3.

    Raises:
        DataError: another shape or type, NaN or infinite values, or floats outside [0, 1].
    """
    pixels = np.asarray(array)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or not ({pixels.shape[0], pixels.shape[-1]} & set(_MODES)):
        raise DataError(
            f"{name}: shape {np.shape(array)} is not one picture; give h x w, h x w x c or "
            "c x h x w with c = 1, 3 or 4 (of a batch, a list of its pictures)."
        )
    first, last = pixels.shape[0] in _MODES, pixels.shape[-1] in _MODES
    if first and (channels_first or not last):
        pixels = np.moveaxis(pixels, 0, -1)
    if 0 in pixels.shape:
        raise DataError(f"{name}: shape {np.shape(array)} holds no pixels.")
    height, width, channels = pixels.shape
    check_size((width, height), name, max_pixels)
    pixels = np.ascontiguousarray(_eight_bits(pixels, name))
    return to_rgb(Image.fromarray(pixels[..., 0] if channels == 1 else pixels), name)


def _eight_bits(pixels: Any, name: str) -> Any:
    if pixels.dtype == np.uint8:
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise DataError(f"{name}: pixels are {pixels.dtype}; give uint8, or floats in [0, 1].")
    low, high = float(pixels.min()), float(pixels.max())  # NaN if any pixel is
    if not (math.isfinite(low) and math.isfinite(high)):
        raise DataError(f"{name}: holds NaN or infinite pixels; give floats in [0, 1].")
    if low < 0 or high > 1:
        raise DataError(
            f"{name}: floats lie in [{low:g}, {high:g}]; give them in [0, 1], "
            "before any normalisation (0 to 255: divide by 255)."
        )
    return np.rint(pixels.astype(np.float32) * 255).astype(np.uint8)
