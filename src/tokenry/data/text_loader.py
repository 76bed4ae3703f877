"""The one door to all text data."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tokenry.data.documents import (
    SUFFIXES,
    Columns,
    Found,
    text_dataset,
    text_file,
    text_folder,
    text_list,
    text_rows,
)
from tokenry.data.genomes import genomes
from tokenry.data.manpages import manpages
from tokenry.data.prompts import prompts
from tokenry.data.rows import READERS
from tokenry.data.sources import check_on_error, is_dataset, settle, suffix_of
from tokenry.data.texts import TextData
from tokenry.errors import DataError, UnknownNameError, UsageError

BUILT_IN_TEXTS: dict[str, Callable[[], TextData]] = {
    "genomes": genomes,
    "manpages": manpages,
    "prompts": prompts,
}
MAX_BYTES = 16 * 2**20


def load_text(
    source: Any,
    *,
    limit: int | None = None,
    seed: int = 0,
    text_column: str | None = None,
    question_column: str | None = None,
    answer_column: str | None = None,
    name: str | None = None,
    on_error: str = "raise",
    max_bytes: int = MAX_BYTES,
) -> TextData:
    """Load texts, and questions about them, from the package, from files or from memory.

    Own texts are all read here and kept in memory, so that broken ones are found before hours of
    measuring.

    Args:
        source: one of

            - `"manpages"`: questions with exact answers about Debian manual pages (a folder of that
              name is `"./manpages"`);
            - `"genomes"`: bases of four bacteria, to learn from and to test with;
            - `"prompts"`: chat questions, code edits, summaries of manual pages and logs;
            - a folder, searched through for .txt, .md, .rst, .py and other text files; the first
              sub-folders are the domains;
            - one such file;
            - a .csv, .jsonl or .parquet table, or a `datasets.Dataset`, with a column of texts and
              perhaps of questions and answers (one, a list, or SQuAD's form), and of id,
              answer_prefix, split and domain;
            - a list of texts.
        limit: keep at most so many, each split and domain its share; at least 1.
        seed: chooses which ones `limit` keeps.
        text_column: tables and datasets: the column of texts.
        question_column: tables and datasets: the column of questions.
        answer_column: tables and datasets: the column of answers.
        name: what tables and reports call the data.
        on_error: "raise" stops at texts that cannot be read and names them; "skip" leaves them out
            with one warning.
        max_bytes: refuse larger texts; at least 1.

    Raises:
        UnknownNameError: no such built-in data or column.
        UsageError: an argument is not one of those above.
        DataError: the source cannot be read, or texts in it.
        MissingExtraError: the source needs a package that is not installed.

    >>> example = load_text("manpages")[0]
    >>> example.id, example.question, example.answers
    ('htcacheclean.8#1', 'Complete this sentence from the page: Do a dry run and ...',
     ("don't delete anything",))
    """
    check_on_error(on_error, "load_text")
    if max_bytes < 1:
        raise UsageError(f"load_text: max_bytes={max_bytes} is below 1.")
    columns = Columns(text_column, question_column, answer_column)
    built_in = isinstance(source, str) and source in BUILT_IN_TEXTS
    if any(columns) and (built_in or not (is_dataset(source) or suffix_of(source) in READERS)):
        raise UsageError(
            "load_text: text_column, question_column and answer_column are for tables and "
            "datasets; leave them out here."
        )
    if built_in:
        data = BUILT_IN_TEXTS[source]()
    else:
        found, where = _find(source, columns, max_bytes)
        texts = settle(found.texts, where, TextData.noun, on_error, stacklevel=2)
        data = TextData(found.name, texts, found.license, where)
    data = data if name is None else replace(data, name=name)
    return data if limit is None else data.limit(limit, seed)


def _find(source: Any, columns: Columns, max_bytes: int) -> tuple[Found, str]:
    """Read the source; with what messages call it."""
    if is_dataset(source):
        found = text_dataset(source, columns, max_bytes)
        return found, f"datasets: {found.name}"
    if isinstance(source, (list, tuple)):
        return text_list(source, max_bytes), "memory"
    if isinstance(source, (str, os.PathLike)):
        return _from_path(source, columns, max_bytes), str(source)
    kind = f"{type(source).__module__}.{type(source).__qualname__}"
    raise UsageError(
        f"load_text: source is {kind}; give a name, a path, a list of texts or a datasets.Dataset."
    )


def _from_path(source: str | os.PathLike[str], columns: Columns, max_bytes: int) -> Found:
    if not str(source):
        raise UsageError("load_text: source is an empty text; give '.' for this folder.")
    path = Path(source).expanduser()
    suffix = path.suffix.lower()
    allowed = f"a folder, {', '.join(READERS)}, or a text file such as .txt, .md or .py"
    if not _exists(path):
        if source == path.name and not suffix:
            raise UnknownNameError(
                "text data",
                source,
                BUILT_IN_TEXTS,
                f"Or give {allowed} (pictures: tokenry.data.load).",
            )
        short = str(source) if len(str(source)) < 200 else f"{str(source)[:40]} ..."
        raise DataError(f"{short}: no such file or folder; a text itself goes into a list.")
    if path.is_dir():
        return text_folder(path, max_bytes)
    if suffix in READERS:
        names, fetch = READERS[suffix](path)
        return Found(path.stem, text_rows(path, names, fetch, columns, max_bytes))
    if suffix in SUFFIXES:
        return text_file(path, max_bytes)
    raise DataError(f"{path}: {suffix or 'a file without suffix'} is not read; give {allowed}.")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a text, not a name: too long, or with a zero byte
        return False
