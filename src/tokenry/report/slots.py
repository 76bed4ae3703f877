"""Cache pictures: which slots survived, by layer and token, above the text in tints."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tokenry.report import words
from tokenry.report.stored import reading

Shares = NDArray[np.int16]
"""For each layer and token the share of key heads that hold it, in percent."""

COLUMNS = 480
"""Columns of a map; longer texts have several tokens in one."""
LEVELS = 5
"""Tints of a token: held by no layer, then by up to a quarter, half, three quarters, all."""
BUDGET = 14_000
"""Tokens of tinted text on a page, shared by its pictures."""
_BLUE = (34, 116, 224)  # reads on white and on black
_STEPS = 15  # shades of the map: more would not be told apart, and would take more bytes


def pieces(thumbnail: bytes) -> list[str]:
    """The text of each token.

    Args:
        thumbnail: A JSON list of texts.

    Raises:
        StoreError: If it is none.
    """
    with reading("text cannot be read"):
        found = json.loads(thumbnail)
        if not (isinstance(found, list) and all(isinstance(piece, str) for piece in found)):
            raise ValueError("not a list of texts")
        return found


def heat(shares: Shares) -> str:
    """The map as a WebP data address."""
    return data_uri(image(shares), "WEBP", lossless=True, quality=100, exact=True)


def data_uri(picture: Image.Image, kind: str, **settings: Any) -> str:
    """An image as a data address."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **settings)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{encoded}"


def image(shares: Shares) -> Image.Image:
    """The map: one row per layer, blue where slots are held."""
    layers, n = shares.shape
    columns = min(n, COLUMNS)
    edges = np.linspace(0, n, columns + 1).round().astype(int)[:-1]
    width = np.diff([*edges, n])
    mean = np.add.reduceat(shares, edges, axis=1, dtype=np.int64) / width / 100
    pixels = np.empty((layers, columns, 4), np.uint8)
    pixels[..., :3] = _BLUE
    pixels[..., 3] = np.round(mean.clip(0, 1) * _STEPS) * (255 // _STEPS)
    return Image.fromarray(pixels)


def tints(shares: Shares) -> list[int]:
    """The tint of each token, from 0 (no layer holds it) to `LEVELS - 1`."""
    mean = shares.mean(0) / 100
    return [int(level) for level in np.ceil(mean * (LEVELS - 1)).clip(0, LEVELS - 1)]


def holding(shares: Shares) -> list[int]:
    """How many layers hold each token, counted by the share of their heads that do."""
    return [int(n) for n in np.round(shares.sum(0) / 100)]


def gone(shares: Shares) -> int:
    """Tokens that no layer holds."""
    return int((shares.max(0) == 0).sum())


def excerpt(total: int, most: int) -> tuple[range, range]:
    """Which tokens are shown: all, or the first third and the last two of as many as fit."""
    if total <= most:
        return range(total), range(0)
    first = most // 3
    return range(first), range(total - (most - first), total)


def marked(texts: Sequence[str], shares: Sequence[Shares], shown: range) -> list[tuple[str, ...]]:
    """Each token as class names, a title and its text.

    Args:
        texts: The text of each token.
        shares: What each keep left of it; tint and count stand in this order.
        shown: Which tokens.
    """
    tint = [tints(one) for one in shares]
    held = [holding(one) for one in shares]
    return [
        (
            " ".join(f"{letter(k)}{levels[i]}" for k, levels in enumerate(tint)),
            f"{i + 1}: {', '.join(str(counts[i]) for counts in held)}",
            words.piece(texts[i]),
        )
        for i in shown
    ]


def letter(index: int) -> str:
    """The letter that stands for a keep in class names.

    >>> letter(0), letter(27)
    ('a', 'bb')
    """
    return chr(97 + index % 26) * (1 + index // 26)
