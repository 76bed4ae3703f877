"""A folder of pictures."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from tokenry.data.decode import SUFFIXES
from tokenry.data.examples import Example, ImageData
from tokenry.data.pictures import Encoded, read_file
from tokenry.errors import DataError

SPLITS = {
    "train": "train",
    "test": "test",
    "val": "test",
    "valid": "test",
    "validation": "test",
}


def folder(root: Path, max_pixels: int) -> ImageData:
    """Find the pictures below a folder; hidden files and folders are left out.

    The first sub-folder's name is the label. If all first sub-folders are named as parts (train
    beside test, val, valid or validation), they give the split and the next level the label.

    Raises:
        DataError: no pictures, a folder that cannot be listed, or a symbolic link that leaves the
            folder or leads to a folder.
    """
    files = _files(root)
    found = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not found:
        what = f"holds {len(files)} files, none of them a picture" if files else "is empty"
        raise DataError(
            f"{root}: {what}; give a folder with {', '.join(sorted(SUFFIXES))} files "
            "(archives are not read: unpack them)."
        )
    tops = {path.relative_to(root).parts[0] for path in found}
    by_part = "train" in tops and len(tops) > 1 and tops <= set(SPLITS)
    return ImageData(
        name=root.resolve().name or str(root),
        examples=tuple(_example(path, root, by_part, max_pixels) for path in found),
        license="not stated",
        source=str(root),
    )


def _example(path: Path, root: Path, by_part: bool, max_pixels: int) -> Example:
    parts = path.relative_to(root).parts
    split = SPLITS[parts[0]] if by_part else None
    above = parts[1:-1] if by_part else parts[:-1]
    name = str(path)
    picture = Encoded(partial(read_file, path, name, max_pixels), name, max_pixels)
    return Example("/".join(parts), above[0] if above else None, split, None, {}, picture)


def _files(root: Path) -> list[Path]:
    """List all files in a fixed order and refuse links that leave."""

    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror}).") from error

    files, strays = [], []
    inside = root.resolve()
    for at, folders, names in os.walk(root, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        strays += [link for name in folders if (link := Path(at, name)).is_symlink()]
        for name in sorted(names):
            path = Path(at, name)
            if path.is_symlink() and inside not in path.resolve().parents:
                strays.append(path)
            elif not name.startswith("."):
                files.append(path)
    if strays:
        raise DataError(
            f"{root}: symbolic links that leave the folder or lead to a folder are not followed: "
            f"{', '.join(map(str, strays[:5]))} ({len(strays)} in all); copy the files instead."
        )
    return sorted(files, key=lambda path: path.relative_to(root).parts)
