"""Words with their translations."""

import pytest

from tokenry.data.dictionaries import load_dictionary
from tokenry.errors import DataError, UsageError


def test_a_file_holds_a_pair_a_line(tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_text("# remarks\nhouse\tHaus\n\n cat \t die Katze \n", encoding="utf-8")
    assert load_dictionary(file) == [("house", "Haus"), ("cat", "die Katze")]


@pytest.mark.parametrize("content", ["house\n", "house\t\n", "\tHaus\n", "a\tb\nhouse Haus\n"])
def test_a_line_that_is_no_pair_is_named(tmp_path, content):
    file = tmp_path / "pairs.tsv"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"line \d is"):
        load_dictionary(file)


def test_nothing_to_read_is_refused(tmp_path):
    (tmp_path / "empty.tsv").write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(DataError, match="no translations"):
        load_dictionary(tmp_path / "empty.tsv")
    with pytest.raises(DataError, match="cannot be read as a dictionary"):
        load_dictionary(tmp_path / "none.tsv")


def test_names_of_standards_are_a_dictionary():
    pytest.importorskip("pycountry")
    found = dict(load_dictionary("names:de"))
    assert found["Germany"] == "Deutschland"
    assert found["German"] == "Deutsch"
    assert all(word != translation for word, translation in found.items())
    assert len(found) > 500
    with pytest.raises(UsageError, match="nobody translated"):
        load_dictionary("names:klingon")
