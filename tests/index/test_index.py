"""The index as its user sees it."""

import shutil
from pathlib import Path

import pytest

from tokenry import Index
from tokenry.errors import StoreError, UnknownNameError, UsageError
from tokenry.index import index as indexes
from tokenry.index.documents import Document

TEXTS = {
    "cat": "the cat sat on the mat",
    "dog": "a dog barked at the cat all night",
    "tax": "how to file your tax return on time",
    "none": "...",
    "one": "tax",
}


def records(**changes):
    texts = {**TEXTS, **changes}
    return [{"id": name, "text": text, "size": len(text)} for name, text in texts.items()]


@pytest.fixture
def index(tmp_path, encoder):
    with Index(tmp_path / "idx", encoder) as index:
        index.add(records())
        yield index


def found(index, query, **how):
    return [hit.id for hit in index.search(query, **how)]


def test_the_document_with_the_words_of_the_query_comes_first(index):
    for rankers in ("bm25", "pooled", "maxsim", "xtr", "bm25>maxsim", "bm25+pooled>xtr"):
        assert found(index, "the cat sat", rankers=rankers)[0] == "cat", rankers


def test_a_hit_says_which_words_answered(index):
    hit = index.search("barked CAT")[0]
    assert hit.id == "dog"
    pairs = {(hit.text[slice(*m.document)], round(m.similarity, 2)) for m in hit.matches}
    assert pairs == {("barked", 1.0), ("cat", 1.0)}


ASK = """
import sys
sys.path.insert(0, {here!r})
from conftest import Words
from tokenry import Index

with Index.open(sys.argv[1], Words()) as index:
    print(index.search("the cat sat"))
"""


def test_it_is_the_same_in_a_moved_folder_and_another_process(index, tmp_path, encoder, program):
    before = index.search("the cat sat")
    index.close()
    shutil.move(tmp_path / "idx", tmp_path / "moved")
    with Index.open(tmp_path / "moved", encoder) as moved:
        assert moved.search("the cat sat") == before
    asked = program(ASK.format(here=str(Path(__file__).parent)), tmp_path, tmp_path / "moved")
    assert asked.out == f"{before}\n", asked.err


def test_an_index_without_documents_takes_other_settings(tmp_path, encoder):
    Index(tmp_path, "no/such-model", store="lance").close()
    with Index(tmp_path, encoder, store="segments") as index:
        index.add(["the cat"])
    with pytest.raises(UsageError, match="was made with store='segments', not 'lance'"):
        Index(tmp_path, encoder, store="lance")


@pytest.mark.parametrize(
    ("store", "bits", "said"), [("segments", 3, "to 1, 2, 4, 8"), ("lance", 4, "does not compress")]
)
def test_what_a_store_cannot_compress_is_refused(tmp_path, encoder, store, bits, said):
    with (
        Index(tmp_path, encoder, store=store) as index,
        pytest.raises(UsageError, match=f"compress={bits} bits .* {said}"),
    ):
        index.compress(bits)


def test_what_did_not_change_is_not_encoded_again(index, encoder):
    before = encoder.encoded
    changes = index.add(records(dog="a dog slept"))
    assert str(changes) == "0 added, 1 changed, 4 unchanged"
    assert encoder.encoded == before + 1
    assert index.get("dog").text == "a dog slept"
    assert len(index) == index.size().documents == 5
    assert "dog" not in found(index, "barked", rankers="bm25")
    amended = {"id": "cat", "text": TEXTS["cat"], "size": 0}
    assert index.add([amended]).changed == 1
    assert encoder.encoded == before + 1
    assert index.get("cat").metadata == {"size": 0}


def test_what_is_committed_is_told(index, monkeypatch):
    monkeypatch.setattr(indexes, "BATCH", 2)
    told = []
    index.add(["a", "b", "c", "d", "e"], done=lambda count: told.append((count, len(index) - 5)))
    assert told == [(2, 2), (2, 4), (1, 5)]


def test_a_deleted_document_is_gone_and_others_keep_their_ids(index):
    assert index.delete(["cat", "nobody"]) == 1
    for rankers in ("bm25", "pooled", "maxsim", "xtr"):
        ids = found(index, "the cat sat", rankers=rankers)
        assert "cat" not in ids
        assert ids[0] == "dog"
    index.compact()
    assert set(index.ids()) == set(TEXTS) - {"cat"}
    assert found(index, "dog")[0] == "dog"


@pytest.mark.parametrize("rankers", ["bm25", "pooled", "maxsim", "xtr", "bm25+pooled>maxsim"])
def test_a_filter_holds_in_every_ranker(index, rankers):
    size = len(TEXTS["dog"])
    assert found(index, "the cat", rankers=rankers, where={"size": size}) == ["dog"]
    both = found(index, "the cat", rankers=rankers, where={"size": [size, len(TEXTS["cat"])]})
    assert both == ["cat", "dog"]
    assert found(index, "the cat", rankers=rankers, among=["dog", "nobody"]) == ["dog"]
    assert found(index, "the cat", rankers=rankers, where={"size": -1}) == []


def test_none_one_and_two_documents(tmp_path, encoder):
    with Index(tmp_path / "idx", encoder) as index:
        assert index.search("cat") == []
        assert len(index) == 0
        index.add(["the cat"])
        assert len(index.search("a query that is longer than any of the documents")) == 1
        index.add(["", Document("two", "the dog")])
        assert found(index, "dog")[0] == "two"
        assert index.search("") == []
        assert len(index) == 3


def test_an_update_of_a_document_that_is_not_there_is_refused(index):
    with pytest.raises(UnknownNameError, match="'cta'"):
        index.update([{"id": "cta", "text": "x"}])
    assert index.update([{"id": "cat", "text": "x"}]).changed == 1


def test_another_encoder_is_refused(index, tmp_path):
    index.close()
    other = type(index.encoder)(name="others")
    with pytest.raises(UsageError, match="built with another encoder than 'others': model differ"):
        Index.open(tmp_path / "idx", other)
    with pytest.raises(UsageError, match="was made with encoder='words', not 'zoo:minilm-l6'"):
        Index.open(tmp_path / "idx", "zoo:minilm-l6")


def test_hostile_texts_come_back(index):
    text = "\udc80 \x00 \x1b[31m <script> [bold]cat[/bold] 𝕏"
    index.add([{"id": "\x1b]0;", "text": text, "where": '"]; DROP TABLE documents'}])
    hit = index.search('cat" OR ( NEAR * \udc80', rankers="bm25")
    assert {"\x1b]0;", "cat", "dog"} <= {one.id for one in hit}
    assert index.get("\x1b]0;").text == text.replace("\udc80", "\ufffd")
    index.add([{"id": "half", "text": "a cat", "note": "\ud800"}])
    assert index.get("half").metadata == {"note": "\ufffd"}
    assert index.search("cat", where={"note": "\ufffd"})[0].id == "half"
    for wrong in ({"id": "\ud800", "text": "x"}, {"id": "\ud800"}):
        with pytest.raises(UsageError, match="holds half of a character"):
            index.add([wrong]) if "text" in wrong else index.search("cat", where=wrong)


@pytest.mark.parametrize("given", [3, {"id": "x"}, {"text": b"x"}, ("a", "b")])
def test_what_is_no_document_is_refused(index, given, untyped):
    with pytest.raises(UsageError, match="a document is a text, a dict with a text"):
        index.add([given])


def test_wrong_questions_are_refused(index):
    with pytest.raises(UsageError, match="at least 1"):
        index.search("cat", k=0)
    with pytest.raises(UnknownNameError, match="ranker 'maxsum' is unknown; nearest: maxsim"):
        index.search("cat", rankers="bm25>maxsum")
    with pytest.raises(UsageError, match="without quotes"):
        index.search("cat", where={'a"': 1})


def test_an_index_for_reading_is_not_changed(index, tmp_path, encoder):
    with Index.open(tmp_path / "idx", encoder) as reading:
        with pytest.raises(UsageError, match="was opened for reading"):
            reading.add(["x"])
        with pytest.raises(UsageError, match="was opened for reading"):
            reading.delete(["cat"])
    with pytest.raises(StoreError, match="another process is writing"):
        Index(tmp_path / "idx", encoder)
    with pytest.raises(StoreError, match="holds no index"):
        Index.open(tmp_path)
