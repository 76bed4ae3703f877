"""Collections: what ships, folders of the usual forms, own documents, and what is wrong in them."""

from __future__ import annotations

import json

import pytest

from tokenry.data import Collection, Document, Query, load_collection
from tokenry.data import trec as trec_files
from tokenry.data.lee import word_pairs
from tokenry.errors import DataError, UnknownNameError, UsageError


def write_lines(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


@pytest.fixture
def beir(tmp_path):
    root = tmp_path / "small"
    (root / "qrels").mkdir(parents=True)
    corpus = [{"_id": "d1", "title": "One", "text": "first"}, {"_id": "d2", "text": "second"}]
    write_lines(root / "corpus.jsonl", corpus)
    write_lines(root / "queries.jsonl", [{"_id": "q1", "text": "a"}, {"_id": "q2", "text": "b"}])
    head = "query-id\tcorpus-id\tscore\n"
    (root / "qrels" / "test.tsv").write_text(f"{head}q1\td1\t2\nq1\td2\t0\n")
    (root / "qrels" / "train.tsv").write_text(f"{head}q2\td2\t0.5\n")
    (root / "LICENSE").write_text("CC0-1.0\n\nAll of it.")
    return root


@pytest.fixture
def trec(tmp_path):
    root = tmp_path / "old"
    root.mkdir()
    (root / "docs.xml").write_text(
        "<doc>\n<docno>7</docno>\n<title>lift & drag</title>\n<text>lift &amp; drag of\n"
        "a wing</text></doc>\n<doc><docno>8</docno><text></text></doc>"
    )
    (root / "qry.xml").write_text(
        "<xml><top><num> 1</num><title>\nwhat lifts</title></top>"
        "<top><num> 4</num><title>what drags</title></top></xml>"
    )
    (root / "qrels.txt").write_text("1 0 7 3\n2 0 8 1\n")
    return root


def test_manual_pages():
    data = load_collection("manpages")
    assert len(data) == len(data.documents) == 59
    query = data[0]
    (page,) = query.relevance
    assert query.label == query.text == "Clean up the disk cache"
    assert data.itself(query) is None
    assert "Clean up the disk cache" not in data.by_id[page].text
    assert data.by_id[page].text.startswith("NAME\n  htcacheclean\n\nSYNOPSIS")
    assert "Apache-2.0" in data.license
    assert "59 queries, 59 documents, 59 with known answers" in repr(data)


def test_lee_and_word_pairs():
    data = load_collection("lee")
    assert len(data) == 50
    relevance = [query.relevance for query in data]
    assert relevance[0]["news-33"] == pytest.approx(0.95)  # 0.96 of 0.2 to 1
    assert relevance[32]["news-01"] == relevance[0]["news-33"]
    assert [data.itself(query) for query in data] == [query.id for query in data]
    assert all(len(r) == 49 and min(r.values()) >= 0 and max(r.values()) <= 1 for r in relevance)
    assert word_pairs("wordsim353")[0] == ("love", "sex", 6.77)
    assert (len(word_pairs("wordsim353")), len(word_pairs("simlex999"))) == (353, 999)
    with pytest.raises(UnknownNameError, match="wordsim353"):
        word_pairs("wordsim")


def test_beir_folder(beir):
    data = load_collection(beir)
    assert [(q.id, dict(q.relevance)) for q in data] == [("q1", {"d1": 2, "d2": 0})]
    assert [d.text for d in data.documents] == ["One\nfirst", "second"]
    assert (data.name, data.license) == ("small", "CC0-1.0")
    train = load_collection(beir, split="train", name="other")
    assert (train.name, train[0].relevance) == ("other", {"d2": 0.5})
    with pytest.raises(UnknownNameError, match="split 'dev' is unknown"):
        load_collection(beir, split="dev")


def test_beir_without_labels(beir):
    for path in (beir / "qrels").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"holds no \.tsv"):
        load_collection(beir)
    (beir / "qrels").rmdir()
    data = load_collection(beir)
    assert not data.labelled
    assert len(data) == 2
    with pytest.raises(UsageError, match="split='test'"):
        load_collection(beir, split="test")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("corpus.jsonl", '{"_id": "d1", "text": 3}', "line 1: text is int; give a text"),
        ("corpus.jsonl", '{"text": "x"}', "line 1: _id is None"),
        ("corpus.jsonl", "[1]", "line 1 is not a JSON object"),
        ("corpus.jsonl", "{", "line 1 is not JSON"),
        ("corpus.jsonl", "", "has no lines"),
        ("corpus.jsonl", '{"_id": "a", "text": ""}\n{"_id": "a", "text": ""}', "the id 'a'"),
        ("queries.jsonl", '{"_id": "q1"}', "has none of query, text, question"),
        ("queries.jsonl", '{"_id": "q9", "text": "x"}', "name 1 queries that"),
        ("qrels/test.tsv", "q1\td1\n", "line 1 has 2 columns"),
        ("qrels/test.tsv", "q1\td1\tmany\n", "the label 'many' is not a number"),
        ("qrels/test.tsv", "q1\td1\tnan\n", "the label 'nan' is not a number"),
    ],
)
def test_broken_beir_folder(beir, file, text, message):
    (beir / file).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load_collection(beir)


def test_labels_of_absent_documents(beir):
    (beir / "qrels" / "test.tsv").write_text("q1\tgone\t1\nq1\td1\t1\n")
    with pytest.warns(UserWarning, match="labels name 1 documents that are not there.*'gone'"):
        load_collection(beir)


def test_trec_folder(trec, monkeypatch):
    with pytest.warns(UserWarning, match="read as counts, as Cranfield means them"):
        data = load_collection(trec)
    assert [(q.id, q.text, dict(q.relevance)) for q in data] == [
        ("1", "what lifts", {"7": 3}),
        ("2", "what drags", {"8": 1}),
    ]
    assert [(d.id, d.text) for d in data.documents] == [("7", "lift & drag of a wing"), ("8", "")]
    (trec / "qrels.txt").write_text("1 0 7 3\n4 0 8 1\n")
    assert [q.text for q in load_collection(trec)] == ["what lifts", "what drags"]
    monkeypatch.setenv("TOKENRY_DATA", str(trec.parent))
    assert load_collection("old").name == "old"
    (trec / "qrels.txt").write_text("1 0 7 3\n9 0 8 1\n")
    with pytest.raises(DataError, match="topics that are not there: 9"):
        load_collection(trec)
    (trec / "qrels.txt").write_text("1 0 7\n")
    with pytest.raises(DataError, match="line 1 has 3 columns"):
        load_collection(trec)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<docno>1</docno>" + "x" * 99, "holds no <doc>"),
        ("<doc><docno>1</docno></doc><doc>", "document 2 has no </doc>"),
        ("<doc><docno>1</docno>" + "x" * 500, "document 1 has no </doc> within 64 letters"),
        ("<doc><docno>1</docno></doc><doc></doc>", "document 2 has no <docno>"),
    ],
)
def test_broken_trec_folder(trec, monkeypatch, text, message):
    monkeypatch.setattr(trec_files, "LONGEST", 64)
    monkeypatch.setattr(trec_files, "_BLOCK", 16)
    (trec / "docs.xml").write_text(text)
    (trec / "qrels.txt").write_text("1 0 7 3\n")
    with pytest.raises(DataError, match=message):
        load_collection(trec)


@pytest.mark.parametrize("size", [1, 7, 30])
def test_blocks_cut_documents_anywhere(trec, monkeypatch, size):
    with pytest.warns(UserWarning, match="read as counts"):
        whole = load_collection(trec).documents
    monkeypatch.setattr(trec_files, "_BLOCK", size)
    with pytest.warns(UserWarning, match="read as counts"):
        assert load_collection(trec).documents == whole


def test_own_documents(tmp_path):
    (tmp_path / "a.txt").write_text("about apples", encoding="utf-8")
    (tmp_path / "b.md").write_text("about pears", encoding="utf-8")
    with pytest.raises(DataError, match=r"nor queries\.jsonl; pass queries="):
        load_collection(tmp_path)
    plain = load_collection(tmp_path, queries=["fruit", "green"])
    assert [(q.id, q.text, q.relevance) for q in plain] == [("0", "fruit", {}), ("1", "green", {})]
    rows = [
        {"query": "red", "relevant": ["a.txt"]},
        {"id": "x", "query": "?", "relevant": {"b.md": 2}},
    ]
    write_lines(tmp_path / "queries.jsonl", rows)
    data = load_collection(tmp_path)
    assert [(q.id, dict(q.relevance)) for q in data] == [("1", {"a.txt": 1}), ("x", {"b.md": 2})]
    assert [d.id for d in data.documents] == ["a.txt", "b.md"]
    with pytest.warns(UserWarning, match="labels name 2 documents"):
        listed = load_collection(["one", "two"], queries=tmp_path / "queries.jsonl", limit=1)
    assert (len(listed), len(listed.documents)) == (1, 2)
    write_lines(tmp_path / "queries.jsonl", [{"query": "red", "relevant": 3}])
    with pytest.raises(DataError, match="give ids in a list, or labels by id"):
        load_collection(tmp_path)


def test_wrong_use(tmp_path):
    with pytest.raises(UnknownNameError, match=r"nearest: manpages.*TOKENRY_DATA"):
        load_collection("manpage")
    with pytest.raises(UsageError, match="has its own queries"):
        load_collection("manpages", queries=["x"])
    with pytest.raises(UsageError, match="queries is not given"):
        load_collection(["text"])
    with pytest.raises(UsageError, match="queries is int"):
        load_collection(["text"], queries=3)
    with pytest.raises(UsageError, match="queries holds 3"):
        load_collection(["text"], queries=[3])


def test_hash_and_subsets():
    documents = tuple(Document(str(i), f"text {i}") for i in range(6))
    data = Collection("c", (Query("q", "?", {"4": 1}),), "CC0", "here", documents)
    other = Collection("c", (Query("q", "?", {"4": 2}),), "CC0", "here", documents)
    fewer = data.first_documents(3)
    assert len({data.hash, other.hash, fewer.hash}) == 3
    assert [d.id for d in fewer.documents] == ["0", "1", "4"]
    with pytest.raises(DataError, match="holds no documents"):
        Collection("c", (Query("q", "?"),), "CC0", "here")
