"""`tokenry.chunks`: which chunks to index, of your documents, for your questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenry import catalog
from tokenry.compare.chunked import FIGURES, Chunked, Chunks
from tokenry.compare.records import Interval, Verdict
from tokenry.compare.stats import mean_interval, resampled_means, verdict
from tokenry.data import TextData, load_text
from tokenry.data.evidence import Question, chunking, load_questions
from tokenry.errors import MissingExtraError, UsageError
from tokenry.method import Chunker, ChunkMeasure, Document, Embed
from tokenry.ops.segments import sections, words
from tokenry.ops.spans import Offsets, Spans, in_tokens, spans
from tokenry.progress import showing, track
from tokenry.zoo.tokenizer import tokenizer

USUAL = (
    "fixed-chunks(size=200)",
    "fixed-chunks(size=50)",
    "recursive-chunks(size=200)",
    "sentence-chunks(size=50)",
    "section-chunks(size=400)",
)
"""Chunkers that are compared where none are named."""
BY_MEANING = ("kamradt-chunks(size=200)", "cluster-chunks(size=200)")
"""And these where an encoder is named."""

Rank = Callable[[Sequence[str], Sequence[str], int], NDArray[np.int64]]
"""Chunks, questions and a number to the best chunks of each question."""


@dataclass(frozen=True, slots=True)
class _Corpus:
    """Documents with their tokens, and the questions' evidence in the unit that is measured."""

    documents: tuple[Document, ...]
    tokens: tuple[Offsets, ...]
    questions: tuple[Question, ...]
    evidence: tuple[Spans, ...]


def chunks(
    documents: Any,
    questions: str | PathLike[str] | Sequence[Question] | None = None,
    chunkers: Sequence[str | Chunker] | None = None,
    *,
    encoder: str | Embed | None = None,
    tokens: str | None = None,
    metric: str | ChunkMeasure = "chunk-metrics",
    seed: int = 0,
    progress: bool | None = None,
) -> Chunks:
    """Cut documents in several ways and say what retrieval brings back of the evidence.

    Args:
        documents: A folder, file, table or list of texts, or "chunking" for two documents with 132
            questions that ship.
        questions: A .jsonl, .csv or .parquet table with columns question, document and evidence
            (see `tokenry.data.evidence.load_questions`), or questions in memory. When not given,
            the headings are the questions, and their sections the evidence.
        chunkers: Names, with settings as in "fixed-chunks(size=100, overlap=20)", or instances; the
            others are compared with the first.
        encoder: What ranks chunks and cuts by meaning: `zoo:NAME`, a folder, a name on the Hub, or
            a function from texts to vectors of length one. When not given, BM25 ranks.
        tokens: The tokenizer that sizes count in: `zoo:NAME`, a folder or a file. When not given,
            the named encoder's; words and marks where there is none.
        metric: Its name with settings, as in "chunk-metrics(k=0, unit=characters)", or an instance.
        seed: Of the resampling.
        progress: Show a bar; None shows one on a terminal.

    Raises:
        UsageError: If an argument is not one of those above, or a chunker needs an encoder.
        UnknownNameError: If there is no such method, data or zoo model.
        DataError: If documents or questions cannot be read, or there are no questions.
        MissingExtraError: If a package of the extra `retrieval` is missing.

    >>> found = chunks("chunking", chunkers=["fixed-chunks(size=400)", "fixed-chunks(size=50)"])
    >>> found.chunkers[1].verdicts["precision"], found.chunkers[1].verdicts["recall"]
    ('better', 'worse')
    """
    texts, asked = _asked(documents, questions)
    measure = catalog.configured(metric, ChunkMeasure, "chunks: metric")
    cutters = _cutters(chunkers, encoder is not None)
    embed = _embedder(encoder)
    named = encoder if isinstance(encoder, str) else None
    offsets = tuple(_offsets(texts, tokens or named))
    corpus = _Corpus(
        tuple(
            Document(text=one.text, tokens=own, embed=embed)
            for one, own in zip(texts.examples, offsets, strict=True)
        ),
        offsets,
        asked,
        tuple(measure.in_unit(spans(list(one.evidence)), offsets) for one in asked),
    )
    rank = by_words if embed is None else by_vectors(embed)
    with showing(progress):
        bar = track(cutters, "chunkers", unit="chunker")
        measured = [_measured(name, cutter, corpus, measure, rank) for name, cutter in bar]
    return Chunks(
        data=texts.name,
        documents=len(offsets),
        size=sum(map(len, offsets)),
        questions=tuple(one.text for one in asked),
        ranker="BM25" if encoder is None else named or "the given encoder",
        metric=measure.describe(),
        chunkers=tuple(_summed(one, measured, seed) for one in measured),
        notes=_notes(questions, documents, tokens or named),
    )


def by_words(texts: Sequence[str], questions: Sequence[str], k: int) -> NDArray[np.int64]:
    """The best chunks of each question by BM25.

    Raises:
        MissingExtraError: If bm25s is not installed.
    """
    try:
        import bm25s
    except ImportError as error:
        raise MissingExtraError("ranking chunks", 'pip install "tokenry[retrieval]"') from error
    index = bm25s.BM25()
    split: Any = {"stopwords": "en", "show_progress": False, "return_ids": False}
    index.index(bm25s.tokenize([*texts], **split), show_progress=False)
    asked = bm25s.tokenize([*questions], **split)
    found, _ = index.retrieve(asked, k=k, show_progress=False)
    return np.asarray(found, dtype=np.int64)


def by_vectors(embed: Embed) -> Rank:
    """Ranks chunks by the product of their vectors with the question's."""

    def rank(texts: Sequence[str], questions: Sequence[str], k: int) -> NDArray[np.int64]:
        scores = embed(questions) @ embed(texts).T
        return np.argsort(-scores, axis=1, kind="stable")[:, :k]

    return rank


@dataclass(frozen=True, slots=True)
class _Measured:
    name: str
    chunks: int
    tokens: float
    retrieved: NDArray[np.float64]
    read: NDArray[np.float64]
    scores: dict[str, NDArray[np.float64]]


def _measured(
    name: str, cutter: Chunker, corpus: _Corpus, measure: ChunkMeasure, rank: Rank
) -> _Measured:
    pieces, texts = [], []
    for number, document in enumerate(corpus.documents):
        cut = cutter.chunk(document)
        pieces += [(number, start, end) for start, end in cut.tolist()]
        texts += [document.text[start:end] for start, end in cut.tolist()]
    where = spans(pieces)
    all_chunks = measure.in_unit(where, corpus.tokens)
    needed = [measure.needed(all_chunks, evidence) for evidence in corpus.evidence]
    k = min(max(needed, default=0) or 1, len(texts))
    order = rank(texts, [one.text for one in corpus.questions], k)
    lengths = _in_tokens(where, corpus.tokens)
    found = [
        measure.measure(all_chunks[row], all_chunks, evidence)
        for row, evidence in zip(order, corpus.evidence, strict=True)
    ]
    counts = [one.retrieved for one in found]
    read = [lengths[row[:count]].sum() for row, count in zip(order, counts, strict=True)]
    return _Measured(
        name=name,
        chunks=len(texts),
        tokens=float(lengths.mean()),
        retrieved=np.asarray(counts, dtype=np.float64),
        read=np.asarray(read, dtype=np.float64),
        scores={each: np.array([getattr(one, each) for one in found]) for each in FIGURES},
    )


def _in_tokens(where: Spans, tokens: Sequence[Offsets]) -> NDArray[np.int64]:
    """Tokens of each chunk, whatever unit is measured."""
    lengths = np.zeros(len(where), dtype=np.int64)
    ends = np.searchsorted(where[:, 0], range(len(tokens) + 1))  # chunks stand by their documents
    for own, start, stop in zip(tokens, ends, ends[1:], strict=False):
        rows = slice(start, stop)
        lengths[rows] = np.diff(in_tokens(where[rows, 1], where[rows, 2], own), axis=1)[:, 0]
    return lengths


def _summed(one: _Measured, measured: Sequence[_Measured], seed: int) -> Chunked:
    first = measured[0]
    figures: dict[str, Interval] = {}
    differences: dict[str, Interval] = {}
    verdicts: dict[str, Verdict] = {}
    for name, scores in one.scores.items():
        base = first.scores[name]
        draws = resampled_means(np.stack((scores, scores - base)), seed)
        figures[name] = mean_interval(scores, draws[0])
        if one is not first:
            differences[name] = mean_interval(scores - base, draws[1])
            verdicts[name] = verdict(scores - base, differences[name], None, True)
    return Chunked(
        name=one.name,
        chunks=one.chunks,
        tokens=one.tokens,
        retrieved=float(one.retrieved.mean()),
        read=float(one.read.mean()),
        figures=figures,
        deviations={name: float(scores.std()) for name, scores in one.scores.items()},
        differences=differences,
        verdicts=verdicts,
        scores={name: tuple(scores.tolist()) for name, scores in one.scores.items()},
    )


def _asked(documents: Any, questions: Any) -> tuple[TextData, tuple[Question, ...]]:
    if isinstance(documents, str) and documents == "chunking":
        shipped = chunking()
        documents = shipped.documents
        questions = shipped.questions if questions is None else questions
    texts = _different(documents if isinstance(documents, TextData) else load_text(documents))
    if questions is None:
        found = headings(texts)
        if not found:
            raise UsageError(
                "chunks: no questions are given, and the documents have no headings to ask for; "
                "give a table of questions."
            )
        return texts, found
    if isinstance(questions, str | PathLike):
        return texts, load_questions(questions, texts)
    if not questions:
        raise UsageError("chunks: the list of questions is empty; give at least one.")
    return texts, tuple(questions)


def _different(texts: TextData) -> TextData:
    """Each text once; data with several questions about a text hold it several times."""
    found = {one.text: one for one in reversed(texts.examples)}
    return replace(texts, examples=tuple(reversed(found.values())))


def headings(texts: TextData) -> tuple[Question, ...]:
    """Headings as questions, their sections as evidence.

    A heading that several sections have is asked with the document's name; one that a document has
    twice is not asked.
    """
    found: dict[str, dict[str, list[tuple[int, int, int]]]] = {}
    for number, one in enumerate(texts.examples):
        for start, end in sections(one.text):
            heading, _, body = one.text[start:end].partition("\n")
            title = heading.strip("#= \t")
            if body.strip("=-~ \n") and title and len(title) < 100:
                place = (number, start + len(heading) + 1, end)
                found.setdefault(title, {}).setdefault(one.id, []).append(place)
    return tuple(
        Question(title if len(places) == 1 else f"{title} {name}", tuple(own))
        for title, places in found.items()
        for name, own in places.items()
        if len(own) == 1
    )


def _cutters(chunkers: Sequence[str | Chunker] | None, embeds: bool) -> list[tuple[str, Chunker]]:
    """The chunkers, each with what the caller calls it."""
    if isinstance(chunkers, str):
        raise UsageError("chunks: chunkers is one text; give a list of names.")
    names = [*USUAL, *(BY_MEANING if embeds else ())] if chunkers is None else chunkers
    found = [catalog.configured(one, Chunker, "chunks") for one in names]
    if not found:
        raise UsageError("chunks: there are no chunkers; give at least one.")
    kept: list[tuple[str, Chunker]] = []
    for name, one in zip(names, found, strict=True):
        if one.embeds and not embeds:
            raise UsageError(
                f"chunks: {one.describe()} cuts where the meaning changes, and no encoder says "
                "where; name one, such as encoder='zoo:minilm-l6'."
            )
        kept.append((name if isinstance(name, str) else one.describe(), one))
    return kept


def _embedder(encoder: str | Embed | None) -> Embed | None:
    if not isinstance(encoder, str):
        return encoder
    from tokenry.plugs.text_encoder import text_encoder

    model = text_encoder(encoder)

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        found = model.encode([*texts], batch_size=32, show_progress_bar=False)
        return np.asarray(found, dtype=np.float32)

    return embed


def _offsets(texts: TextData, name: str | None) -> Iterable[Offsets]:
    if name is None:
        yield from (words(one.text) for one in texts.examples)
        return
    read = tokenizer(name)
    for one in texts.examples:
        encoded = read(
            one.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        found = np.asarray(encoded["offset_mapping"], dtype=np.int64).reshape(-1, 2)
        yield found[found[:, 1] > found[:, 0]]


def _notes(questions: Any, documents: Any, tokens: str | None) -> tuple[str, ...]:
    found = [f"Sizes are in tokens of {tokens}." if tokens else "Sizes are in words and marks."]
    if questions is None and documents != "chunking":
        found.append(
            "The questions are the documents' own headings; chunks that hold their heading have it "
            "easier than for questions that people ask."
        )
    return tuple(found)
