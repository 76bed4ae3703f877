"""`tokenry link`, `dedupe` and `aggregate`."""

import csv
import json

import pytest

LEFT = "id,name,city\n1,Ada Lovelace,London\n2,Alan Turing,Wilmslow\n3,,Paris\n"
RIGHT = 'nr,name,town\n7,"Turing, Alan",WILMSLOW\n8,"Lovelace, Ada",London\n9,=HYPERLINK(),Rome\n'


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.csv").write_text(LEFT)
    (tmp_path / "b.csv").write_text(RIGHT)
    (tmp_path / "gold.csv").write_text("left,right\n1,8\n2,7\n")
    return tmp_path


def read(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_link_writes_the_merged_table(tokenry, files):
    words = ["--on", "name", "--method", "fuzzy", "--how", "outer", "--out", "out.csv"]
    done = tokenry("link", "a.csv", "b.csv", *words)
    assert (done.code, done.err) == (0, "")
    assert "2 links between 3 and 3 rows" in done.out
    assert "Table: out.csv" in done.out
    rows = read(files / "out.csv")
    assert [(row["id"], row["nr"]) for row in rows] == [
        ("1", "8"),
        ("2", "7"),
        ("3", ""),
        ("", "9"),
    ]
    assert rows[3]["name_right"] == "'=HYPERLINK()"


def test_link_merges_as_merge_does(tokenry, files):
    from tokenry import merge

    words = ["--on", "name", "--method", "fuzzy", "--assign", "one_to_one", "--how", "inner"]
    done = tokenry("link", "a.csv", "b.csv", *words, "--suffixes", ",_b", "--out", "out.jsonl")
    assert done.code == 0
    rows = [json.loads(line) for line in (files / "out.jsonl").read_text().splitlines()]
    sides = (files / "a.csv", files / "b.csv")
    settings = {"how": "inner", "validate": "1:1", "suffixes": ("", "_b"), "method": "fuzzy"}
    merged = merge(*sides, "name", **settings)
    assert rows == merged.to_pylist()
    assert set(rows[0]) == {"id", "name", "city", "nr", "name_b", "town", "score"}


def test_link_for_machines_with_gold_and_blocks(tokenry, files):
    words = ["--on", "name", "--block", "city=town,name:words", "--assign", "one_to_one"]
    known = ["--gold", "gold.csv", "--id", "id,nr", "--method", "char-ngrams"]
    done = tokenry("link", "a.csv", "b.csv", *words, *known, "--folder", "run", "--json")
    found = json.loads(done.out)
    assert (found["links"], found["f1"], found["blocking_recall"]) == (2, 1, 1)
    assert found["method"].startswith("CharNgrams")
    again = json.loads(
        tokenry("link", "a.csv", "b.csv", *words, *known, "--folder", "run", "--json").out
    )
    assert all(stage["kept"] for stage in again["stages"])


def test_pairs_that_are_written_are_read_by_the_other_commands(tokenry, files):
    words = ["--on", "name", "--method", "fuzzy", "--id", "id,nr", "--pairs", "pairs.csv"]
    done = tokenry("link", "a.csv", "b.csv", *words)
    assert "Pairs: pairs.csv" in done.out
    rows = [(row["left"], row["right"], row["source"]) for row in read(files / "pairs.csv")]
    assert rows == [("1", "8", "nearest"), ("2", "7", "nearest")]
    done = tokenry("evaluate-links", "pairs.csv", "gold.csv", "--json")
    assert json.loads(done.out)["measures"]["pairs"]["f1"][0] == 1
    (files / "c.csv").write_text("key,name\nx,ada lovelace\ny,Alan Turing\nz,Ada Lovelace!\n")
    words = ["--on", "name", "--method", "fuzzy", "--id", "key", "--pairs", "pairs.csv"]
    assert tokenry("dedupe", "c.csv", *words).code == 0
    assert tokenry("cluster", "pairs.csv", "c.csv", "--id", "key", "--out", "out.csv").code == 0
    assert [row["cluster"] for row in read(files / "out.csv")] == ["0", "1", "0"]


def test_link_prints_the_best_links_where_no_file_is_asked_for(tokenry, files):
    done = tokenry("link", "a.csv", "b.csv", "--on", "name", "--method", "fuzzy")
    assert "Ada Lovelace  =  Lovelace, Ada" in done.out


def test_dedupe_writes_first_rows_or_clusters(tokenry, files):
    (files / "c.csv").write_text("name,n\nada lovelace,1\nAlan Turing,2\nAda Lovelace!,3\n")
    done = tokenry("dedupe", "c.csv", "--on", "name", "--method", "fuzzy", "--out", "out.csv")
    assert done.code == 0
    assert "3 rows are 2 things" in done.out
    assert [row["n"] for row in read(files / "out.csv")] == ["1", "2"]
    tokenry(
        "dedupe", "c.csv", "--on", "name", "--method", "fuzzy", "--labelled", "--out", "out.csv"
    )
    assert [row["cluster"] for row in read(files / "out.csv")] == ["0", "1", "0"]


def test_names_of_columns_may_have_commas_and_cells_semicolons(tokenry, files):
    (files / "c.csv").write_text("n;name, full\n1;ada lovelace\n2;Ada Lovelace!\n")
    words = ["--on", '"name, full"', "--method", "fuzzy"]
    done = tokenry("dedupe", "c.csv", *words)
    assert "2 rows are 1 thing" in done.out
    done = tokenry("link", "c.csv", "c.csv", *words)
    assert "separated by ';'" in done.out


def test_each_file_may_have_an_encoding_of_its_own(tokenry, files):
    (files / "c.csv").write_text("name\nCafé „Zoë“\n", encoding="cp1252")
    (files / "d.csv").write_text("name\ncafé zoë\n", encoding="utf-8")
    (files / "e.csv").write_text("name\ncafé zoë\n", encoding="utf-8-sig")
    words = ["--on", "name", "--method", "exact", "--encoding"]
    for other, encoding in (("d.csv", "cp1252,utf-8"), ("e.csv", "cp1252")):
        assert "1 link between" in tokenry("link", "c.csv", other, *words, encoding).out
    assert "give one, as in" in tokenry("dedupe", "c.csv", *words, "cp1252,utf-8").err


def test_aggregate_brings_fine_rows_under_coarse_ones(tokenry, files):
    (files / "fine.csv").write_text("product\nred wine\nwhite wine\ndark beer\n")
    (files / "coarse.csv").write_text("group\nwine\nbeer\n")
    keys = ["--left-on", "product", "--right-on", "group", "--method", "fuzzy"]
    done = tokenry("aggregate", "fine.csv", "coarse.csv", *keys, "--out", "out.csv")
    assert done.code == 0
    assert [row["group"] for row in read(files / "out.csv")] == ["wine", "wine", "beer"]
    assert "(Fuzzy(), no threshold, best_left)" in done.out
    (files / "fine.csv").write_text("product\nred wine\nxxx\n")
    keys[-1] = "char-ngrams"
    done = tokenry("aggregate", "fine.csv", "coarse.csv", *keys, "--report", "report.html")
    assert "1 row scores 0: like none of the list" in done.out
    page = (files / "report.html").read_text()
    assert "The weakest links" in page
    assert "1000000000" not in page


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a.csv", "b.csv", "--on", "nmae"], "nearest: name"),
        (["a.csv", "b.csv"], "no key columns"),
        (["a.csv", "no.csv", "--on", "name"], "no.csv: no such file"),
        (["a.csv", "b.csv", "--on", "name", "--out", "no/out.csv"], "does not exist; make it"),
        (["a.csv", "b.csv", "--on", "name", "--out", "out.xlsx"], "its ending may be .csv"),
        (["a.csv", "b.csv", "--on", "name", "--pairs", "out.txt"], "its ending may be .csv"),
        (
            ["a.csv", "b.csv", "--on", "name", "--id", "id"],
            "right table (b.csv), column 'id'",
        ),
        (["a.csv", "b.csv", "--on", "name", "--block", "zip"], "names 'zip'"),
        (["a.csv", "b.csv", "--on", "name", "--table", "x"], "is not like aliases=aliases.csv"),
        (["a.csv", "b.csv", "--on", "name", "--id", "a,b,c"], "does not name one column, or two"),
        (["a.csv", "b.csv", "--on", "name", "--suffixes", "_a"], "are not two"),
        (["a.csv", "b.csv", "--on", "name", "--method", "exat"], "nearest: exact"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_why(tokenry, files, words, says):
    done = tokenry("link", *words)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
