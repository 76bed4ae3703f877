"""Chunkers and encoders beside each other: what is indexed, and how it is shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tokenry.compare.cut import Cut
from tokenry.compare.library import Library
from tokenry.compare.run import compare
from tokenry.compare.shelves import shelf
from tokenry.data import Collection, Document, Query
from tokenry.errors import UsageError
from tokenry.plugs.cutting import cut
from tokenry.plugs.token_encoder import TokenEncoder
from tokenry.plugs.token_windows import PlainReader
from tokenry.retrieval import FixedChunks, IndexSearch

WORDS = ["red", "green", "blue", "apple", "pear", "tree", "house", "car", "road", "sky", "sea"]


@pytest.fixture(scope="module")
def loaded(text_encoder):
    return text_encoder(WORDS)


@pytest.fixture(scope="module")
def encoder(loaded):
    return TokenEncoder("tiny", PlainReader(loaded.model, loaded.processor))


def documents(n=9):
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 5 + 2 * i)) for i in range(n - 1)]
    return tuple(Document(f"d{i}", text) for i, text in enumerate([*texts, "  "]))


@pytest.fixture(scope="module")
def library(encoder):
    return Library(encoder, documents(), None)


def chunked(size=4, **settings):
    return IndexSearch(rankers="maxsim", chunker=f"fixed-chunks(size={size})", **settings)


def test_texts_are_cut_in_the_tokens_of_the_encoder(encoder):
    texts = [one.text for one in documents()]
    found = cut(texts, FixedChunks(size=4), encoder)
    assert sorted({*found[:, 0].tolist()}) == list(range(8))  # the blank one has none
    for number, start, end in found.tolist():
        assert len(texts[number][start:end].split()) <= 4
    assert cut(texts, "cluster-chunks(size=6, piece=2)", encoder).shape[1] == 3
    with pytest.raises(UsageError, match="'bm25' is no chunker"):
        cut(texts, "bm25", encoder)


def test_a_document_counts_as_its_best_chunk(encoder, library):
    place = shelf(library, chunked())
    question = place.question("red apple")
    found = place.rank(question, 20)
    best = {}
    for number, start, end in cut(library.texts, FixedChunks(size=4), encoder).tolist():
        page = encoder.encode([library.texts[number][start:end]]).tokens.values.float()
        score = float((question.vectors @ page.T).max(1).values.sum())
        best[number] = max(best.get(number, -9.0), score)
    assert found.keys.tolist() == [n + 1 for n in sorted(best, key=lambda n: -best[n])]
    assert found.scores.tolist() == pytest.approx(sorted(best.values(), reverse=True), abs=1e-2)
    assert place.rank(question, 3).keys.tolist() == found.keys[:3].tolist()


def test_answers_point_into_the_whole_document(library):
    place = shelf(library, chunked(size=3))
    question = library.question("tree sky apple", True)
    vectors, begins = place._cut._held(7)
    assert len(vectors) == len(library.tokens[7])
    assert begins.tolist() == library.spans[7][:, 0].tolist()
    places, near = place.answers(question, 7)
    best = (question.vectors @ vectors.T).max(1)
    assert places.tolist() == best.indices.tolist()
    assert near == pytest.approx(best.values.numpy(), abs=1e-5)
    assert place.answers(question, 8)[0].tolist() == [-1, -1, -1]


def test_whole_documents_are_left_as_they_are(library):
    assert Cut.of(library, IndexSearch()) is None


@pytest.fixture(scope="module")
def other(loaded, tmp_path_factory):
    """Another model with the same words, in a folder."""
    folder = tmp_path_factory.mktemp("other")
    torch.manual_seed(5)
    model = type(loaded.model)(loaded.model.config)
    model.save_pretrained(folder)
    loaded.processor.save_pretrained(folder)
    return folder


def collection():
    pages = documents(20)
    asked = tuple(
        Query(f"q{i}", " ".join(pages[i].text.split()[:3]), {f"d{i}": 1}) for i in range(4)
    )
    return Collection("small", asked, "CC0-1.0", "made for tests", pages)


def test_encoders_and_chunkers_stand_side_by_side(loaded, other, tmp_path, monkeypatch):
    methods = [
        IndexSearch(rankers="maxsim"),
        chunked(size=3),
        IndexSearch(rankers="maxsim", encoder=str(other)),
        chunked(size=3, encoder=str(other)),
        IndexSearch(rankers="pooled", encoder=str(other)),
    ]
    found = compare(loaded, methods, collection(), keep=1, folder=tmp_path, progress=False)
    scores = {one.method: one.score.value for one in found.summary()}
    assert len(scores) == 6
    overlap = {one.method: one.figures.get("overlap") for one in found.summary()}
    assert overlap[methods[0].card.slug + "(rankers='maxsim')"] == 1
    mine = {m: v for m, v in overlap.items() if "encoder=" in m}
    assert len(mine) == 3
    assert min(mine.values()) < 1  # another encoder ranks otherwise
    pictures = [p for p in found.pictures(worst=4) if "encoder=" in p.method]
    assert pictures
    assert all(p.groups[0].max() < 5 + 2 * 18 for p in pictures)
    made = TokenEncoder("tiny", PlainReader(loaded.model, loaded.processor))
    monkeypatch.chdir(tmp_path)
    for number, label in enumerate(m for m in found.methods if m != "none"):
        (tmp_path / str(number)).mkdir()
        monkeypatch.chdir(tmp_path / str(number))
        space = {"encoder": made}
        exec(found.code(label, 1.0), space)  # noqa: S102 - the report's own lines
        assert "hits" in space


def test_an_encoder_that_was_tuned_again_is_another(other):
    from tokenry.compare.configurations import configure

    def identity():
        return configure([IndexSearch(encoder=str(other))], [1.0])[1][1].identity

    before = identity()
    assert before == identity() != configure([IndexSearch(encoder="zoo:x")], [1.0])[1][1].identity
    (other / "more.safetensors").write_bytes(b"tuned")
    assert identity() != before
