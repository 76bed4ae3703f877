"""Comparing what an index finds: reducers, rankers and stores on the same queries."""

from __future__ import annotations

import numpy as np
import pytest

from tokenry.compare.kinds import kind_of
from tokenry.compare.library import Library
from tokenry.compare.results import Results
from tokenry.compare.run import compare
from tokenry.compare.shelves import shelf
from tokenry.data import Collection, Document, Query
from tokenry.errors import UnknownNameError, UsageError
from tokenry.ops.ranking import ndcg
from tokenry.plugs.token_encoder import TokenEncoder
from tokenry.plugs.token_windows import PlainReader
from tokenry.report import matches
from tokenry.report.page import html
from tokenry.retrieval import (
    Bm25,
    IndexSearch,
    PooledVector,
    RandomTokens,
    TokenPooling,
    TokenPruning,
    Warp,
)

HOSTILE = "<script>alert(1)</script>"
WORDS = ["a", "red", "green", "blue", "apple", "pear", "tree", "house", "car", "road", "sky", "sea"]
METHODS = (
    TokenPooling(),
    TokenPruning(by="rare"),
    IndexSearch(),
    IndexSearch(rankers="bm25"),
    IndexSearch(rankers="xtr"),
    IndexSearch(rankers="maxsim", bits=4),
    Bm25(),
    PooledVector(),
    Warp(),
)


@pytest.fixture(scope="module")
def encoder(text_encoder):
    return text_encoder(WORDS)


def documents(n=12):
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 12)) for _ in range(n - 1)]
    return tuple(Document(f"d{i}", text) for i, text in enumerate([*texts, HOSTILE]))


def collection(labelled=True, queries=6):
    pages = documents()
    rng = np.random.default_rng(1)
    asked = [" ".join(rng.choice(pages[i].text.split(), 3)) for i in range(queries - 1)]
    asked.append(f"{HOSTILE} apple")
    return Collection(
        "small",
        tuple(
            Query(f"q{i}", text, {f"d{i}": 2, f"d{i + 1}": 1} if labelled else {})
            for i, text in enumerate(asked)
        ),
        "CC0-1.0",
        "made for tests",
        pages,
    )


@pytest.fixture(scope="module")
def run(encoder):
    def compared(data, methods=METHODS, keep=(1, 0.5), **settings):
        return compare(encoder, list(methods), data, keep=keep, progress=False, **settings)

    return compared


@pytest.fixture(scope="module")
def results(run):
    return run(collection())


def test_the_kind_is_seen_by_what_a_model_reads(encoder, tiny):
    assert kind_of(encoder.model) == "text-encoder"
    assert kind_of(tiny("vit")) == kind_of(tiny("clip")) == "vision"


def test_keep_one_is_the_reference_and_half_is_half(results):
    found = {(s.method, s.keep): s for s in results.summary()}
    for slug in ("token-pooling", "token-pruning(by='rare')"):
        assert found[slug, 1.0].verdict == "identical"
        assert found[slug, 1.0].tokens == 1
        assert found[slug, 0.5].tokens == pytest.approx(0.5, abs=0.02)
        assert found[slug, 0.5].figures["overlap"] < 1
        half, whole = (found[slug, k].figures["token_bytes"] for k in (0.5, 1.0))
        assert half == pytest.approx(whole / 2, rel=0.1)
    assert {s.method for s in results.summary() if s.keep == 0.5} == {
        "token-pooling",
        "token-pruning(by='rare')",
    }
    assert found["index-search(rankers='xtr')", 1.0].figures["overlap"] > 0.8
    bits = found["index-search(rankers='maxsim', bits=4)", 1.0].figures
    assert bits["overlap"] > 0.7
    assert (
        found["bm25", 1.0].figures["token_bytes"]
        < found["pooled-vector", 1.0].figures["token_bytes"]
    )
    for summary in found.values():
        assert summary.figures["p50"] <= summary.figures["p95"]
        assert summary.figures["search_seconds"] <= summary.seconds.high


def test_scores_are_those_of_brute_force(results, encoder):
    data = collection()
    made = TokenEncoder("tiny", PlainReader(encoder.model, encoder.processor))
    pages = [made.encode([d.text]).tokens.values.float() for d in data.documents]
    for row in results.rows():
        if row.method != "none":
            continue
        query = next(q for q in data if q.id == row.example)
        asked = made.encode([query.text], "query").tokens.values.float()
        scores = [
            float((asked @ page.T).max(1).values.sum()) if len(page) else -9 for page in pages
        ]
        names = [data.documents[i].id for i in np.argsort(-np.array(scores), kind="stable")]
        assert row.score == pytest.approx(ndcg(names, query.relevance, 10))


def test_without_answers_agreement_with_the_reference_counts(run):
    found = run(collection(labelled=False), METHODS[:1])
    assert found.tasks[0].metric == "same first 10"
    assert [f.name for f in found.tasks[0].figures][:2] == ["p50", "p95"]
    whole, same, half = found.summary()
    assert whole.score.value == same.score.value == 1
    assert 0.5 < half.score.value < 1


def test_pictures_say_which_token_answers(results, encoder):
    data = collection()
    library = Library(
        TokenEncoder("tiny", PlainReader(encoder.model, encoder.processor)), data.documents, None
    )
    whole = {p.example: p for p in results.pictures(worst=6, untouched=True) if p.method == "none"}
    assert set(whole) == {q.id for q in data}
    for query in data:
        question = library.question(query.text, True)
        groups = whole[query.id].groups
        assert groups.shape == (6, len(question.pieces))
        page = library.tokens[int(query.id[1:])].float()
        assert groups[0].tolist() == (question.vectors @ page.T).argmax(1).tolist()
    bm25 = next(p for p in results.pictures(worst=6) if "bm25" in p.method and p.example == "q0")
    text, words = data.documents[0].text.split(), data[0].text.split()
    assert [text[place] for place in bm25.groups[0]] == words


def test_parts_of_a_word_stand_together():
    pieces = ["the ", "initial", "ization ", "of ", "\na", "tty"]
    shown = [[cell[part] for part in ("before", "token", "after")]
             for cell in (matches._cell(pieces, place, 900) for place in range(6))]  # fmt: skip
    assert ["".join(parts) for parts in shown] == ["the initialization of atty"] * 6
    assert shown[1] == ["the ", "initial", "ization of atty"]


def test_pooled_tokens_are_shown_by_their_nearest(encoder):
    library = Library(
        TokenEncoder("tiny", PlainReader(encoder.model, encoder.processor)), documents(), None
    )
    question = library.question("apple", True)
    number = next(i for i, d in enumerate(documents()) if "apple" in d.text)
    places, near = shelf(library, TokenPooling(keep=0.2)).answers(question, number)
    exact, nearest = shelf(library, None).answers(question, number)
    assert near[0] <= nearest[0] + 1e-3
    groups = shelf(library, TokenPooling(keep=0.2)).held(number)[1]
    assert groups[places[0]] == groups[exact[0]] or near[0] < nearest[0]


def test_a_second_run_encodes_nothing(run, tmp_path, monkeypatch):
    run(collection(), METHODS[:1], folder=tmp_path)
    rows = len(Results.open(tmp_path).rows())

    def fail(*_):
        raise AssertionError("encoded again")

    monkeypatch.setattr(TokenEncoder, "encode", fail)
    assert len(run(collection(), METHODS[:1], folder=tmp_path).rows()) == rows


def test_max_tokens_cuts_documents(run):
    found = run(collection(), METHODS[:1], keep=(1,), max_tokens=4)
    assert found.profiles()[0].tokens[0][0] <= 4 * 12


def test_the_report_shows_tokens_and_escapes_hostile_text(results):
    page = html(results)
    assert "Which token answered which" in page
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page or "&lt;" in page
    assert 'class="k k0"' in page
    assert "http" not in page.split("</style>")[0].replace("http-equiv", "")


def test_a_document_that_is_the_query_is_left_out(run):
    pages = documents()
    asked = (Query("d0", pages[0].text, {"d1": 1}), Query("d1", "apple", {"d1": 1}))
    found = run(Collection("c", asked, "CC0", "here", pages), METHODS[:1], keep=(1,))
    alone = run(Collection("c", asked[:1], "CC0", "here", pages[:2]), METHODS[:1], keep=(1,))
    assert len(found.rows()) == 4
    assert {row.score for row in alone.rows()} == {1.0}


def test_wrong_use(run, encoder):
    with pytest.raises(UsageError, match="is a vision method, but"):
        run(collection(), ["pitome"])
    with pytest.raises(UsageError, match="is for a vision model, but"):
        run(collection(), [RandomTokens()], task="agreement")
    with pytest.raises(UnknownNameError, match="ranker 'bm26' is unknown"):
        run(collection(), [IndexSearch(rankers="bm26")])
    nothing = Collection("c", (Query("q", "?", {"d0": 0}),), "CC0", "here", documents())
    with pytest.raises(UsageError, match="no label of c is above 0"):
        run(nothing)
    with pytest.raises(UsageError, match="max_tokens=0"):
        run(collection(), max_tokens=0)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.describe())
def test_lines_of_code_run(method, results, encoder, tmp_path, monkeypatch):
    label = next(
        label for label in results.methods if results.card(label)["slug"] == method.card.slug
    )
    code = results.code(label, 0.5)
    made = TokenEncoder("tiny", PlainReader(encoder.model, encoder.processor))
    monkeypatch.chdir(tmp_path)
    space = {"encoder": made}
    exec(code, space)  # noqa: S102 - the report's own lines
    assert "hits" in space or "scores" in space
