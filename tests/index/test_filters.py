"""What a search may ask of metadata, from Python and from the command line."""

import pytest

from tokenry import Index
from tokenry.cli_retrieval import _wanted
from tokenry.errors import UsageError

HELD = {
    "a": {"year": 2019, "tags": ["old", "cat"]},
    "b": {"year": "2021", "tags": []},
    "c": {"year": 2022.5, "new": True},
    "d": {"year": "2024-05-01", "name=": "x"},
    "e": {"year": "soon", "tags": "cat"},
    "f": {"year": None, "big": 2**53 + 1},
    "g": {},
}


@pytest.fixture(scope="module")
def index(tmp_path_factory, words):
    with Index(tmp_path_factory.mktemp("filters"), words()) as index:
        index.add([{"id": name, "text": "a text", **held} for name, held in HELD.items()])
        yield index


@pytest.mark.parametrize(
    ("given", "wanted", "found"),
    [
        (["year=2019"], {"year": 2019}, "a"),
        (["year=2021", "year=2019"], {"year": ["2021", 2019]}, "ab"),
        (["year>=2020"], {"year": {">=": 2020}}, "bcd"),
        (["year>2019", "year<2024"], {"year": {">": 2019, "<": 2024}}, "bc"),
        (["year<=2024-05-01"], {"year": {"<=": "2024-05-01"}}, "bd"),
        (["tags=cat"], {"tags": "cat"}, "ae"),
        (["tags=cat", "year=2019"], {"tags": "cat", "year": 2019}, "a"),
        (["new=true"], {"new": True}, "c"),
        ([f"big={2**53 + 1}"], {"big": 2**53 + 1}, "f"),
        ([f"big={2**70}"], {"big": str(2**70)}, ""),
    ],
)
def test_metadata_choose_documents(index, given, wanted, found):
    for where in (wanted, _wanted(given)):
        hits = index.search("text", where=where, rankers="bm25+pooled")
        assert "".join(sorted(hit.id for hit in hits)) == found


@pytest.mark.parametrize(
    "where", [{"year": {"~": 1}}, {"year": {">": [1]}}, {"year": {}}, {"year": None}, {'a"b': 1}]
)
def test_other_questions_are_refused(index, where):
    with pytest.raises(UsageError, match=r"where asks for .* give "):
        index.search("text", where=where)


def test_values_and_bounds_of_one_name_are_refused():
    with pytest.raises(UsageError, match="values and bounds of 'year'"):
        _wanted(["year=2019", "year>2018"])
