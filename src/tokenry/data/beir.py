"""A folder in the form of BEIR: corpus.jsonl, queries.jsonl, and qrels as tab-separated tables.

Own queries have the same form with the answers beside each query: `{"query": "...", "relevant":
["id", ...]}`, or `{"id": 2, ...}` where some are more relevant than others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokenry.data.collections import Document, Query
from tokenry.data.files import SPLITS, read_bounded
from tokenry.errors import DataError, UnknownNameError

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels"
TEXT_KEYS = ("query", "text", "question")
MAX_LABELS = 4 * 2**30

Labels = dict[str, dict[str, float | int]]


def corpus(path: Path) -> Iterator[Document]:
    """The documents of a corpus file, one after the other, so that any number fits.

    A title stands before the text, in a line of its own.

    Raises:
        DataError: If a line is not an object with the texts `_id` and `text`.
    """
    for where, row in lines(path):
        text = _text(row, "text", where)
        title = row.get("title") or ""
        if not isinstance(title, str):
            raise DataError(f"{where}: title is {type(title).__name__}; give a text.")
        meta = {"title": title} if title else {}
        yield Document(_id(row, where), f"{title}\n{text}" if title else text, meta)


def queries(path: Path, labels: Mapping[str, Mapping[str, float | int]] | None) -> list[Query]:
    """The queries of a file.

    Args:
        path: The file; each line has a text under `query`, `text` or `question`, and may have an
            id under `_id` or `id` (the line's number when not), `split` and `domain`.
        labels: Relevance by query id; queries that it does not name are left out. When None, each
            line may have its own under `relevant`.

    Raises:
        DataError: If a line is not such an object.
    """
    found = []
    for number, (where, row) in enumerate(lines(path), 1):
        name = _id(row, where, str(number))
        if labels is not None and name not in labels:
            continue
        key = next((key for key in TEXT_KEYS if key in row), None)
        if key is None:
            raise DataError(f"{where}: has none of {', '.join(TEXT_KEYS)}; give the query's text.")
        given = _relevant(row.get("relevant"), where) if labels is None else labels[name]
        split, domain = (_maybe(row, part, where) for part in ("split", "domain"))
        if split is not None:
            split = SPLITS.get(split.lower(), split)
        found.append(Query(name, _text(row, key, where), given, split, domain))
    return found


def qrels(folder: Path, split: str | None) -> tuple[Labels, str]:
    """The labels of one part, and the part's name: the one asked for, or "test", or the only one.

    Raises:
        UnknownNameError: If there is no such part.
        DataError: If a line is not three columns with a number as the third.
    """
    parts = {path.stem: path for path in sorted(folder.glob("*.tsv"))}
    if not parts:
        raise DataError(f"{folder}: holds no .tsv file; give one with query-id, corpus-id, score.")
    chosen = split or ("test" if "test" in parts else next(iter(parts)))
    if split is None and "test" not in parts and len(parts) > 1:
        raise DataError(f"{folder}: holds {', '.join(parts)} and no test; pass split=.")
    if chosen not in parts:
        raise UnknownNameError("split", chosen, parts, f"{folder} has no such file.")
    found: Labels = {}
    for number, line in enumerate(_read(parts[chosen]).splitlines(), 1):
        cells = line.split("\t")
        if number == 1 and cells[-1].strip().lower() == "score":
            continue
        if line.strip():
            query, document, score = _triple(cells, f"{parts[chosen]}: line {number}")
            found.setdefault(query, {})[document] = score
    return found, chosen


def number(text: str, where: str) -> float | int:
    """A label.

    Raises:
        DataError: If it is not a finite number.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e9:
        raise DataError(f"{where}: the label {text!r} is not a number.")
    return int(value) if value == int(value) else value


def lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file with one on each line, and what messages call each line; none is kept.

    Raises:
        DataError: If the file cannot be read, is empty, or a line is not a JSON object.
    """
    empty = True
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise DataError(f"{where} is not JSON ({error}).") from error
        if not isinstance(row, dict):
            raise DataError(f"{where} is not a JSON object.")
        empty = False
        yield where, row
    if empty:
        raise DataError(f"{path}: has no lines; give at least one.")


def _lines(path: Path) -> Iterator[str]:
    with _as_text(path), path.open(encoding="utf-8-sig", newline="\n") as file:
        yield from file


def _read(path: Path) -> str:
    most = MAX_LABELS
    data = read_bounded(path, str(path), most, f"more than the {most:,} that are read.")
    with _as_text(path):
        return data.decode("utf-8-sig")


@contextmanager
def _as_text(path: Path) -> Iterator[None]:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise DataError(f"{path}: is not a plain file.")
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 ({error}).") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error


def _triple(cells: list[str], where: str) -> tuple[str, str, float | int]:
    if len(cells) != 3:
        raise DataError(f"{where} has {len(cells)} columns; give query-id, corpus-id and score.")
    query, document, score = (cell.strip() for cell in cells)
    return query, document, number(score, where)


def _relevant(given: Any, where: str) -> dict[str, float | int]:
    if given is None:
        return {}
    if isinstance(given, str):
        given = [given]
    if isinstance(given, list) and all(isinstance(name, str | int) for name in given):
        return {str(name): 1 for name in given}
    if isinstance(given, dict):
        return {str(name): number(str(label), where) for name, label in given.items()}
    raise DataError(f"{where}: relevant is {given!r}; give ids in a list, or labels by id.")


def _id(row: Mapping[str, Any], where: str, default: str | None = None) -> str:
    found = row.get("_id", row.get("id", default))
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        raise DataError(f"{where}: _id is {found!r}; give a text.")
    return str(found)


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    found = row.get(key)
    if not isinstance(found, str):
        raise DataError(f"{where}: {key} is {type(found).__name__}; give a text.")
    return found


def _maybe(row: Mapping[str, Any], key: str, where: str) -> str | None:
    return None if row.get(key) in (None, "") else _text(row, key, where)
