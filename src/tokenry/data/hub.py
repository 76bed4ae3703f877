"""A `datasets.Dataset` with an image column."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from tokenry.data.examples import Example, ImageData
from tokenry.data.files import SPLITS
from tokenry.data.pictures import Encoded, read_file
from tokenry.data.rows import find_column, text_or_none
from tokenry.data.table import LABEL_COLUMNS
from tokenry.errors import DataError


def dataset(
    data: Any, image_column: str | None, label_column: str | None, max_pixels: int
) -> ImageData:
    """Wrap a map-style dataset; pictures stay encoded in it until they are asked for.

    Without `image_column` it is the only column of images; without `label_column` it is `label`, or
    the only column of classes.

    Raises:
        UnknownNameError: a column that was asked for is not there.
        DataError: no image column, several, or no rows.
    """
    import datasets

    name = str(data.info.dataset_name or "dataset")
    names = list(data.column_names)
    images = [key for key, kind in data.features.items() if isinstance(kind, datasets.Image)]
    column = find_column(name, names, image_column, ())
    if column is None and len(images) == 1:
        column = images[0]
    if column is None or column not in images:
        raise DataError(
            f"{name}: column {column!r} does not hold images; its image columns are "
            f"{', '.join(images) or 'none'}; pass path_column= with one of them."
        )
    labels = _labels(data, name, label_column)
    encoded = data.with_format(None).select_columns([column])
    encoded = encoded.cast_column(column, datasets.Image(decode=False))
    split = SPLITS.get(str(data.split))
    examples = []
    for i in range(len(data)):
        row = f"row {i} of {name}"
        picture = Encoded(partial(_bytes, encoded, column, i, row, max_pixels), row, max_pixels)
        examples.append(Example(str(i), labels[i], split, None, {}, picture))
    return ImageData(name, tuple(examples), data.info.license or "not stated", f"datasets: {name}")


def _labels(data: Any, name: str, label_column: str | None) -> list[str | None]:
    import datasets

    column = find_column(name, list(data.column_names), label_column, LABEL_COLUMNS)
    classes = [k for k, kind in data.features.items() if isinstance(kind, datasets.ClassLabel)]
    if column is None and len(classes) == 1:
        column = classes[0]
    if column is None:
        return [None] * len(data)
    values = list(data.with_format(None)[column])
    if column not in classes:
        return [text_or_none(value) for value in values]
    known = data.features[column]
    return [None if v is None or v < 0 else str(known.int2str(v)) for v in values]


def _bytes(encoded: Any, column: str, index: int, name: str, max_pixels: int) -> bytes:
    cell = encoded[index][column]
    if cell is None:
        raise DataError(f"{name}: has no picture.")
    if cell["bytes"] is not None:
        return bytes(cell["bytes"])
    return read_file(Path(cell["path"]), name, max_pixels)
