from __future__ import annotations

import csv
import json
import sys

import pandas as pd
import pytest

from tokenry.data import load
from tokenry.errors import DataError, MissingExtraError, UnknownNameError


def write(path, rows):
    """Write rows as the kind of table that the suffix says."""
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    else:
        pd.DataFrame(rows).to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_tables(folder, suffix, tmp_path):
    rows = [
        {"Image": "pets/cat/0.png", "label": "cat", "split": "train"},
        {"Image": str(folder / "dog" / "1.png"), "label": "dog", "split": "validation"},
        {"Image": "pets/cat/0.png", "label": "", "split": ""},
    ]
    data = load(write(tmp_path / f"my{suffix}", rows))
    assert data.name == "my"
    assert [e.label for e in data] == ["cat", "dog", None]
    assert [e.split for e in data] == ["train", "test", None]
    assert [e.id for e in data] == [rows[0]["Image"], rows[1]["Image"], "pets/cat/0.png#3"]
    assert data[1].image().size == (64, 48)
    assert len(load(tmp_path / f"my{suffix}", limit=2)) == 2


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_columns_that_are_asked_for(folder, suffix):
    rows = [{"path": "nowhere.png", "photo": "cat/0.png", "breed": 7}]
    data = load(write(folder / f"t{suffix}", rows), path_column="photo", label_column="breed")
    assert (data[0].id, data[0].label) == ("cat/0.png", "7")


@pytest.mark.parametrize("option", ["path_column", "label_column"])
def test_wrong_column_gives_the_nearest(folder, option):
    path = write(folder / "t.csv", [{"path": "cat/0.png", "breed": "x"}])
    with pytest.raises(UnknownNameError, match=r"column 'bred'.*nearest: breed.*t.csv: path, bre"):
        load(path, **{option: "bred"})


def test_no_path_column(folder):
    path = write(folder / "t.csv", [{"photo": "cat/0.png"}])
    with pytest.raises(DataError, match=r"t.csv: none of its columns \(photo\) is named path, im"):
        load(path)


def test_missing_file_names_file_and_row(folder):
    path = write(folder / "t.csv", [{"path": "cat/0.png"}, {"path": "cat/none.png"}])
    with pytest.raises(DataError, match=r"1 of 2.*\n.*cat/none.png \(row 2 of .*t.csv\): cannot"):
        load(path)
    with pytest.warns(UserWarning, match="1 of 2 pictures cannot be read and are left out"):
        assert len(load(path, on_error="skip")) == 1


@pytest.mark.parametrize("bad", ["a\0b.png", "x" * 5000])
def test_impossible_paths(folder, bad):
    path = write(folder / "t.jsonl", [{"path": bad}])
    with pytest.raises(DataError, match="1 of 1 pictures cannot be read"):
        load(path)


def test_row_without_a_path(folder):
    path = write(folder / "t.csv", [{"path": "cat/0.png"}, {"path": ""}])
    with pytest.raises(DataError, match=r"t.csv: row 2 has no text in column 'path'"):
        load(path)


def test_unknown_split(folder):
    path = write(folder / "t.csv", [{"path": "cat/0.png", "split": "fold7"}])
    with pytest.raises(DataError, match=r"t.csv: row 1 has split 'fold7'; give train, test"):
        load(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"\xff\xfe\x00", "cannot be read as UTF-8 csv"),
        ("t.csv", b'path\n"open', "cannot be read as UTF-8 csv"),
        ("t.csv", b"", r"none of its columns \(none\)"),
        ("t.csv", b"path\n", "has no rows"),
        ("t.jsonl", b"", r"none of its columns \(none\)"),
        ("t.jsonl", b'{"path": "a"}\nhello', "line 2 is not JSON"),
        ("t.jsonl", b"[1]", "line 1 is not a JSON object"),
        ("t.jsonl", b"\xff", "cannot be read as jsonl"),
        ("t.jsonl", b"[" * 200_000, "cannot be read as jsonl"),
        ("t.parquet", b"PAR1 not really", "cannot be read as parquet"),
    ],
)
def test_unreadable_tables(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{tmp_path / name}: {message}"):
        load(tmp_path / name)


def test_parquet_needs_pyarrow(folder, monkeypatch):
    path = write(folder / "t.parquet", [{"path": "cat/0.png"}])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r'pip install "tokenry\[data\]"'):
        load(path)
