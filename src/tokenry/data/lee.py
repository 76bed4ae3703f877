"""Human judgements of similarity that lie inside the gensim wheel; read there, never copied."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

from tokenry.data.collections import Collection, Document, Query
from tokenry.errors import DataError, MissingExtraError, UnknownNameError

PAIRS = {"wordsim353": "wordsim353.tsv", "simlex999": "simlex999.txt"}
_FOLDER = "gensim/test/test_data"


class Pair(NamedTuple):
    """Two words, and how alike people find them, from 0 to 10."""

    first: str
    second: str
    score: float


def word_pairs(name: str) -> tuple[Pair, ...]:
    """Word pairs with the mean of human scores: "wordsim353" or "simlex999".

    WordSim-353 (Finkelstein et al. 2002) counts relatedness; SimLex-999 (Hill et al. 2015) counts
    similarity only: coast and shore are alike, clothes and closet are not.

    Raises:
        UnknownNameError: If there is no such set.
        MissingExtraError: If gensim is not installed.
    """
    if name not in PAIRS:
        raise UnknownNameError("word pairs", name, PAIRS)
    text = _file(PAIRS[name]).read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(Pair(first, second, float(score)) for first, second, score in rows)


def lee() -> Collection:
    """Fifty news texts, each in turn the query, and how alike people found each other one.

    Relevance is the mean human score, moved and scaled so that the least alike pairs (0.2, the
    lowest step) count as 0 and equals as 1; the table holds each pair once.

    Source: Lee, Pincombe and Welsh 2005.

    Raises:
        MissingExtraError: If gensim is not installed.
    """
    texts = _file("lee.cor").read_text(encoding="latin-1").splitlines()
    rows = _file("similarities0-1.txt").read_text(encoding="utf-8").splitlines()
    half = [[float(cell) for cell in row.split()] for row in rows]
    if not len(texts) == len(half) == len(half[0]):
        raise DataError(f"lee: gensim's files hold {len(texts)} texts and {len(half)} rows.")
    columns = zip(*half, strict=True)
    table = [list(map(max, row, column)) for row, column in zip(half, columns, strict=True)]
    names = [f"news-{i:02}" for i in range(1, len(texts) + 1)]
    return Collection(
        name="lee",
        examples=tuple(
            Query(name, text, {o: _above(s) for o, s in zip(names, row, strict=True) if o != name})
            for name, text, row in zip(names, texts, table, strict=True)
        ),
        license="not stated; read from the gensim package",
        source="Lee, Pincombe and Welsh 2005, in the gensim package",
        documents=tuple(map(Document, names, texts)),
    )


def _above(score: float) -> float:
    return round(max(0.0, score - 0.2) / 0.8, 4)


def _file(name: str) -> Path:
    try:
        folder = Path(str(distribution("gensim").locate_file(_FOLDER)))
    except PackageNotFoundError:
        raise MissingExtraError(name, 'pip install "tokenry[vocab]"') from None
    path = folder / name
    if not path.is_file():
        raise DataError(f"{name}: this release of gensim does not carry it; install gensim 4.3.")
    return path
