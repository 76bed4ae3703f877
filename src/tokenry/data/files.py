"""Files of a folder that may be read: none hidden, none elsewhere, none too large."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tokenry.errors import DataError

SPLITS = {
    "train": "train",
    "test": "test",
    "val": "test",
    "valid": "test",
    "validation": "test",
}


class Place(NamedTuple):
    """A file, what its place in the folder says, and its id."""

    path: Path
    id: str
    split: str | None
    group: str | None


def place(root: Path, found: Sequence[Path]) -> list[Place]:
    """Read parts and groups from the folders' names.

    The first sub-folder's name is the group. If all first sub-folders are named as parts (train
    beside test, val, valid or validation), they give the split and the next level the group.
    """
    tops = {path.relative_to(root).parts[0] for path in found}
    by_part = "train" in tops and len(tops) > 1 and tops <= set(SPLITS)
    places = []
    for path in found:
        parts = path.relative_to(root).parts
        above = parts[1:-1] if by_part else parts[:-1]
        split = SPLITS[parts[0]] if by_part else None
        places.append(Place(path, "/".join(parts), split, above[0] if above else None))
    return places


def walk(root: Path, left: dict[str, str] | None = None) -> list[Path]:
    """List all files below a folder in a fixed order; hidden files and folders are left out.

    Args:
        root: the folder.
        left: takes the folders that cannot be listed and the links that are not followed, and
            why; None refuses them.

    Raises:
        DataError: the folder cannot be listed; or, without `left`, one in it cannot, or there is a
            symbolic link that leaves the folder or leads to a folder.
    """

    def fail(error: OSError) -> None:
        if left is None or Path(error.filename) == root:
            raise DataError(f"{error.filename}: cannot be listed ({error.strerror}).") from error
        closed = Path(error.filename).relative_to(root).as_posix()
        left[f"{closed}/"] = f"cannot be listed ({error.strerror})."

    files, strays = [], []
    inside = root.resolve()
    for at, folders, names in os.walk(root, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        strays += [link for name in folders if (link := Path(at, name)).is_symlink()]
        for name in sorted(names):
            path = Path(at, name)
            if path.is_symlink() and not _leads_into(inside, path):
                strays.append(path)
            elif not name.startswith("."):
                files.append(path)
    if strays and left is None:
        raise DataError(
            f"{root}: symbolic links that leave the folder or lead to a folder are not followed: "
            f"{', '.join(map(str, strays[:5]))} ({len(strays)} in all); copy the files instead."
        )
    if left is not None:
        why = "is a symbolic link to a folder or to another place."
        left |= {path.relative_to(root).as_posix(): why for path in strays}
    return sorted(files, key=lambda path: path.relative_to(root).parts)


def _leads_into(folder: Path, link: Path) -> bool:
    try:
        return folder in link.resolve().parents
    except (OSError, RuntimeError):  # of a link that leads to itself, by the version of Python
        return False


def read_bounded(path: Path, name: str, most: int, advice: str) -> bytes:
    """Read a plain file of at most `most` bytes.

    Args:
        path: the file.
        name: what messages call it.
        most: the most bytes allowed.
        advice: what follows "N bytes is" in the message about a larger file.

    Raises:
        DataError: no such file, not a plain file, not readable, or too large.
    """
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{name}: is not a plain file.")
        size = path.stat().st_size
        if size > most:
            raise DataError(f"{name}: {size:,} bytes is {advice}")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name}: cannot be read ({error}).") from error
