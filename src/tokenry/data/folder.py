"""A folder of pictures."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tokenry.data.decode import SUFFIXES
from tokenry.data.examples import Example, ImageData
from tokenry.data.files import Place, place, walk
from tokenry.data.pictures import Encoded, read_file
from tokenry.errors import DataError


def folder(root: Path, max_pixels: int) -> ImageData:
    """Find the pictures below a folder; hidden files and folders are left out.

    The first sub-folder's name is the label. If all first sub-folders are named as parts (train
    beside test, val, valid or validation), they give the split and the next level the label.

    Raises:
        DataError: no pictures, a folder that cannot be listed, or a symbolic link that leaves the
            folder or leads to a folder.
    """
    files = walk(root)
    found = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not found:
        what = f"holds {len(files)} files, none of them a picture" if files else "is empty"
        raise DataError(
            f"{root}: {what}; give a folder with {', '.join(sorted(SUFFIXES))} files "
            "(archives are not read: unpack them; texts: tokenry.data.load_text)."
        )
    return ImageData(
        name=root.resolve().name or str(root),
        examples=tuple(_example(at, max_pixels) for at in place(root, found)),
        license="not stated",
        source=str(root),
    )


def _example(at: Place, max_pixels: int) -> Example:
    name = str(at.path)
    picture = Encoded(partial(read_file, at.path, name, max_pixels), name, max_pixels)
    return Example(at.id, at.group, at.split, None, {}, picture)
