"""The door: every type comes in as Arrow and goes out as what it was."""

from __future__ import annotations

import datetime as dt
import tempfile

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tokenry.errors import UnknownNameError, UsageError
from tokenry.tables import files
from tokenry.tables.frames import read

COLUMNS = {"name": ["Ada", None, "Zoë"], "year": [1815, 1912, None]}


def frames():
    import duckdb

    table = pa.table(COLUMNS)
    return {
        "pandas": pd.DataFrame(COLUMNS),
        "polars": pl.DataFrame(COLUMNS),
        "lazy": pl.LazyFrame(COLUMNS),
        "arrow": table,
        "dict": COLUMNS,
        "rows": table.to_pylist(),
        "duckdb": duckdb.from_arrow(table),
    }


@pytest.mark.parametrize("kind", frames())
def test_a_table_keeps_its_type_and_its_values(kind):
    given = frames()[kind]
    frame = read(given)
    assert frame.table.column("name").to_pylist() == COLUMNS["name"]
    assert [None if x is None else int(x) for x in frame.table.column("year").to_pylist()] == [
        1815,
        1912,
        None,
    ]
    back = frame.back(frame.table)
    assert type(back) is type(given)
    if kind not in ("lazy", "duckdb"):
        assert read(back).table.equals(frame.table)


def test_anything_that_gives_arrow_streams_is_taken():
    class Foreign:
        def __arrow_c_stream__(self, schema=None):
            return pa.table(COLUMNS).__arrow_c_stream__(schema)

    assert len(read(Foreign())) == 3
    assert len(read(pa.table(COLUMNS).to_batches()[0])) == 3


def test_categories_dates_and_indexes_survive():
    days = pd.to_datetime(["2020-01-01", "2021-05-05"])
    given = pd.DataFrame({"kind": pd.Categorical(["a", "b"]), "day": days}, index=[7, 9])
    frame = read(given)
    assert frame.table.column("kind").to_pylist() == ["a", "b"]
    assert frame.back(frame.table)["day"].tolist() == days.tolist()


def test_several_kinds_of_values_become_texts_and_are_noted():
    given = pd.DataFrame({"code": [1, "a", 2.5, None], "n": [1, 2, 3, 4]})
    frame = read(given, "the left table")
    assert frame.table.column("code").to_pylist() == ["1", "a", "2.5", None]
    assert frame.notes == (
        "the left table: column 'code' holds several kinds of values; read as texts.",
    )
    rows = [{"code": 1}, {"code": dt.date(2020, 1, 2)}]
    assert read(rows).table.column("code").to_pylist() == ["1", "2020-01-02"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns called 'a'"),
        (pa.table([[1], [2]], names=["a", "a"]), "several columns called 'a'"),
        ({"_row": [1]}, "a column '_row'"),
        ({"a": [1, 2], "b": [1]}, "differ in length"),
        (7, "is a builtins.int"),
        (["a", "b"], "is a builtins.list"),
    ],
)
def test_what_is_no_table_is_refused(given, says):
    with pytest.raises(UsageError, match=says):
        read(given)


def test_a_missing_column_is_named_with_its_neighbours():
    frame = read(COLUMNS, "the left table")
    with pytest.raises(UnknownNameError, match=r"in the left table, column 'nmae'.*name"):
        frame.check("link", ("nmae",))


def test_a_csv_file_that_names_a_column_twice_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,b,a\n1,2,3\n")
    with pytest.raises(UsageError, match="several columns called 'a'"):
        read(tmp_path / "a.csv")


def test_large_files_are_mapped_and_the_same(tmp_path, monkeypatch):
    pd.DataFrame(COLUMNS).to_csv(tmp_path / "a.csv", index=False)
    pl.DataFrame(COLUMNS).write_parquet(tmp_path / "a.parquet")
    whole = [read(tmp_path / name).table for name in ("a.csv", "a.parquet")]
    monkeypatch.setattr(files, "LARGE", 5)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mapped = [read(tmp_path / name).table for name in ("a.csv", "a.parquet")]
    assert [one.to_pydict() for one in mapped] == [one.to_pydict() for one in whole]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.csv", "a.parquet"]


def test_empty_tables_are_tables():
    assert len(read([])) == 0
    assert len(read({"a": []})) == 0
    assert len(read(pd.DataFrame({"a": []}))) == 0
