"""Texts as usage: against loops over the whole text, in pieces, broken, empty, of any source."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tokenry.data.streams import PIECE, stream
from tokenry.errors import DataError, UsageError
from tokenry.plugs.usage import _Shape, usage, usage_of_ids
from tokenry.plugs.vocabulary import vocabulary

TEXTS = [
    "the cat sat on the mat, the naïve cat\n",
    "  a  mat\tand  another one: unbelievable!\n\n",
    "",
    "cats cats cats",
]


def trained(size: int = 300) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        TEXTS * 3,
        trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False),
    )
    return made


@pytest.fixture(scope="module")
def vocab():
    return vocabulary(trained())


def words_by_loop(vocab, texts):
    """Whole and split words: spell the text, note the token of each byte, split at blanks."""
    whole = split = 0
    for ids in vocab.scribe.encode(texts):
        owners, spelled = [], b""
        for number, token in enumerate(ids):
            spelled += vocab.spelled[token]
            owners += [number] * len(vocab.spelled[token])
        at = 0
        for word in spelled.split():
            at = spelled.index(word, at)
            one = len(set(owners[at : at + len(word)])) == 1
            whole, split = whole + one, split + (not one)
            at += len(word)
    return whole, split


def test_it_counts_what_a_loop_counts(vocab):
    texts = {"x": [text for text in TEXTS if text]}
    (found,) = usage([vocab], texts, words=True)[0]
    written = vocab.scribe.encode(texts["x"])
    assert (
        found.counts.tolist() == np.bincount(np.concatenate(written), minlength=len(vocab)).tolist()
    )
    assert (found.texts, found.size) == (3, sum(len(t.encode()) for t in TEXTS))
    assert found.characters == sum(map(len, TEXTS))
    assert found.blank_words == sum(len(t.split()) for t in TEXTS)
    assert (found.whole_words, found.split_words) == words_by_loop(vocab, TEXTS)
    assert found.lengths.tolist() == [
        [len(t.encode()), len(ids)] for t, ids in zip(texts["x"], written, strict=True)
    ]
    assert found.words == Counter(word for t in TEXTS for word in vocab.scribe.words(t))
    assert [row.tolist() for row in found.sequences] == written
    assert len(found.parts) == 3
    assert sum(map(Counter, found.parts), Counter()) == found.words


def test_words_of_tokens_that_hold_several_and_texts_that_touch():
    made = vocabulary(Tokenizer(models.WordLevel({"ab": 0, " c d": 1, "e f": 2, "g ": 3, "h": 4})))
    shape = _Shape(made)
    shape.runs[:] = [1, 2, 2, 1, 1]
    ids = np.array([0, 4, 1, 2, 3, 4, 4])  # abh| c d·e f·g |h | h
    assert shape.words(ids, np.array([0, 6, 6, 7])) == (3, 3)
    assert shape.words(ids[:0], np.array([0])) == (0, 0)


def test_a_long_text_is_cut_at_lines_and_loses_nothing(tmp_path, vocab):
    line = "naïve cats sat; " * 40
    text = "\n".join([line] * 400) + "é" * PIECE
    (tmp_path / "de").mkdir()
    (tmp_path / "de" / "a.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    pieces = list(stream(tmp_path))
    assert "".join(piece.text for piece in pieces) == text
    assert all(len(piece.text.encode()) <= PIECE for piece in pieces)
    assert sum(not piece.text.endswith("\n") for piece in pieces) == 4
    assert {(piece.category, piece.name, piece.broken) for piece in pieces} == {("de", "a.txt", 0)}
    assert [piece.text for piece in stream([text])] == [piece.text for piece in pieces]


def test_bytes_that_are_no_utf8_are_counted_and_no_accident(tmp_path, vocab):
    (tmp_path / "a.txt").write_bytes("é".encode() + b"\xff\xfe caf\xe9 \xef\xbf\xbd\n")
    (found,) = usage([vocab], tmp_path)[0]
    assert found.broken == 3
    assert found.category == tmp_path.name


def test_categories_come_from_folders_tables_and_mappings(tmp_path, vocab):
    for name, text in (("de", "eine Katze"), ("en", "a cat")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text(text)
    rows = [{"text": "eine Katze", "domain": "de"}, {"text": "a cat", "domain": "en"}]
    table = tmp_path / "t.jsonl"
    table.write_text("\n".join(map(json.dumps, rows)))
    for source in (
        tmp_path,
        table,
        {"de": ["eine Katze"], "en": ["a cat"]},
        {"de": tmp_path / "de", "en": tmp_path / "en" / "x.txt"},
    ):
        found = usage([vocab], source)[0]
        assert [(one.category, one.size) for one in found] == [("de", 10), ("en", 5)]


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ({"de": ["a"], "tr": [" \n "]}, DataError, "is empty; give text"),
        ({}, UsageError, "mapping is empty"),
        (7, UsageError, "int is not read; give a folder"),
        ([], DataError, "the list holds no texts"),
    ],
)
def test_what_holds_no_text_is_refused(vocab, texts, error, message):
    with pytest.raises(error, match=message):
        usage([vocab], texts)


def test_an_empty_category_is_refused_in_words(tmp_path, vocab):
    (tmp_path / "de").mkdir()
    (tmp_path / "de" / "a.txt").write_text("eine Katze")
    (tmp_path / "tr").mkdir()
    with pytest.raises(DataError, match="category 'tr' holds no texts; put text files"):
        usage([vocab], tmp_path)
    (tmp_path / "tr" / "a.txt").write_text(" \n")
    with pytest.raises(DataError, match="category 'tr' holds no text; give it some"):
        usage([vocab], tmp_path)


def test_several_vocabularies_read_the_same_texts_once(vocab):
    other = vocabulary(trained(270))
    (one,), (two,) = usage([vocab, other], {"x": ["the cat sat on the mat"]})
    assert one.lengths[:, 0].tolist() == two.lengths[:, 0].tolist()
    assert one.counts.sum() < two.counts.sum()


def test_ids_of_any_kind():
    found = usage_of_ids([[3, 3, 0], [1]], 5, "codes")
    assert found.counts.tolist() == [1, 1, 0, 2, 0]
    assert found.category == "codes"
    assert [row.tolist() for row in found.sequences] == [[3, 3, 0], [1]]
