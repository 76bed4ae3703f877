"""The stores by name: where an index may keep its token vectors."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from tokenry.catalog import parse
from tokenry.errors import UnknownNameError, UsageError
from tokenry.index.store import Shape, TokenStore

STORES: dict[str, str] = {
    "segments": "tokenry.index.segments:SegmentStore",
    "lance": "tokenry.index.lance:LanceStore",
    "graph": "tokenry.index.graph:GraphStore",
    "qdrant": "tokenry.index.qdrant:QdrantStore",
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


def check_bits(text: str, bits: int) -> None:
    """Refuse bits per dimension that a store cannot bring its vectors to.

    Raises:
        UsageError: If it compresses to others, or not at all.
    """
    allowed = _class(text).bits
    if bits not in allowed:
        known = f"compresses to {', '.join(map(str, allowed))}" if allowed else "does not compress"
        raise UsageError(
            f"Index: compress={bits} bits per dimension, and the store {text!r} {known}; "
            + ("give one of them." if allowed else "leave compress out, or take `segments`.")
        )


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
    made: TokenStore = _class(text)(folder, shape, write=write, **parse(text)[1])
    return made


def _class(text: str) -> Any:
    module, _, cls = STORES[parse(text)[0]].partition(":")
    return getattr(import_module(module), cls)
