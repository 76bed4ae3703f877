"""Checks of chunkers: nothing is lost, nothing is out of order, nothing is too long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from tokenry.checks.declaration import variants
from tokenry.method import Chunker, Document
from tokenry.ops.segments import counter, words

TEXTS = (
    "",
    " \n\t ",
    "word",
    "# Title\n\nFirst one. Second one!  Is there a third?\n\n" * 40,
    "NAME\n       tool - do it\n\nSYNOPSIS\n       tool [-x]\n" * 20,
    "nospaces" * 300 + "\n" + "数字。文字。" * 100,
)
"""A blank one, one word, Markdown, a manual page, and what cannot be cut nicely."""


def embed(texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
    """Vectors of length one that depend on the letters alone."""
    counts = np.array([[1 + text.count(letter) for letter in "aeinorst"] for text in texts])
    found: Float[np.ndarray, "n d"] = counts / np.linalg.norm(counts, axis=1, keepdims=True)
    return found


def _documents() -> list[Document]:
    return [Document(text=text, tokens=words(text), embed=embed) for text in TEXTS]


def covers(cls: type[Chunker]) -> str:
    """Every character that is not blank lies in a chunk."""
    for method in variants(cls):
        for document in _documents():
            inside = np.zeros(len(document.text), dtype=bool)
            for start, end in method.chunk(document).tolist():
                inside[start:end] = True
            lost = [at for at in np.flatnonzero(~inside) if not document.text[at].isspace()]
            if lost:
                return f"{method.describe()} loses character {lost[0]} of {document.text[:30]!r}."
    return ""


def order(cls: type[Chunker]) -> str:
    """Chunks are in reading order, inside the document, and hold something."""
    for method in variants(cls):
        for document in _documents():
            found = method.chunk(document)
            if found.shape != (len(found), 2) or not np.issubdtype(found.dtype, np.integer):
                return (
                    f"{method.describe()} gives {found.dtype} {found.shape}, not integers (n, 2)."
                )
            inside = (found[:, 0] >= 0) & (found[:, 1] <= len(document.text))
            if not (inside & (found[:, 0] < found[:, 1])).all():
                return f"{method.describe()} gives an empty chunk, or one outside the document."
            if (np.diff(found, axis=0) < 0).any():
                return f"{method.describe()} gives chunks out of order."
    return ""


def size(cls: type[Chunker]) -> str:
    """No chunk has more tokens than `size`, if the class says so."""
    settings: list[dict[str, Any]] = [{"size": 60}, {"size": 200}]
    for method in [cls(**one) for one in settings] if cls.bounded else []:
        for document in _documents():
            tokens = counter(document.tokens)
            for start, end in method.chunk(document).tolist():
                if tokens(start, end) > method.size:
                    return f"{method.describe()} gives a chunk of {tokens(start, end)} tokens."
    return ""


def repeat(cls: type[Chunker]) -> str:
    """Two runs agree."""
    for method in variants(cls):
        for document in _documents():
            if method.chunk(document).tolist() != method.chunk(document).tolist():
                return f"{method.describe()} cuts the same text in two ways."
    return ""
