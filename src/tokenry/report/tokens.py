"""Token pictures: which patches of an image became one token, drawn over the image as SVG.

Patches of one group share one tile in the mean colour of their pixels and a thin outline, a dropped
patch is darkened and hatched, a patch that stayed alone shows the image.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tokenry.report.stored import reading

if TYPE_CHECKING:
    from tokenry.compare.records import Picture

Groups = NDArray[np.int16]

HATCH = (
    '<pattern id="hatch" width="0.6" height="0.6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><path d="M0 0h0.16v0.6h-0.16z" fill="#fff" fill-opacity="0.3"/>'
    "</pattern>"
)
"""Definition that `overlay` refers to; once per document."""

LARGEST = 4096
SIDE = 400  # of the embedded image: twice what the page shows at most
_SAMPLES = 4  # pixels of a patch along one side for its mean colour


def image(thumbnail: bytes) -> Image.Image:
    """The image as the model saw it.

    Args:
        thumbnail: WebP or PNG bytes, at most `LARGEST` pixels wide and high.

    Raises:
        StoreError: If they are no such image.
    """
    fault = f"picture is not a WebP or PNG image of at most {LARGEST} x {LARGEST} pixels"
    with (
        reading(fault, Image.DecompressionBombError),
        Image.open(io.BytesIO(thumbnail), formats=("WEBP", "PNG")) as opened,
    ):
        if max(opened.size) > LARGEST:
            raise ValueError(f"{opened.width} x {opened.height} pixels")
        converted: Image.Image = opened.convert("RGB")
        return converted


def data_uri(picture: Image.Image) -> str:
    """The image as a WebP data address, at most `SIDE` pixels wide and high."""
    small = picture.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=86, method=6)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def overlay(groups: Groups, picture: Image.Image) -> str:
    """SVG elements that cover the image; one unit is one patch.

    Args:
        groups: Group of each patch, -1 where dropped; (rows, cols).
        picture: The image, for the colours.
    """
    colors = mean_colors(groups, picture)
    sizes = np.bincount(groups[groups >= 0].ravel(), minlength=len(colors))
    tiles = [
        f'<path fill="{colors[group]}" d="{_runs(groups == group)}"/>'
        for group in np.flatnonzero(sizes > 1)
    ]
    dropped = _runs(groups < 0)
    if dropped:
        tiles.append(f'<path class="gone" d="{dropped}"/><path class="hatch" d="{dropped}"/>')
    merged = (groups >= 0) & (sizes[groups.clip(0)] > 1) if len(sizes) else groups < -1
    return f'{"".join(tiles)}<path class="seam" d="{_seams(groups, merged | (groups < 0))}"/>'


def mean_colors(groups: Groups, picture: Image.Image) -> list[str]:
    """Mean colour of the pixels of each group, as `#rrggbb`; black for an empty group."""
    rows, cols = groups.shape
    size = (cols * _SAMPLES, rows * _SAMPLES)
    pixels = np.asarray(picture.resize(size, Image.Resampling.BOX), dtype=np.float64)
    owner = groups.repeat(_SAMPLES, 0).repeat(_SAMPLES, 1)
    inside = owner >= 0
    count = np.maximum(np.bincount(owner[inside]), 1)
    sums = [np.bincount(owner[inside], pixels[..., channel][inside]) for channel in range(3)]
    means = (np.stack(sums, 1) / count[:, None]).round().astype(int)
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in means]


def is_light(picture: Image.Image) -> bool:
    """Whether most of the image is nearly white, so that white outlines would not show."""
    return float(np.median(np.asarray(picture.convert("L")))) > 215


def count(picture: Picture) -> tuple[int, int]:
    """Patches that are left as tokens, and patches in all."""
    return len(np.unique(picture.groups[picture.groups >= 0])), picture.groups.size


def _runs(mask: NDArray[np.bool_]) -> str:
    """The marked patches as one rectangle for each run in a row."""
    steps = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    starts, ends = np.argwhere(steps == 1), np.argwhere(steps == -1)
    return "".join(
        f"M{x} {y}h{end - x}v1h-{end - x}z"
        for (y, x), (_, end) in zip(starts.tolist(), ends.tolist(), strict=True)
    )


def _seams(groups: Groups, covered: NDArray[np.bool_]) -> str:
    """Lines between patches of different groups where at least one is covered by a tile."""
    across = (groups[1:] != groups[:-1]) & (covered[1:] | covered[:-1])
    along = (groups[:, 1:] != groups[:, :-1]) & (covered[:, 1:] | covered[:, :-1])
    return "".join(
        [f"M{x} {y + 1}h{length}" for y, x, length in _segments(across)]
        + [f"M{x + 1} {y}v{length}" for x, y, length in _segments(along.T)]
    )


def _segments(mask: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Line, start and length of each run of marked places along the rows."""
    steps = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    starts, ends = np.argwhere(steps == 1).tolist(), np.argwhere(steps == -1).tolist()
    return [(line, at, end - at) for (line, at), (_, end) in zip(starts, ends, strict=True)]
