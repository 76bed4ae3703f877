"""Questions about documents with the stretches that answer them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenry.data.rows import READERS, find_column
from tokenry.data.texts import TextData, TextExample
from tokenry.errors import DataError

FOLDER = Path(__file__).parent / "chunking"
LICENSE = "MIT (questions); SOURCES.md (documents)"
QUESTIONS, DOCUMENTS, EVIDENCE = (
    ("question", "query"),
    ("document", "corpus_id", "doc_id", "id"),
    ("evidence", "references", "answers"),
)
"""Columns of a table of questions, the usual name first."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question and its evidence.

    Attributes:
        text: What is asked.
        evidence: Stretches of documents: number in the data, first character, end left out.
    """

    text: str
    evidence: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """Documents and what is asked about them.

    Attributes:
        documents: The documents.
        questions: Questions, each with evidence in at least one of them.
    """

    documents: TextData
    questions: tuple[Question, ...]


def chunking(folder: str | os.PathLike[str] | None = None) -> Asked:
    """Return 132 questions about two documents that ship, or all 472 about five from a folder.

    Args:
        folder: One with `questions.csv` and `corpora/*.md` in it, as the repository
            brandonstarxel/chunking_evaluation has them; None for what ships.

    Raises:
        DataError: If the folder does not hold them.

    >>> asked = chunking()
    >>> len(asked.documents), len(asked.questions)
    (2, 132)
    """
    root = FOLDER if folder is None else Path(folder)
    files = sorted((root / "corpora").glob("*.md"))
    if not files:
        raise DataError(f"{root}: holds no corpora/*.md; give the folder of chunking_evaluation.")
    try:
        texts = [file.read_text(encoding="utf-8") for file in files]
    except (OSError, UnicodeError) as error:
        raise DataError(f"{root}: its documents cannot be read as UTF-8 ({error}).") from error
    made = tuple(
        TextExample(file.name, text, domain=file.stem)
        for file, text in zip(files, texts, strict=True)
    )
    documents = TextData("chunking", made, LICENSE, "chunking_evaluation, Smith and Troynikov 2024")
    return Asked(documents, load_questions(root / "questions.csv", documents))


def load_questions(path: str | os.PathLike[str], documents: TextData) -> tuple[Question, ...]:
    """Read questions with their evidence from a .jsonl, .csv or .parquet table.

    Columns are question; document, the id of one, which may lack its suffix; and evidence: a list
    of quotes, or of {"start": 3, "end": 9}, or what chunking_evaluation calls references. A quote
    is looked for as it is, then without regard to blanks.

    Args:
        path: The table.
        documents: What it asks about.

    Raises:
        DataError: If the table cannot be read, or a row's document or evidence is not there.
        UnknownNameError: If a column is missing.
    """
    table = Path(path)
    if table.suffix.lower() not in READERS:
        raise DataError(f"{table}: is no table; give {', '.join(READERS)}.")
    names, fetch = READERS[table.suffix.lower()](table)
    wanted = [find_column(table, names, None, kind) for kind in (QUESTIONS, DOCUMENTS, EVIDENCE)]
    for column, usual in zip(wanted, (QUESTIONS, DOCUMENTS, EVIDENCE), strict=True):
        if column is None:
            raise DataError(
                f"{table}: none of its columns ({', '.join(names) or 'none'}) is named "
                f"{' or '.join(usual)}."
            )
    columns = [str(column) for column in wanted]
    known = _by_name(documents)
    found = []
    for number, row in enumerate(fetch(columns), 1):
        where = f"row {number} of {table}"
        asked, name, cell = (row.get(column) for column in columns)
        if not (isinstance(asked, str) and asked.strip()):
            raise DataError(f"{where}: has no question.")
        if str(name) not in known:
            raise DataError(
                f"{where}: {name!r} is no document; there are {', '.join(known)[:300]}."
            )
        document = known[str(name)]
        text = documents.examples[document].text
        spans = [_place(one, text, where) for one in _listed(cell, where)]
        found.append(Question(asked, tuple((document, *span) for span in spans)))
    if not found:
        raise DataError(f"{table}: has no rows; give at least one question.")
    return tuple(found)


def locate(quote: str, text: str) -> tuple[int, int] | None:
    """Where a quote first stands in a text, if need be without regard to blanks.

    >>> locate("a b", "x a  b y")
    (2, 6)
    """
    at = text.find(quote)
    if at >= 0:
        return at, at + len(quote)
    parts = [re.escape(word) for word in quote.split()]
    match = re.search(r"\s+".join(parts), text) if parts else None
    return match.span() if match else None


def _by_name(documents: TextData) -> dict[str, int]:
    """Numbers by id, and by what is left of an id without suffix where that is clear."""
    short = [example.id.rpartition(".")[0] or example.id for example in documents.examples]
    names = {name: i for i, name in enumerate(short) if short.count(name) == 1}
    return names | {example.id: i for i, example in enumerate(documents.examples)}


def _listed(cell: Any, where: str) -> Sequence[Any]:
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except (json.JSONDecodeError, RecursionError):
            cell = [cell]
    cell = [cell] if isinstance(cell, dict) else cell
    if not (isinstance(cell, list) and cell):
        raise DataError(f"{where}: has no evidence; give a list of quotes or of start and end.")
    return cell


def _place(one: Any, text: str, where: str) -> tuple[int, int]:
    if isinstance(one, dict):
        start = one.get("start", one.get("start_index"))
        end = one.get("end", one.get("end_index"))
        if start is None and end is None:
            one = one.get("content", one.get("text"))
        elif isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(text):
            return start, end
        else:
            raise DataError(
                f"{where}: evidence from {start!r} to {end!r} is not inside the document of "
                f"{len(text):,} characters."
            )
    span = locate(one, text) if isinstance(one, str) and one.strip() else None
    if span is None:
        raise DataError(f"{where}: {str(one)[:80]!r} does not stand in the document; quote it.")
    return span
