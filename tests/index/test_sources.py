"""Documents of collections one after the other: what is read, and that none is kept."""

import json
import tracemalloc

import pytest

from tokenry.data import load_collection
from tokenry.errors import DataError
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
