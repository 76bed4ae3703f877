from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys

import datasets
import pandas as pd
import pytest

from tokenry.data import TextData, TextExample, load, load_text
from tokenry.errors import DataError, UnknownNameError, UsageError


@pytest.fixture
def notes(tmp_path):
    """Three texts in two places, and files that are none."""
    root = tmp_path / "notes"
    (root / "work" / "deep").mkdir(parents=True)
    (root / "a.txt").write_text("first\n", encoding="utf-8")
    (root / "work" / "b.MD").write_bytes(b"\xef\xbb\xbf# second")
    (root / "work" / "deep" / "c.py").write_text("x = 'drei Bäume'", encoding="utf-8")
    (root / ".hidden.txt").write_text("no", encoding="utf-8")
    (root / "photo.png").write_bytes(b"\0")
    return root


def write(path, rows):
    """Write rows as the kind of table that the suffix says."""
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    elif path.suffix == ".csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        pd.DataFrame(rows).to_parquet(path)
    return path


def test_light_import():
    script = (
        "import sys; from tokenry.data import load_text; load_text('manpages')\n"
        "sys.exit(', '.join({'torch', 'PIL', 'numpy'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_folder(notes):
    data = load_text(notes)
    assert repr(data) == "TextData('notes': 3 texts, domains work)"
    assert [(e.id, e.text, e.domain) for e in data] == [
        ("a.txt", "first\n", None),
        ("work/b.MD", "# second", "work"),
        ("work/deep/c.py", "x = 'drei Bäume'", "work"),
    ]
    assert data.source == str(notes)
    assert (data[0].question, data[0].answers, data[0].split) == (None, (), None)


def test_folders_named_as_parts_are_splits(tmp_path):
    for part in ("train", "test"):
        (tmp_path / part / "law").mkdir(parents=True)
        (tmp_path / part / "law" / "1.txt").write_text("x", encoding="utf-8")
    assert [(e.split, e.domain) for e in load_text(tmp_path)] == [("test", "law"), ("train", "law")]


def test_one_file_and_a_list(notes):
    assert load_text(notes / "a.txt").examples == (TextExample("a.txt", "first\n"),)
    data = load_text(["one", "two"], name="mine")
    assert [(e.id, e.text) for e in data] == [("0", "one"), ("1", "two")]
    assert (data.name, data.source) == ("mine", "memory")


QA = [
    {"id": "q1", "context": "Sky is blue.", "question": "Colour?", "answers": ["blue", "Blue"]},
    {"id": "q1", "context": "Ice is cold.", "question": "Warm?", "answers": []},
]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_tables_with_questions(tmp_path, suffix):
    data = load_text(write(tmp_path / f"qa{suffix}", QA))
    assert repr(data) == "TextData('qa': 2 texts, 2 questions)"
    assert [(e.id, e.text, e.question, e.answers) for e in data] == [
        ("q1", "Sky is blue.", "Colour?", ("blue", "Blue")),
        ("q1#2", "Ice is cold.", "Warm?", ()),
    ]


def test_csv_and_columns_that_are_asked_for(tmp_path):
    rows = [{"text": "no", "body": "yes", "q": "Yes?", "a": "y", "split": "validation"}]
    path = write(tmp_path / "t.csv", rows)
    columns = {"text_column": "body", "question_column": "q", "answer_column": "a"}
    example = load_text(path, **columns)[0]
    assert example == TextExample("1", "yes", "Yes?", ("y",), split="test")
    assert load_text(path)[0].text == "no"
    with pytest.raises(UnknownNameError, match=r"column 'bod' is unknown; nearest: body"):
        load_text(path, text_column="bod")


def test_answer_prefix_domain_and_numbers(tmp_path):
    row = {"text": "x", "question": "How many?", "answer": 7, "answer_prefix": "It is", "domain": 3}
    example = load_text(write(tmp_path / "t.jsonl", [row]))[0]
    assert (example.answers, example.answer_prefix, example.domain) == (("7",), "It is", "3")


@pytest.mark.parametrize("kind", [None, "numpy"])
def test_dataset_in_squads_form(kind):
    rows = [{**row, "answers": {"text": row["answers"], "answer_start": [0]}} for row in QA]
    part = datasets.Dataset.from_list(rows, split="train").with_format(kind)
    data = load_text(part)
    assert [(e.id, e.answers, e.split) for e in data] == [
        ("q1", ("blue", "Blue"), "train"),
        ("q1#2", (), "train"),
    ]
    assert data.source == "datasets: dataset"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "  "}, "row 1 of .*: is empty"),
        ({"text": None}, "row 1 of .*: is NoneType; give text"),
        ({"text": 5}, "row 1 of .*: is int; give text"),
        ({"text": "\ud800"}, "row 1 of .*: cannot be written as UTF-8"),
        ({"text": "x", "split": "fold7"}, "row 1 of .* has split 'fold7'; give train, test"),
        ({"text": "x", "answers": [""]}, r"row 1 of .*: answers are \[''\]; give a text or a list"),
        ({"text": "x", "answers": [["y"]]}, r"answers are \[\['y'\]\]; give a text or a list"),
    ],
)
def test_broken_rows(tmp_path, row, message):
    path = write(tmp_path / "t.jsonl", [row, {"text": "good"}])
    with pytest.raises(
        DataError, match=rf"1 of 2 texts cannot be read; mend or remove them.*:\n.*{message}"
    ):
        load_text(path)
    with pytest.warns(UserWarning, match="1 of 2 texts cannot be read and are left out") as caught:
        assert [e.text for e in load_text(path, on_error="skip")] == ["good"]
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"caf\xe9", "bad.txt: is not UTF-8 at byte 3; save it as UTF-8"),
        (b"ab\0c", "bad.txt: is binary"),
        (b"", "bad.txt: is empty"),
        (b"x" * 101, "bad.txt: 101 bytes is more than max_bytes=100; split it, or raise max_bytes"),
    ],
)
def test_broken_files(notes, content, message):
    (notes / "bad.txt").write_bytes(content)
    with pytest.raises(DataError, match=f"1 of 4 texts cannot be read.*\n.*{message}"):
        load_text(notes, max_bytes=100)
    with pytest.warns(UserWarning, match="left out"):
        assert len(load_text(notes, on_error="skip", max_bytes=100)) == 3


def test_a_text_in_memory_is_bounded():
    with pytest.raises(DataError, match="text 1 of the list: 4 bytes is more than max_bytes=3"):
        load_text(["abc", "äb "], max_bytes=3)


def test_links_and_pipes(notes, tmp_path):
    os.mkfifo(notes / "pipe.txt")
    with pytest.raises(DataError, match=r"pipe.txt: is not a plain file"):
        load_text(notes)
    (tmp_path / "secret.txt").write_text("s", encoding="utf-8")
    (notes / "link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(DataError, match=r"symbolic links that leave.*link.txt"):
        load_text(notes, on_error="skip")


def test_nothing_to_read(tmp_path):
    with pytest.raises(DataError, match=r"is empty; give a folder with .*\.txt"):
        load_text(tmp_path)
    (tmp_path / "a.png").touch()
    with pytest.raises(DataError, match=r"holds 1 files, none of them a text.*tokenry.data.load\)"):
        load_text(tmp_path)
    with pytest.raises(DataError, match="the list holds no texts"):
        load_text([])
    (tmp_path / "t.jsonl").write_text('{"words": "x"}', encoding="utf-8")
    with pytest.raises(DataError, match=r"none of its columns \(words\) is named text, context"):
        load_text(tmp_path / "t.jsonl")
    (tmp_path / "t.csv").write_text("text\n", encoding="utf-8")
    with pytest.raises(DataError, match="has no rows"):
        load_text(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("manpage", UnknownNameError, "text data 'manpage' is unknown; nearest: manpages"),
        ("emoji", UnknownNameError, r"pictures: tokenry.data.load\)"),
        ("none/at/all.txt", DataError, "no such file or folder; a text itself goes into a list"),
        ("A long text. " * 500, DataError, r"A long text.* \.\.\.: no such file or folder"),
        ("", UsageError, "source is an empty text"),
        (7, UsageError, "source is builtins.int; give a name, a path"),
    ],
)
def test_wrong_sources(source, error, message):
    with pytest.raises(error, match=message):
        load_text(source)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_error": "stop"}, "load_text: on_error='stop' is unknown"),
        ({"max_bytes": 0}, "max_bytes=0 is below 1"),
        ({"limit": 0}, "n=0 is below 1; it is the number of texts to keep"),
        ({"text_column": "x"}, "are for tables and datasets"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(UsageError, match=message):
        load_text("manpages", **options)


def test_files_that_are_not_read(notes):
    with pytest.raises(DataError, match=r".png is not read; give a folder, .csv"):
        load_text(notes / "photo.png")


def test_the_door_to_pictures_points_here(notes):
    (notes / "photo.png").unlink()
    for source in ("manpages", notes, notes / "a.txt", ["a text"]):
        with pytest.raises((DataError, UnknownNameError), match=r"tokenry.data.load_text"):
            load(source)


def test_limit_where_and_pickle():
    data = load_text("manpages", limit=40, seed=3)
    assert len(data) == 40
    assert data == load_text("manpages").limit(40, 3)
    assert data != load_text("manpages").limit(40, 4)
    assert abs(len(data.where(domain="webp")) - 40 * 29 / 340) < 1
    assert pickle.loads(pickle.dumps(data)).hash == data.hash
    with pytest.raises(UnknownNameError, match="domain 'web' is unknown; nearest: webp"):
        data.where(domain="web")


def test_hash_sees_all_but_name_and_meta():
    def hashed(**changes):
        fields = {"id": "1", "text": "t", "question": "q", "answers": ("a",), **changes}
        return TextData(changes.get("id", "n"), (TextExample(**fields),), "none", "test").hash

    changes = [
        {},
        {"id": "2"},
        {"text": "u"},
        {"question": None},
        {"answers": ("b",)},
        {"answer_prefix": "p"},
        {"split": "test"},
        {"domain": "d"},
    ]
    assert len({hashed(**change) for change in changes}) == len(changes)
    assert hashed(meta={"kind": "x"}) == hashed()
