"""The one door to all picture data."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tokenry.data.arrays import npz, pictures
from tokenry.data.decode import MAX_PIXELS, SUFFIXES
from tokenry.data.digits import digits
from tokenry.data.drawings import VENDORS, emoji
from tokenry.data.examples import Example, ImageData
from tokenry.data.folder import folder
from tokenry.data.hub import dataset
from tokenry.data.rows import READERS
from tokenry.data.sources import check_on_error, is_dataset, printable, settle, suffix_of
from tokenry.data.table import table
from tokenry.errors import DataError, UnknownNameError, UsageError
from tokenry.progress import track

BUILT_IN: dict[str, Callable[[], ImageData]] = {
    "digits": digits,
    "emoji": emoji,
    **{f"emoji:{vendor}": partial(emoji, vendor) for vendor in VENDORS},
}
_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"}


def load(
    source: Any,
    *,
    limit: int | None = None,
    seed: int = 0,
    path_column: str | None = None,
    label_column: str | None = None,
    name: str | None = None,
    on_error: str = "raise",
    max_pixels: int = MAX_PIXELS,
) -> ImageData:
    """Load pictures from the package, from files or from memory.

    Own pictures are each looked at once here, so that broken ones are found before hours of
    measuring; `Example.image()` decodes them when they are needed.

    Args:
        source: one of

            - `"emoji"`, `"emoji:google"`, `"emoji:twitter"`, `"digits"` (a folder of that name is
              `"./emoji"`);
            - a folder, searched through; the first sub-folders are the labels;
            - a .csv, .jsonl or .parquet table with a column of paths, or an .npz archive;
            - a list of Pillow images, arrays or tensors, or of (picture, label) pairs;
            - a `datasets.Dataset` with an image column.
        limit: keep at most so many, each label, split and domain its share; at least 1.
        seed: chooses which ones `limit` keeps.
        path_column: tables and datasets: the column of paths or images.
        label_column: tables and datasets: the column of labels.
        name: what tables and reports call the data.
        on_error: "raise" stops at pictures that cannot be read and names them; "skip" leaves them
            out with one warning.
        max_pixels: refuse larger pictures before decoding them; at least 1.

    Raises:
        UnknownNameError: no such built-in data or column.
        UsageError: an argument is not one of those above.
        DataError: the source cannot be read, or pictures in it.
        MissingExtraError: the source needs a package that is not installed.

    >>> data = load("emoji", limit=10)
    >>> len(data), len(data.labels), data.domains
    (10, 5, ('google', 'twitter'))
    >>> data[0].image().size
    (64, 64)
    """
    check_on_error(on_error, "load")
    if max_pixels < 1:
        raise UsageError(f"load: max_pixels={max_pixels} is below 1.")
    built_in = isinstance(source, str) and source in BUILT_IN
    takes_columns = is_dataset(source) or (not built_in and suffix_of(source) in READERS)
    if not takes_columns and (path_column or label_column):
        raise UsageError(
            "load: path_column and label_column are for tables and datasets; leave them out here."
        )
    if built_in:
        data = BUILT_IN[source]()
    elif is_dataset(source):
        data = dataset(source, path_column, label_column, max_pixels)
    elif isinstance(source, (str, os.PathLike)):
        data = _from_path(source, path_column, label_column, max_pixels)
    elif isinstance(source, (list, tuple)):
        data = pictures(source, max_pixels)
    else:
        raise UsageError(_unsupported(source))
    data = data if name is None else replace(data, name=name)
    data = data if limit is None else data.limit(limit, seed)
    return data if built_in else _checked(data, on_error)


def _from_path(
    source: str | os.PathLike[str],
    path_column: str | None,
    label_column: str | None,
    max_pixels: int,
) -> ImageData:
    if not str(source):
        raise UsageError("load: source is an empty text; give '.' for this folder.")
    path = Path(source).expanduser()
    suffix = path.suffix.lower()
    if path.is_dir():
        return folder(path, max_pixels)
    if not path.exists():
        if source == path.name and not suffix:
            hint = "Or give a folder, a .csv, .jsonl or .parquet table, or an .npz archive. Texts"
            hint += " such as 'manpages' are for tokenry.data.load_text."
            raise UnknownNameError("data", source, BUILT_IN, hint)
        raise DataError(f"{path}: no such file or folder.")
    if suffix in READERS:
        return table(path, path_column, label_column, max_pixels)
    if suffix == ".npz":
        return npz(path, max_pixels)
    allowed = f"a folder, {', '.join(READERS)} or .npz"
    if suffix in _ARCHIVES:
        raise DataError(f"{path}: archives are not read; unpack it and give the folder.")
    if suffix in SUFFIXES:
        raise DataError(f"{path}: is one picture; give {allowed}, or [PIL.Image.open(path)].")
    raise DataError(
        f"{path}: {suffix or 'a file without suffix'} is not read; give {allowed} "
        "(texts: tokenry.data.load_text)."
    )


def _unsupported(source: Any) -> str:
    kind = f"{type(source).__module__}.{type(source).__qualname__}"
    hint = ""
    if kind.startswith("datasets."):
        hint = " Of a DatasetDict give one part, of a streamed one Dataset.from_list(list(part))."
    return (
        f"load: source is {kind}; give a name, a path, a list of pictures or a datasets.Dataset "
        f"(of a batch: list(batch)).{hint}"
    )


def _checked(data: ImageData, on_error: str) -> ImageData:
    """Look at every picture once; keep the good ones, with notes and printable ids."""
    looks = [_look(one) for one in track(data.examples, "checking pictures", unit="img")]
    return replace(data, examples=settle(looks, data.source, data.noun, on_error, stacklevel=3))


def _look(example: Example) -> Example | DataError:
    try:
        notes = example.picture.seen.notes
    except DataError as error:
        return error
    label = None if example.label is None else printable(example.label)
    return replace(example, id=printable(example.id), label=label, meta={**example.meta, **notes})
