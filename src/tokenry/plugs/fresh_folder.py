"""A folder that something is saved in: new or empty before, and whole or not there afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from tokenry.errors import UsageError


def fresh_folder(who: str, out: str | PathLike[str]) -> Path:
    """The folder, before any work is done for it.

    Args:
        who: Begins the message.
        out: Where it will be.

    Raises:
        UsageError: If it is a file, or holds something.
    """
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{who}: {folder} holds something; give a new folder.")
    return folder


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A place to write to, which becomes the folder when all was written.

    >>> with tempfile.TemporaryDirectory() as scratch:
    ...     with whole(Path(scratch) / "made") as place:
    ...         place.mkdir()
    ...     (Path(scratch) / "made").is_dir()
    True
    """
    target = folder.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        place = Path(scratch) / "made"
        yield place
        place.replace(target)
