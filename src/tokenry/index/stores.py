"""The stores by name: where an index may keep its token vectors."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from tokenry.catalog import parse
from tokenry.errors import UnknownNameError
from tokenry.index.store import Shape, TokenStore

STORES: dict[str, str] = {
    "segments": "tokenry.index.segments:SegmentStore",
}
"""Name of each store, and its class: `Class(folder, shape, write=..., **settings)`."""


def check_store(text: str) -> None:
    """Refuse a name that no store has.

    Raises:
        UnknownNameError: If there is no such store.
    """
    name, _ = parse(text)
    if name not in STORES:
        raise UnknownNameError("store", name, STORES)


def open_store(text: str, folder: Path, shape: Shape, *, write: bool) -> TokenStore:
    """Open a store, or make it.

    Args:
        text: Its name, with settings as in `name(setting=value)`.
        folder: A folder of its own.
        shape: Lengths of the vectors.
        write: Whether anything will be changed.

    Raises:
        UnknownNameError: If there is no such store.
    """
    check_store(text)
    name, settings = parse(text)
    module, _, cls = STORES[name].partition(":")
    made: TokenStore = getattr(import_module(module), cls)(folder, shape, write=write, **settings)
    return made
