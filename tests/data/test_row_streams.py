"""Tables row by row: what is read, what is kept, and what is refused."""

from __future__ import annotations

import csv
import json
import tracemalloc

import pytest

from tokenry.data.row_streams import row_table
from tokenry.data.rows import READERS
from tokenry.errors import DataError

ROWS = [{"id": i, "text": f"text {i}", "year": 2000 + i} for i in range(3000)]


@pytest.fixture(scope="module", params=READERS)
def path(request, tmp_path_factory):
    polars = pytest.importorskip("polars")
    table, path = polars.DataFrame(ROWS), tmp_path_factory.mktemp("rows") / f"t{request.param}"
    writers = (table.write_csv, table.write_ndjson, table.write_parquet)
    dict(zip(READERS, writers, strict=True))[request.param](path)
    return path


def test_rows_are_those_that_are_read_at_once(path):
    names, fetch = READERS[path.suffix](path)
    table = row_table(path)
    assert (table.names, table.count) == (names, len(ROWS))
    for _ in range(2):  # as often as they are asked for
        assert list(table.rows()) == list(fetch(names))


def test_a_long_text_fits_a_cell(tmp_path):
    before = csv.field_size_limit()
    (tmp_path / "t.csv").write_text(f"text\n{'a' * 200_000}\n")
    (row,) = row_table(tmp_path / "t.csv").rows()
    assert len(row["text"]) == 200_000
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_no_row_is_kept(tmp_path, kind):
    path = tmp_path / f"t.{kind}"
    text = "word " * 200
    line = f"1,{text}\n" if kind == "csv" else json.dumps({"id": "1", "text": text}) + "\n"
    path.write_text(("id,text\n" if kind == "csv" else "") + line * 3000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in row_table(path).rows()) == 3000
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 10
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.jsonl", b'{"text": "a"}\n{"text"', "line 2 is not JSON"),
        ("t.jsonl", b'{"text": "a"}\n[1]', "line 2 is not a JSON object"),
        ("t.jsonl", b"\xff\xfe", "cannot be read as jsonl"),
        ("t.csv", b'a,b\n1,"2', "cannot be read as UTF-8 csv"),
        ("t.parquet", b"PAR", "cannot be read as parquet"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_row(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        row_table(tmp_path / name)
