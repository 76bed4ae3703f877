"""Texts from a folder, a file, a list, a table or a `datasets.Dataset`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenry.data.files import SPLITS, place, read_bounded, walk
from tokenry.data.rows import find_column, read_split, text_or_none
from tokenry.data.sources import printable
from tokenry.data.texts import TextExample
from tokenry.errors import DataError

_KINDS = (
    "txt text md markdown rst adoc org tex html htm xml json yaml yml toml ini cfg log "
    "py pyi js jsx ts tsx css c h cc cpp hpp cs java kt scala swift go rs rb php pl lua r jl hs "
    "sh sql"
)
SUFFIXES = frozenset(f".{kind}" for kind in _KINDS.split())
TEXT_COLUMNS = ("text", "context", "document", "passage", "content")
QUESTION_COLUMNS = ("question",)
ANSWER_COLUMNS = ("answers", "answer")

Read = TextExample | DataError
Fetch = Callable[[list[str]], Iterable[dict[str, Any]]]


class Found(NamedTuple):
    """What a source holds: each text, or why it cannot be read."""

    name: str
    texts: list[Read]
    license: str = "not stated"


class Columns(NamedTuple):
    """Names of columns that the caller gave."""

    text: str | None
    question: str | None
    answer: str | None


def text_folder(root: Path, max_bytes: int) -> Found:
    """Read the text files below a folder; the first sub-folder's name is the domain.

    Raises:
        DataError: no texts, a folder that cannot be listed, or a symbolic link that leaves the
            folder or leads to a folder.
    """
    files = walk(root)
    found = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not found:
        what = f"holds {len(files)} files, none of them a text" if files else "is empty"
        raise DataError(
            f"{root}: {what}; give a folder with {', '.join(sorted(SUFFIXES))} files "
            "(pictures: tokenry.data.load)."
        )
    texts = [_read(at.path, at.id, at.split, at.group, max_bytes) for at in place(root, found)]
    return Found(root.resolve().name or str(root), texts)


def text_file(path: Path, max_bytes: int) -> Found:
    """Read one file as one text."""
    return Found(path.stem, [_read(path, path.name, None, None, max_bytes)])


def text_list(items: Sequence[Any], max_bytes: int) -> Found:
    """Wrap a list of texts.

    Raises:
        DataError: an empty list.
    """
    if not items:
        raise DataError("the list holds no texts; give at least one.")
    texts: list[Read] = []
    for i, item in enumerate(items):
        try:
            texts.append(TextExample(str(i), _checked(item, f"text {i} of the list", max_bytes)))
        except DataError as error:
            texts.append(error)
    return Found("texts", texts)


def text_rows(
    source: object,
    names: list[str],
    fetch: Fetch,
    given: Columns,
    max_bytes: int,
    split: str | None = None,
) -> list[Read]:
    """Read the rows of a table or dataset.

    Columns that were not given are the first of text, context, document, passage, content; the
    column question; the first of answers, answer. Columns id, answer_prefix, split and domain are
    read where they are there; a row that names no part has `split`.

    Raises:
        UnknownNameError: a column that was asked for is not there.
        DataError: no column of texts, or no rows.
    """
    columns = {
        "text": find_column(source, names, given.text, TEXT_COLUMNS),
        "question": find_column(source, names, given.question, QUESTION_COLUMNS),
        "answers": find_column(source, names, given.answer, ANSWER_COLUMNS),
        **{
            field: find_column(source, names, None, (field,))
            for field in ("id", "answer_prefix", "split", "domain")
        },
    }
    if columns["text"] is None:
        raise DataError(
            f"{source}: none of its columns ({', '.join(names) or 'none'}) is named "
            f"{', '.join(TEXT_COLUMNS)}; pass text_column=."
        )
    wanted = {field: column for field, column in columns.items() if column is not None}
    rows = fetch(list(dict.fromkeys(wanted.values())))
    texts: list[Read] = []
    ids: Counter[str] = Counter()
    for number, row in enumerate(rows, 1):
        cells = {field: row.get(column) for field, column in wanted.items()}
        name = text_or_none(cells.get("id")) or str(number)
        ids[name] += 1
        cells["id"] = name if ids[name] == 1 else f"{name}#{number}"
        try:
            texts.append(_row(f"row {number} of {source}", cells, split, max_bytes))
        except DataError as error:
            texts.append(error)
    if not texts:
        raise DataError(f"{source}: has no rows; give at least one.")
    return texts


def text_dataset(data: Any, given: Columns, max_bytes: int) -> Found:
    """Read a map-style dataset.

    Raises:
        UnknownNameError: a column that was asked for is not there.
        DataError: no column of texts, or no rows.
    """
    name = str(data.info.dataset_name or "dataset")
    fetch = data.with_format(None).select_columns
    split = SPLITS.get(str(data.split))
    texts = text_rows(name, list(data.column_names), fetch, given, max_bytes, split)
    return Found(name, texts, data.info.license or "not stated")


def _row(name: str, cells: dict[str, Any], split: str | None, max_bytes: int) -> TextExample:
    return TextExample(
        id=printable(cells["id"]),
        text=_checked(cells["text"], name, max_bytes),
        question=text_or_none(cells.get("question")),
        answers=_answers(cells.get("answers"), name),
        answer_prefix=text_or_none(cells.get("answer_prefix")),
        split=read_split(name, cells.get("split")) or split,
        domain=text_or_none(cells.get("domain")),
    )


def _answers(cell: Any, name: str) -> tuple[str, ...]:
    """Read one answer, a list of them, or SQuAD's {"text": [...], "answer_start": [...]}."""
    if isinstance(cell, dict):
        cell = cell.get("text")
    if cell is None or cell == "":
        return ()
    answers = cell if isinstance(cell, list) else [cell]
    if not all(isinstance(answer, (str, int, float)) and str(answer).strip() for answer in answers):
        raise DataError(f"{name}: answers are {cell!r}; give a text or a list of texts.")
    return tuple(dict.fromkeys(map(str, answers)))


def _read(path: Path, name: str, split: str | None, group: str | None, max_bytes: int) -> Read:
    advice = f"more than max_bytes={max_bytes:,}; split it, or raise max_bytes."
    try:
        data = read_bounded(path, str(path), max_bytes, advice)
        if b"\0" in data:
            raise DataError(f"{path}: is binary (it holds zero bytes); give UTF-8 text.")
        text = _checked(data.decode("utf-8-sig"), str(path), max_bytes)
    except UnicodeDecodeError as error:
        return DataError(f"{path}: is not UTF-8 at byte {error.start:,}; save it as UTF-8.")
    except DataError as error:
        return error
    domain = None if group is None else printable(group)
    return TextExample(printable(name), text, split=split, domain=domain)


def _checked(text: Any, name: str, max_bytes: int) -> str:
    if not isinstance(text, str):
        raise DataError(f"{name}: is {type(text).__name__}; give text.")
    if not text.strip():
        raise DataError(f"{name}: is empty; give text.")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise DataError(f"{name}: cannot be written as UTF-8 ({error.reason}).") from error
    if size > max_bytes:
        raise DataError(
            f"{name}: {size:,} bytes is more than max_bytes={max_bytes:,}; split it, or raise "
            "max_bytes."
        )
    return text
