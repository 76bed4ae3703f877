"""Word vectors that are learned from sentences, or read from a file."""

import numpy as np
import pytest

pytest.importorskip("gensim")

from tokenry.errors import DataError, UsageError
from tokenry.plugs.wordvectors import learn_words, read_words

SENTENCES = [["red", "apple"], ["green", "apple"], ["red", "wagon"], ["a", "wagon", "rolls"]] * 40


def test_the_same_seed_gives_the_same_vectors():
    first, second = (learn_words(SENTENCES, width=8, seed=3) for _ in range(2))
    words = ["apple", "wagon", "red"]
    assert np.array_equal(first.vectors(words), second.vectors(words))
    assert first.counts["apple"] == 80
    assert first.vectors(words).shape == (3, 8)


def test_ngrams_say_something_about_unknown_words_and_nothing_is_zero():
    found = learn_words(SENTENCES, width=8, least=50)
    assert "rolls" not in found.counts
    assert found.vectors(["apples", ""])[0].any()
    assert not found.vectors(["apples", ""])[1].any()


def test_too_rare_words_are_refused():
    with pytest.raises(UsageError, match="no word occurs 1000 times"):
        learn_words(SENTENCES, least=1000)


def test_vectors_are_read_from_a_file(tmp_path):
    file = tmp_path / "words.vec"
    file.write_text("2 3\nHaus 1 2 3\nKatze 0.5 0 -1\n", encoding="utf-8")
    found = read_words(file)
    assert set(found.counts) == {"Haus", "Katze"}
    assert found.vectors(["Katze", "Hund"]).tolist() == [[0.5, 0, -1], [0, 0, 0]]


@pytest.mark.parametrize(("name", "content"), [("a.vec", "no vectors"), ("a.bin", "x" * 50)])
def test_other_files_are_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read as word vectors"):
        read_words(tmp_path / name)
    with pytest.raises(DataError, match="cannot be read as word vectors"):
        read_words(tmp_path / "none" / name)
