"""Documents of collections one after the other: what is read, and that none is kept."""

import json
import os
import tempfile
import tracemalloc
from pathlib import Path

import pytest

from tokenry.data import load_collection
from tokenry.errors import DataError, UsageError
from tokenry.index.sources import Source

TEXT = "word " * 200


def beir(folder, count):
    rows = ({"_id": f"d{i}", "title": f"Title {i}", "text": TEXT} for i in range(count))
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "word"}\n')


def trec(folder, count):
    texts = (
        f"<DOC>\n<DOCNO> d{i} </DOCNO>\n<title>Title {i}</title><text>{TEXT}</text></DOC>\n"
        for i in range(count)
    )
    (folder / "docs.xml").write_text("<?xml?>\n" + "".join(texts))
    (folder / "topics.xml").write_text("<top><num>1</num><title>word</title></top>")
    (folder / "qrels.txt").write_text("1 0 d1 1\n")


@pytest.mark.parametrize("write", [beir, trec])
def test_no_document_is_kept(tmp_path, write):
    write(tmp_path, 1500)
    size = max(path.stat().st_size for path in tmp_path.iterdir())
    tracemalloc.start()
    try:
        source = Source(tmp_path)
        assert sum(1 for _ in source) == len(source) == 1500
        assert tracemalloc.get_traced_memory()[1] < size
        assert tracemalloc.get_traced_memory()[0] < size / 10
    finally:
        tracemalloc.stop()
    found = list(source)  # as often as they are asked for
    assert [(d.id, d.text, dict(d.metadata)) for d in found] == [
        (d.id, d.text, dict(d.meta)) for d in load_collection(tmp_path).documents
    ]
    assert (found[1499].id, found[0].metadata) == ("d1499", {"title": "Title 0"})


def test_what_is_wrong_is_said_before_the_first_document(tmp_path):
    beir(tmp_path, 3)
    with (tmp_path / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "d3"')
    with pytest.raises(DataError, match="line 4 is not JSON"):
        Source(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="has neither such links nor such folders")
def test_what_a_folder_holds_that_is_no_text(not_root):
    """It is left out, told, and no reason to forget what was read of it before."""
    with tempfile.TemporaryDirectory() as open_to_all:  # pytest's own are closed to other users
        Path(open_to_all).chmod(0o755)
        assert_odd_files_are_left_out(Path(open_to_all) / "notes", not_root)


def assert_odd_files_are_left_out(notes, not_root):
    for name in ("in/a.txt", "shut/b.txt", "c.md", "latin.txt", "empty.txt", "d.csv", "COPYING"):
        (notes / name).parent.mkdir(parents=True, exist_ok=True)
        (notes / name).write_text("" if name == "empty.txt" else f"text of {name}")
    (notes / "latin.txt").write_bytes(b"caf\xe9")
    (notes / "loop").symlink_to("loop")
    (notes / "up").symlink_to(notes.parent)
    (notes / "gone.txt").symlink_to(notes / "nowhere.txt")
    (notes / "away.txt").symlink_to(__file__)
    (notes / "shut").chmod(0)
    try:
        with not_root():
            source = Source(notes)
            found = {one.id: one.text for one in source}
    finally:
        (notes / "shut").chmod(0o755)
    assert found == {"c.md": "text of c.md", "empty.txt": "", "in/a.txt": "text of in/a.txt"}
    assert dict(source.others) == {".csv": 1, "": 1}
    reasons = dict(reason.split(": ", 1) for reason in source.skipped)
    assert {name: reason.partition(" (")[0] for name, reason in reasons.items()} == {
        "shut/": "cannot be listed",
        "loop": "is a symbolic link to a folder or to another place.",
        "up": "is a symbolic link to a folder or to another place.",
        "away.txt": "is a symbolic link to a folder or to another place.",
        "gone.txt": "cannot be read",
        "latin.txt": "is not UTF-8; save it as UTF-8, or give --encoding.",
    }
    assert [name for name in ("shut/b.txt", "latin.txt", "was.txt") if source.holds(name)] == [
        "shut/b.txt",
        "latin.txt",
    ]


def test_files_in_another_encoding_are_read_where_it_is_given(tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "old.txt").write_bytes("caf\u00e9".encode("latin-1"))
    (notes / "new.txt").write_bytes("th\u00e9".encode())
    (tmp_path / "t.csv").write_bytes("id,text\n1,caf\u00e9\n".encode("latin-1"))
    (tmp_path / "t.jsonl").write_bytes(b'{"id": 1, "text": "caf\xe9"}\n')
    found = {one.id: one.text for one in Source(notes, encoding="latin-1")}
    assert found == {"new.txt": "th\u00e9", "old.txt": "caf\u00e9"}
    for name in ("t.csv", "t.jsonl"):
        (row,) = Source(tmp_path / name, encoding="latin-1")
        assert (row.id, row.text) == ("1", "caf\u00e9")
        with pytest.raises(DataError, match="cannot be read as"):
            Source(tmp_path / name)
    for wrong in ("latin-0", "base64"):
        with pytest.raises(UsageError, match=r"encoding=.* is unknown; give one"):
            Source(notes, encoding=wrong)
    source = Source(notes, encoding="ascii")
    assert len(list(source)) == 1
    assert source.skipped == ["old.txt: is not ASCII; save it as UTF-8, or give --encoding."]
