"""An index into another store."""

import pytest

from tokenry import Index
from tokenry.errors import StoreError, UnknownNameError, UsageError
from tokenry.index.copying import copy_index
from tokenry.index.lance import LanceStore

TEXTS = [f"the {animal} sat on the {place}" for animal in ("cat", "dog") for place in "abcdefgh"]


@pytest.fixture
def index(tmp_path, encoder):
    with Index(tmp_path / "old", encoder) as index:
        index.add([{"id": str(i), "text": text, "n": i} for i, text in enumerate([*TEXTS, "..."])])
        index.delete(["3"])
        yield index


@pytest.mark.parametrize("store", ["lance", "graph", "segments"])
def test_the_copy_answers_alike_and_goes_on(index, tmp_path, encoder, store):
    encoded = encoder.encoded
    assert copy_index(index.path, tmp_path / "new", store=store).documents == 16
    assert encoder.encoded == encoded
    with Index(tmp_path / "new", encoder) as copy:
        assert copy.settings.store == store
        for rankers in ("bm25", "pooled", "maxsim", "xtr"):
            old, new = (i.search("the cat on the f", rankers=rankers) for i in (index, copy))
            assert [hit.id for hit in new] == [hit.id for hit in old]
            assert [hit.metadata for hit in new] == [hit.metadata for hit in old]
            assert [h.score for h in new] == pytest.approx([h.score for h in old], abs=5e-3)
        copy.add([{"id": "new", "text": "a bird"}])
        assert copy.search("bird")[0].id == "new"
        assert len(index) == 16


def test_a_copy_that_was_stopped_goes_on(index, tmp_path, encoder, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(LanceStore, "compact", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            copy_index(index.path, tmp_path / "new", store="lance")
    with pytest.raises(StoreError, match="holds no index"):
        Index.open(tmp_path / "new", encoder)
    index.delete(["5"])
    index.add([{"id": "late", "text": "a bird"}])
    assert copy_index(index.path, tmp_path / "new", store="lance").documents == 16
    with Index.open(tmp_path / "new", encoder) as copy:
        assert copy.search("bird")[0].id == "late"
        assert "5" not in set(copy.ids())


def test_what_cannot_be_copied(index, tmp_path, encoder):
    with pytest.raises(UnknownNameError, match="nearest: lance"):
        copy_index(index.path, tmp_path / "new", store="lanse")
    index.close()
    with pytest.raises(UsageError, match="holds an index already"):
        copy_index(index.path, index.path, store="lance")
    Index(tmp_path / "empty", encoder).close()
    with pytest.raises(UsageError, match="holds no documents yet"):
        copy_index(tmp_path / "empty", tmp_path / "new", store="lance")


def test_files_of_others_are_not_taken_for_vectors(index, tmp_path, encoder):
    """What no manifest names is removed when a store is opened again."""
    (tmp_path / "mine" / "tokens").mkdir(parents=True)
    (tmp_path / "mine" / "tokens" / "precious.txt").write_text("here")
    for make in (
        lambda to: Index(to, encoder),
        lambda to: copy_index(index.path, to, store="lance"),
    ):
        with pytest.raises(UsageError, match="'tokens' is something else there"):
            make(tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").rglob("*")] == ["tokens", "precious.txt"]
