"""A folder in the form of TREC: documents and topics between tags, qrels in four columns.

What Cranfield and the older TREC collections look like. The files are not XML, even where they say
so: they hold bare ampersands and no single root, and are read tag by tag.
"""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tokenry.data.beir import Labels, number
from tokenry.data.collections import Document, Query
from tokenry.data.files import read_bounded
from tokenry.errors import DataError

MAX_FILE = 2**30
"""Bytes of topics and of labels; documents are read one after the other."""

LONGEST = 1 << 24
"""Letters of a document."""

_BLOCK = 1 << 17
_DOCUMENT = re.compile(r"<doc>(.*?)</doc>", re.I | re.S)
_OPENED = re.compile("<doc>", re.I)
_TOPIC = re.compile(r"<top>(.*?)(?=</top>|<top>|\Z)", re.I | re.S)
_TAG = re.compile(r"<[^>]{0,80}>")


class Parts(NamedTuple):
    """The files of such a folder."""

    documents: Path
    topics: Path
    labels: Path


def parts(folder: Path) -> Parts | None:
    """The files of a folder of this form; None if it is none.

    Raises:
        DataError: If the folder holds several files of a kind.
    """
    heads = {path: _head(path) for path in sorted(folder.iterdir()) if path.is_file()}
    kinds = {
        "documents": [path for path, head in heads.items() if "<docno>" in head],
        "topics": [path for path, head in heads.items() if "<top>" in head],
        "qrels": [path for path in heads if "qrel" in path.name.lower()],
    }
    if not all(kinds.values()):
        return None
    for kind, found in kinds.items():
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise DataError(f"{folder}: holds several files of {kind} ({names}); leave one.")
    return Parts(*(found[0] for found in kinds.values()))


def documents(path: Path) -> Iterator[Document]:
    """The documents: all text between the tags but the number; a title stands at the beginning.

    A text that begins with its own title is not given it twice. One is read after the other, so
    that any number fits.

    Raises:
        DataError: If there is none, or one has no number or no end.
    """
    place = 0
    for place, body in enumerate(_bodies(path), 1):
        fields = _fields(body)
        if "docno" not in fields:
            raise DataError(f"{path}: document {place} has no <docno>.")
        title, text = fields.get("title", ""), fields.get("text", "")
        whole = text if text.startswith(title) else f"{title}\n{text}"
        yield Document(fields["docno"], whole, {"title": title} if title else {})
    if not place:
        raise DataError(f"{path}: holds no <doc> ... </doc>.")


def queries(path: Path, labels: Labels) -> list[Query]:
    """The topics that have labels.

    In Cranfield the topics carry numbers with gaps, and the labels count the topics instead. Where
    labels use numbers that no topic has, and count from 1 to the number of topics, they are taken
    as counts, with a warning.

    Raises:
        DataError: If labels name topics that are not there.
    """
    topics = []
    for place, match in enumerate(_TOPIC.finditer(_read(path)), 1):
        fields = _fields(match[1])
        name = fields.get("num", str(place)).removeprefix("Number:").strip()
        topics.append((name, fields.get("title") or fields.get("desc", "")))
    names = {name for name, _ in topics}
    missing = set(labels) - names
    if missing and set(labels) <= {str(i) for i in range(1, len(topics) + 1)}:
        warnings.warn(
            f"{path}: the labels count the topics 1 to {len(topics)}, whose own numbers differ; "
            "they are read as counts, as Cranfield means them.",
            stacklevel=2,
        )
        topics = [(str(i), text) for i, (_, text) in enumerate(topics, 1)]
    elif missing:
        some = ", ".join(sorted(missing)[:3])
        raise DataError(f"{path}: labels name topics that are not there: {some}.")
    return [Query(name, text, labels[name]) for name, text in topics if name in labels]


def qrels(path: Path) -> Labels:
    """The labels: topic, a column nobody reads, document, label.

    Raises:
        DataError: If a line does not have four columns, or its label is no number.
    """
    found: Labels = {}
    for place, line in enumerate(_read(path).splitlines(), 1):
        if not line.strip():
            continue
        cells = line.split()
        if len(cells) != 4:
            raise DataError(
                f"{path}: line {place} has {len(cells)} columns; give topic, 0, document, label."
            )
        found.setdefault(cells[0], {})[cells[2]] = number(cells[3], f"{path}: line {place}")
    return found


def _bodies(path: Path) -> Iterator[str]:
    """What stands between each <doc> and its </doc>."""
    held, place = "", 0
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            while block := file.read(_BLOCK):
                held, end = held + block, 0
                for match in _DOCUMENT.finditer(held):
                    yield match[1]
                    place, end = place + 1, match.end()
                opened = _OPENED.search(held, end)
                rest = opened.start() if opened else max(end, len(held) - len("<doc"))
                held = held[rest:]
                if len(held) > LONGEST:
                    break
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error
    if _OPENED.search(held):
        raise DataError(
            f"{path}: document {place + 1} has no </doc> within {LONGEST:,} letters; is the file "
            "whole?"
        )


def _fields(body: str) -> dict[str, str]:
    """The text behind each opening tag, up to the next one, spaces evened."""
    pieces = re.split(r"<(docno|num|title|desc|narr|text|author|bib)>", body, flags=re.I)
    return {
        tag.lower(): " ".join(html.unescape(_TAG.sub(" ", text)).split())
        for tag, text in zip(pieces[1::2], pieces[2::2], strict=True)
    }


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4096).decode(errors="replace").lower()
    except OSError:
        return ""  # whoever reads the folder as plain files says that this one cannot be read


def _read(path: Path) -> str:
    data = read_bounded(path, str(path), MAX_FILE, f"more than the {MAX_FILE:,} that are read.")
    return data.decode("utf-8-sig", "replace")
