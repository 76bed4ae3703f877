"""The one door to collections: documents and queries, with or without known answers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tokenry.data import beir, trec
from tokenry.data.collections import Collection, Document, Query, strangers
from tokenry.data.files import read_bounded
from tokenry.data.lee import lee
from tokenry.data.synopses import synopses
from tokenry.data.text_loader import load_text
from tokenry.errors import DataError, UnknownNameError, UsageError

BUILT_IN: dict[str, Callable[[], Collection]] = {"lee": lee, "manpages": synopses}
DATA = "TOKENRY_DATA"
"""A folder of collections: a name that is no folder here is looked for there."""


def load_collection(
    source: Any,
    *,
    queries: str | os.PathLike[str] | Sequence[str | Query] | None = None,
    split: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    name: str | None = None,
) -> Collection:
    """Load documents with queries to search them by.

    Args:
        source: One of

            - `"manpages"`: 59 Debian manual pages, by their one-line descriptions (a folder of
              that name is `"./manpages"`);
            - `"lee"`: 50 news texts with human judgements, from the gensim package;
            - a folder in the form of BEIR: `corpus.jsonl`, `queries.jsonl` and `qrels/test.tsv`
              (in `recipes/`, `manpage_collection.py` and `debtags_data.py` make such folders);
            - a folder in the form of TREC: documents and topics between tags, and qrels;
            - own documents, anything that `load_text` takes: then with `queries`, or as a folder
              with `queries.jsonl` among them;
            - the name of a folder inside the one that the environment's TOKENRY_DATA names.
        queries: Own queries: a .jsonl file whose lines have a text under `query` and perhaps ids
            of documents under `relevant` (a list, or labels by id), or a list of texts.
        split: Which part of the qrels; `test` when not given.
        limit: At most so many queries; all documents stay.
        seed: Chooses which ones `limit` keeps.
        name: What tables and reports call it.

    Raises:
        UnknownNameError: No such built-in collection, or split.
        UsageError: An argument is not one of those above.
        DataError: The source cannot be read, or there are no queries in it.

    >>> load_collection("manpages")[0].text
    'Clean up the disk cache'
    """
    built_in = isinstance(source, str) and source in BUILT_IN
    if built_in and not (queries is None and split is None):
        raise UsageError(f"load_collection: {source!r} has its own queries; leave others out.")
    found = BUILT_IN[source]() if built_in else _read(source, queries, split)
    found = found if name is None else replace(found, name=name)
    absent = strangers(found.examples, found.documents)
    if absent:
        warnings.warn(
            f"{found.name}: labels name {len(absent)} documents that are not there, such as "
            f"{min(absent)!r}; they count as not found.",
            stacklevel=2,
        )
    return found if limit is None else found.limit(limit, seed)


def load_queries(given: Any, split: str | None = None) -> list[Query]:
    """Queries alone: of a .jsonl file, of a folder in the form of BEIR or TREC, or of a list.

    Args:
        given: The source; see `load_collection`.
        split: Of a folder: which part of the qrels.

    Raises:
        UsageError: It is something else, or has no parts.
        DataError: It cannot be read.
    """
    if isinstance(given, str | os.PathLike) and Path(given).expanduser().is_dir():
        return _of_folder(Path(given).expanduser(), split)
    if split is not None:
        raise UsageError(f"load_queries: split={split!r} is for folders with {beir.QRELS}/.")
    return _queries(given)


def collection_documents(folder: Path) -> Callable[[], Iterator[Document]] | None:
    """What reads the documents of a folder in the form of BEIR or TREC, from the first on.

    None if it is no such folder. Any number fits: they come one after the other.

    Raises:
        DataError: The folder holds several files of a kind.
    """
    if (folder / beir.CORPUS).is_file():
        return lambda: beir.corpus(folder / beir.CORPUS)
    files = trec.parts(folder)
    return None if files is None else lambda: trec.documents(files.documents)


def _of_folder(folder: Path, split: str | None) -> list[Query]:
    """The queries of a folder with the labels of one part, where it has any."""
    if not (folder / beir.QRELS).is_dir() and not (folder / beir.QUERIES).is_file():
        files = trec.parts(folder)
        if files is not None:
            return _topics(folder, files, split)
    if not (folder / beir.QRELS).is_dir():
        if split is not None:
            raise UsageError(
                f"load_collection: split={split!r}, but {folder} holds no {beir.QRELS}/."
            )
        return beir.queries(folder / beir.QUERIES, None)
    labels, part = beir.qrels(folder / beir.QRELS, split)
    asked = beir.queries(folder / beir.QUERIES, labels)
    if len(asked) < len(labels):
        raise DataError(
            f"{folder}: the labels of {part} name {len(labels) - len(asked)} queries that "
            f"{beir.QUERIES} does not hold."
        )
    return asked


def _read(source: Any, queries: Any, split: str | None) -> Collection:
    folder = _folder(source)
    if folder is None or queries is not None:
        return _own(source if folder is None else folder, queries, split)
    if (folder / beir.CORPUS).is_file():
        return _beir(folder, split)
    if not (folder / beir.QUERIES).is_file():
        files = trec.parts(folder)
        if files is not None:
            return _made(folder, _topics(folder, files, split), trec.documents(files.documents))
        raise DataError(
            f"{folder}: holds neither {beir.CORPUS} (BEIR), nor tagged documents with topics and "
            f"qrels (TREC), nor {beir.QUERIES}; pass queries=, a file or a list of texts."
        )
    return _own(folder, folder / beir.QUERIES, split)


def _folder(source: Any) -> Path | None:
    """The folder that is meant; None if the source is no folder."""
    if not isinstance(source, str | os.PathLike) or not str(source):
        return None
    path = Path(source).expanduser()
    home = os.environ.get(DATA)
    if path.is_dir():
        return path
    if home and not path.exists() and str(source) == path.name:
        inside = Path(home).expanduser() / path.name
        if inside.is_dir():
            return inside
    if str(source) == path.name and not path.suffix and not path.exists():
        hint = f"Or give a folder, or set {DATA} to the folder that holds it."
        raise UnknownNameError("collection", str(source), BUILT_IN, hint)
    return None


def _beir(folder: Path, split: str | None) -> Collection:
    return _made(folder, _of_folder(folder, split), beir.corpus(folder / beir.CORPUS))


def _topics(folder: Path, files: trec.Parts, split: str | None) -> list[Query]:
    if split is not None:
        raise UsageError(f"load_collection: split={split!r}, but {folder} has one part only.")
    return trec.queries(files.topics, trec.qrels(files.labels))


def _own(source: Any, queries: Any, split: str | None) -> Collection:
    if queries is None:
        raise UsageError(
            f"load_collection: queries is not given; give a file like {beir.QUERIES}, or a list of "
            "texts."
        )
    texts = load_text(source)
    documents = [Document(e.id, e.text) for e in texts.examples]
    found = Collection(
        texts.name, tuple(_queries(queries)), texts.license, texts.source, tuple(documents)
    )
    return found if split is None else found.where(split=split)


def _queries(given: Any) -> list[Query]:
    if isinstance(given, str | os.PathLike):
        return beir.queries(Path(given).expanduser(), None)
    if not isinstance(given, list | tuple):
        kind = type(given).__name__
        raise UsageError(f"load_collection: queries is {kind}; give a file or a list of texts.")
    wrong = next((one for one in given if not isinstance(one, str | Query)), None)
    if wrong is not None:
        raise UsageError(f"load_collection: queries holds {wrong!r}; give texts or Query objects.")
    return [Query(str(i), one) if isinstance(one, str) else one for i, one in enumerate(given)]


def _made(folder: Path, queries: list[Query], documents: Iterable[Document]) -> Collection:
    """A collection that a folder holds, with the licence that it states."""
    stated = folder / "LICENSE"
    licence = "not stated"
    if stated.is_file():
        text = read_bounded(stated, str(stated), 2**20, "more than a licence needs.")
        lines = text.decode("utf-8", "replace").strip().splitlines()
        licence = lines[0][:200] if lines else licence
    name = folder.resolve().name or str(folder)
    return Collection(name, tuple(queries), licence, str(folder), tuple(documents))
