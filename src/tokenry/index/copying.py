"""An index from one store into another: no text is encoded again."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from tokenry.errors import StoreError, UsageError
from tokenry.index import catalogue, columns
from tokenry.index.catalogue import Catalogue
from tokenry.index.folder import FILE, PROJECTION, TOKENS, Settings, check_free, lock
from tokenry.index.store import Keys, Size, TokenStore
from tokenry.index.stores import check_store, open_store


def copy_index(source: str | Path, target: str | Path, *, store: str) -> Size:
    """Copy an index, with its token vectors in another store.

    What was committed when the copy began is copied; the source stays as it is. When it is killed,
    the same call goes on where it stopped: the target is an index only once it is complete.
    Vectors that were compressed come as what their codes stand for.

    Args:
        source: The folder of an index.
        target: A folder that holds no index yet.
        store: Where the vectors shall lie, such as `lance` or `qdrant(at='http://...')`.

    Returns:
        What the target's store holds.

    Raises:
        StoreError: If the source cannot be read or the target written.
        UsageError: If there is an index at the target already, or none to copy yet.
        UnknownNameError: If there is no such store.
    """
    here, there = Path(source), Path(target)
    check_store(store)
    settings = Settings.read(here)
    if settings.shape is None:
        raise UsageError(f"{here}: holds no documents yet; make a new index with store={store!r}.")
    check_free(there)
    with columns.explained(there):
        there.mkdir(parents=True, exist_ok=True)
    with lock(there):
        if (there / FILE).is_file():
            raise UsageError(f"{there}: holds an index already; name a new folder.")
        _copy_files(here, there)
        with (
            closing(Catalogue(there, write=False)) as texts,
            open_store(settings.store, here / TOKENS, settings.shape, write=False) as old,
            open_store(store, there / TOKENS, settings.shape, write=True) as new,
        ):
            known = texts.keys()
            _copy_vectors(old, new, texts)
            size = new.size()
        if size.documents != len(known):
            raise StoreError(
                f"{here}: of {len(known)} documents {size.documents} have vectors; the index was "
                "changed meanwhile. Run the same again."
            )
        replace(settings, store=store).write(there)
    return size


def _copy_files(here: Path, there: Path) -> None:
    """The texts, as one committed state of them, and the projection."""
    with columns.explained(there):
        if (here / PROJECTION).is_file():
            shutil.copyfile(here / PROJECTION, there / PROJECTION)
    origin = (here / catalogue.FILE).resolve().as_uri() + "?mode=ro"
    try:
        with (
            closing(sqlite3.connect(origin, uri=True)) as old,
            closing(sqlite3.connect(there / catalogue.FILE)) as new,
        ):
            old.backup(new)
    except sqlite3.Error as error:
        raise StoreError(
            f"{here / catalogue.FILE}: cannot be copied to {there}: {error}."
        ) from error


def _copy_vectors(old: TokenStore, new: TokenStore, texts: Catalogue) -> None:
    held, known = new.keys(), texts.keys()
    new.delete(np.setdiff1d(held, known))  # of a copy that began before documents were deleted
    missing = np.setdiff1d(known, held)
    for block in old.scan(missing[missing > held.max(initial=0)], tokens=1 << 16):
        new.check(block.tokens, _names(texts, block.keys))
        new.add(block.keys, block.tokens, old.pooled(block.keys))
        new.commit()
    new.compact()


def _names(texts: Catalogue, keys: Keys) -> Callable[[int], str]:
    def name(place: int) -> str:
        key = int(keys[place])
        return texts.entries([key])[key].document.id

    return name
