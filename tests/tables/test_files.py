"""Files of tables: encodings, odd bytes, and csv that does no harm."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tokenry.errors import DataError, UsageError
from tokenry.tables import files
from tokenry.tables.files import read_file, write_file
from tokenry.tables.frames import read


def columns(path, content, encoding=None):
    path.write_bytes(content)
    return read_file(path, encoding).to_pydict()


def test_csv_cells_are_texts_and_empty_ones_null(tmp_path):
    content = b'zip,name\n01234,"Smith, ""J"""\n1e5,\n,"two\nlines"\n'
    assert columns(tmp_path / "a.csv", content) == {
        "zip": ["01234", "1e5", None],
        "name": ['Smith, "J"', None, "two\nlines"],
    }


def test_a_mark_of_utf8_is_no_part_of_a_name(tmp_path):
    assert columns(tmp_path / "a.csv", "\ufeffname\nZoë\n".encode()) == {"name": ["Zoë"]}
    assert columns(tmp_path / "a.tsv", b"a\tb\n1\t2\n") == {"a": ["1"], "b": ["2"]}


def test_a_file_with_the_mark_of_utf16_is_advised_so(tmp_path):
    content = "name\nZoë\n".encode("utf-16")
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"is not UTF-8.*encoding='utf-16'"):
        read_file(tmp_path / "a.csv")
    assert read_file(tmp_path / "a.csv", "utf-16").to_pydict() == {"name": ["Zoë"]}


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_other_separators_are_told_by_the_first_rows(tmp_path, mark):
    path = tmp_path / "a.csv"
    content = f'name{mark}price\n"Bolt{mark} M8"{mark}"1,50"\n'.encode()
    assert columns(path, content) == {"name": [f"Bolt{mark} M8"], "price": ["1,50"]}
    assert read(path).notes == (f"{path}: its cells are separated by {mark!r}, not by commas.",)
    assert columns(path, f'"a{mark}b"\nx\n'.encode()) == {f"a{mark}b": ["x"]}
    content = f"n{mark}name, full\n\n1{mark}x\n".encode()
    assert columns(path, content) == {"n": ["1"], "name, full": ["x"]}
    assert columns(path, f"a,b{mark}c\nx,y{mark}z\n".encode()) == {
        "a": ["x"],
        f"b{mark}c": [f"y{mark}z"],
    }
    assert read(path).notes == ()


def test_spaces_around_names_of_columns_are_taken_off_and_said(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_bytes(b"id, name , born\n1, Ada,1815\n")
    for large in (files.LARGE, 5):
        monkeypatch.setattr(files, "LARGE", large)
        found = read(path)
        assert found.table.to_pylist() == [{"id": "1", "name": " Ada", "born": "1815"}]
        assert found.notes == (f"{path}: spaces around the names of its columns were taken off.",)
    assert columns(path, b"a, a\n1,2\n") == {"a": ["1"], " a": ["2"]}


def test_the_encoding_of_windows_is_told_by_its_quotation_marks(tmp_path):
    content = "name\nO\u2019Brien\n".encode("cp1252")
    with pytest.raises(DataError, match="encoding='cp1252'"):
        columns(tmp_path / "a.csv", content)
    assert columns(tmp_path / "a.csv", content, "cp1252") == {"name": ["O\u2019Brien"]}


def test_another_encoding_is_asked_for_and_then_read(tmp_path):
    content = "name\nZoë\n".encode("latin-1")
    for name in ("a.csv", "a.jsonl"):
        with pytest.raises(DataError, match=r"is not UTF-8.*encoding='latin-1'"):
            columns(tmp_path / name, content if name == "a.csv" else b'{"name": "Zo\xeb"}\n')
    assert columns(tmp_path / "a.csv", content, "latin-1") == {"name": ["Zoë"]}
    assert columns(tmp_path / "a.jsonl", b'{"name": "Zo\xeb"}\n', "latin-1") == {"name": ["Zoë"]}
    assert columns(tmp_path / "a.csv", "name\nZoë\n".encode("utf-16"), "utf-16") == {
        "name": ["Zoë"]
    }
    with pytest.raises(UsageError, match="encoding='klingon' is unknown"):
        columns(tmp_path / "a.csv", content, "klingon")


def test_nul_bytes_stay_in_their_cell(tmp_path):
    assert columns(tmp_path / "a.csv", b"a,b\nx\x00y,2\n") == {"a": ["x\x00y"], "b": ["2"]}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"a,b\n\n1,2\n1,2,3\n", "first such row is number 3; a cell with ',' in it"),
        ("a.jsonl", b"{", "cannot be read"),
        ("a.parquet", b"PAR1", "cannot be read"),
    ],
)
def test_a_broken_file_says_so(tmp_path, name, content, says):
    with pytest.raises(DataError, match=says):
        columns(tmp_path / name, content)


def test_other_endings_and_missing_files_are_refused(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"")
    with pytest.raises(UsageError, match=r"give a table: \.csv"):
        read_file(tmp_path / "a.xlsx")
    with pytest.raises(DataError, match="no such file"):
        read_file(tmp_path / "b.csv")


HOSTILE = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "-5", "+3.5e2", "fine", None]


def test_csv_holds_no_formulas_unless_asked(tmp_path):
    table = pa.table({"a": HOSTILE, "=b": [1] * len(HOSTILE)})
    write_file(table, tmp_path / "a.csv")
    back = read_file(tmp_path / "a.csv")
    assert back.column("a").to_pylist() == [
        *("'" + one for one in HOSTILE[:5]),
        *HOSTILE[5:],
    ]
    assert back.column_names == ["a", "'=b"]
    write_file(table, tmp_path / "a.csv", formulas=True)
    assert read_file(tmp_path / "a.csv").column("a").to_pylist() == HOSTILE


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_what_is_written_is_read_again(tmp_path, ending):
    table = pa.table({"a": ['x"y', "é,\n;", None], "b": ["1", "2", "3"]})
    path = tmp_path / f"out{ending}"
    path.write_text("old")
    write_file(table, path)
    assert read_file(path).to_pydict() == table.to_pydict()
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_lists_are_written_to_csv_as_json(tmp_path):
    write_file(pa.table({"a": [["x", "y"], None], "b": [1, 2]}), tmp_path / "a.csv")
    assert read_file(tmp_path / "a.csv").column("a").to_pylist() == ['["x", "y"]', None]
