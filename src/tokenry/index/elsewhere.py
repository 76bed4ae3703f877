"""What a store outside the index's own folder leaves in it: where its vectors are."""

from __future__ import annotations

from pathlib import Path

from tokenry.errors import StoreError, UsageError
from tokenry.index import columns
from tokenry.index.segments import check_format

FILE = "elsewhere.json"
FORMAT = 1


def remembered(folder: Path) -> str:
    """The place that the store of this folder made its own; empty where it made none.

    Raises:
        StoreError: If the file is damaged, or written by a newer version.
    """
    path = folder / FILE
    if not path.is_file():
        return ""
    content = columns.read(path)
    check_format(path, content, FORMAT)
    place = content.get("place")
    if not isinstance(place, str):
        raise StoreError(f"{path}: names no place; it is damaged.")
    return place


def claim(folder: Path, place: str, *, taken: bool) -> None:
    """Note that a place is this folder's, before anything is made there.

    Two indexes at one place would each take the other's documents for leftovers and remove them.

    Args:
        folder: Of the store.
        place: What it is called there.
        taken: Whether something is there already.

    Raises:
        UsageError: If it is another index's.
    """
    held = remembered(folder)
    if held == place:
        return
    if held:
        raise UsageError(f"{folder}: its vectors are at {held!r}, not at {place!r}.")
    if taken:
        raise UsageError(
            f"{folder}: there is something at {place!r} already, which belongs to another index; "
            "name another place."
        )
    with columns.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    columns.replace(folder / FILE, {"format": FORMAT, "place": place})
