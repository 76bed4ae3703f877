"""`tokenry index` and `tokenry search`: from a folder to marked words."""

import json

import pytest

from tokenry.index import folder


@pytest.fixture(autouse=True)
def words(monkeypatch):
    """An encoder that needs no model in the place of the zoo's."""
    import importlib.util
    from pathlib import Path

    place = Path(__file__).parents[1] / "index" / "conftest.py"
    spec = importlib.util.spec_from_file_location("words", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(folder.Settings, "load_encoder", lambda *_: module.Words())


@pytest.fixture
def notes(tmp_path):
    (tmp_path / "notes" / "pets").mkdir(parents=True)
    (tmp_path / "notes" / "pets" / "cat.txt").write_text("the cat sat on the mat " * 30)
    (tmp_path / "notes" / "dog.md").write_text("filler " * 200 + "a dog barked at night")
    (tmp_path / "notes" / "bad.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "notes" / "image.png").write_bytes(b"png")
    return tmp_path / "notes"


def test_a_folder_becomes_searchable(tokenry, notes):
    done = tokenry("index", notes, "--out", "idx")
    assert done.code == 0, done.err
    assert "2 added, 0 changed, 0 unchanged, 0 deleted, 1 left out" in done.out
    assert "left out: bad.txt: is not UTF-8" in done.err
    assert "not read: 1 file of other kinds (1 .png)" in done.err
    found = tokenry("search", "idx", "dog barked", "-k", "1")
    assert found.code == 0, found.err
    assert "1. dog.md" in found.out
    assert "a dog barked at night" in " ".join(found.out.split())
    assert "… " in found.out
    hits = json.loads(tokenry("search", "idx", "the cat", "--json").out)
    assert hits[0]["id"] == "pets/cat.txt"
    assert hits[0]["matches"][1]["query"] == [4, 7]
    for where, ids in (("folder=pets", ["pets/cat.txt"]), ("folder=.", ["dog.md"])):
        found = tokenry("search", "idx", "a", "--where", where, "--json")
        assert [hit["id"] for hit in json.loads(found.out)] == ids


def test_only_what_changed_is_done_again(tokenry, notes):
    tokenry("index", notes, "--out", "idx")
    (notes / "dog.md").write_text("the dog slept")
    (notes / "pets" / "cat.txt").unlink()
    (notes / "hen.txt").write_text("an egg")
    found = json.loads(tokenry("index", notes, "--out", "idx", "--json").out)
    assert [found[name] for name in ("added", "changed", "unchanged", "deleted")] == [1, 1, 0, 0]
    assert (found["documents"], found["absent"]) == (3, 1)
    said = tokenry("index", notes, "--out", "idx").err
    assert "no longer in the source: 1 document; --forget takes them out." in said
    found = json.loads(tokenry("index", notes, "--out", "idx", "--forget", "--json").out)
    assert [found[name] for name in ("added", "changed", "unchanged", "deleted")] == [0, 0, 2, 1]
    less = json.loads(tokenry("index", notes, "--out", "idx", "--compact", "--json").out)
    assert less["bytes"] < found["bytes"]


def test_an_index_among_its_texts_is_no_text(tokenry, notes):
    tokenry("index", notes, "--out", notes / "idx")
    again = json.loads(tokenry("index", notes, "--out", notes / "idx", "--forget", "--json").out)
    assert [again[name] for name in ("added", "unchanged", "deleted")] == [0, 2, 0]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_table_becomes_searchable_with_its_columns(tokenry, tmp_path, suffix):
    polars = pytest.importorskip("polars")
    table = polars.DataFrame(
        {"id": [7, 8], "body": ["a cat", "a dog"], "year": [1999, 2024], "furry": [False, True]}
    )
    path = tmp_path / f"t.{suffix}"
    {"csv": table.write_csv, "jsonl": table.write_ndjson, "parquet": table.write_parquet}[suffix](
        path
    )
    done = tokenry("index", path, "--out", "idx", "--text-column", "body", "--compress", "4")
    assert done.code == 0, done.err
    for where in ("year=2024", "furry=true"):
        hits = json.loads(tokenry("search", "idx", "cat", "--where", where, "--json").out)
        assert [hit["id"] for hit in hits] == ["8"]


def test_hostile_texts_do_not_steer_the_terminal(tokenry, notes):
    (notes / "x\x1b]0;.txt").write_text("cat \x1b[31m\x07 [bold]cat[/bold] \u202e <b>")
    tokenry("index", notes, "--out", "idx")
    shown = tokenry("search", "idx", "cat").out
    assert "[bold]cat[/bold]" in shown
    assert not set(shown) & set("\x1b\x07\u202e")


def test_wrong_usage_says_what_to_do(tokenry, notes, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    for words, message in (
        (("index", "nowhere", "--out", "o"), "nowhere: is not there; give a folder"),
        (("index", "t.csv", "--out", "o"), "none of its columns (a, b) is named text"),
        (("index", notes, "--out", "o", "--store", "segment"), "nearest: segments"),
        (("index", notes, "--out", "o", "--compress", "3"), "compresses to 1, 2, 4, 8; give"),
        (("index", notes, "--out", "o", "--compress", "4", "--store", "lance"), "take `segments`"),
        (("index", notes, "--out", "t.csv"), "t.csv: is a file; an index is a folder"),
        (("index", notes, "--out", "o", "--dimension", "0"), "dimension=0 is below 1"),
        (("index", notes, "--out", notes), "would lie in the index; give"),
        (("index", notes, "--out", notes / "pets"), ": 1 text of "),
        (("search", "nowhere", "x"), "holds no index"),
    ):
        done = tokenry(*words)
        assert done.code == 2, words
        assert message in done.err
    assert not (tmp_path / "o").exists()
    tokenry("index", notes, "--out", "idx")
    assert "width=0 letters" in tokenry("search", "idx", "x", "--width", "0").err
    assert "is not like year=2024" in tokenry("search", "idx", "x", "--where", "a").err
    assert tokenry("search", "idx", "cat", "--where", "a=b").err == "idx: nothing found.\n"


def test_a_collection_is_indexed_under_its_own_ids_and_judged(tokenry, tmp_path):
    folder = tmp_path / "pets"
    (folder / "qrels").mkdir(parents=True)
    rows = [{"_id": "c", "title": "Cats", "text": "a cat sat"}, {"_id": "d", "text": "a dog"}]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "cat sat"}) + "\n")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\tc\t1\n")
    assert json.loads(tokenry("index", folder, "--out", "idx", "--json").out)["added"] == 2
    assert json.loads(tokenry("search", "idx", "cat", "--json").out)[0]["id"] == "c"
    for name in ("evaluate", "eval"):
        head, columns, found, *_ = tokenry(name, "idx", folder).out.splitlines()
        assert head == "1 query asked of idx:"
        assert columns.split() == ["rankers", "nDCG@10", "MRR@10", "recall@100", "p50", "p95"]
        assert "1.000 (1.000 to 1.000)  1.000 (1.000 to 1.000)" in found


def test_a_copy_in_another_store_answers_alike(tokenry, notes):
    tokenry("index", notes, "--out", "idx")
    done = tokenry("copy", "idx", "in-lance", "--store", "lance")
    assert done.code == 0, done.err
    assert done.out.startswith("in-lance: 2 documents, ")
    asked = ("dog barked", "--rankers", "maxsim", "--json")
    assert tokenry("search", "in-lance", *asked).out == tokenry("search", "idx", *asked).out
    assert "holds an index already" in tokenry("copy", "idx", "in-lance").err
