"""Bpe, Unigram, WordPiece: what every trainer of a vocabulary promises, and what each one is."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tokenry.alphabet import LETTERS, to_letters
from tokenry.errors import UsageError
from tokenry.method import END
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import Bpe, LessIsBetter, Unigram, WordPiece

TEXTS = ["the cat sat on the mat\nthe cat ate the rat\n", "naïve 雪 and 🙂 at the café\n"] * 20
TRAINERS = [Bpe, Unigram, WordPiece, LessIsBetter]


def learner(cls, size=320):
    return cls(size=size, documents=5) if cls is LessIsBetter else cls(size=size)


@pytest.fixture(scope="module", params=TRAINERS, ids=lambda cls: cls.card.slug)
def trained(request):
    return learner(request.param).train(TEXTS)


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_comes_back_as_it_was(trained, text):
    assert trained.decode(trained.encode(text).ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("text", ["x" * 5000, "\n\n \r\n\t", "é" * 700, "\x00\ufeff", ""])
def test_odd_texts_come_back_as_they_were(trained, text):
    assert trained.decode(trained.encode(text).ids, skip_special_tokens=False) == text


def test_the_end_comes_first_and_all_bytes_are_there(trained):
    tokens = trained.get_vocab()
    assert tokens[END] == 0
    assert set(LETTERS) <= set(tokens)
    assert len(tokens) <= 320


def test_a_saved_folder_loads(trained, tmp_path):
    PreTrainedTokenizerFast(tokenizer_object=trained, eos_token=END).save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded("the cat\nis here")["input_ids"] == trained.encode("the cat\nis here").ids
    assert loaded.eos_token_id == 0
    assert vocabulary(loaded).spelled[trained.token_to_id("t")] == b"t"


@pytest.mark.parametrize("cls", TRAINERS, ids=lambda cls: cls.card.slug)
def test_too_small_and_empty_are_refused(cls):
    with pytest.raises(UsageError, match=rf"{cls.__name__}: size=200 leaves no room"):
        learner(cls, 200).train(TEXTS)
    for texts in ([], ["", ""], iter(())):
        with pytest.raises(UsageError, match=f"{cls.__name__}: the texts hold nothing"):
            cls().train(texts)


@pytest.mark.parametrize("cls", [Bpe, WordPiece, LessIsBetter])
def test_the_same_texts_give_the_same_tokenizer(cls):
    assert learner(cls).train(TEXTS).to_str() == learner(cls).train(iter(TEXTS)).to_str()


def test_unigram_differs_in_scores_only():
    first, second = (
        {row[0] for row in json.loads(Unigram(size=320).train(TEXTS).to_str())["model"]["vocab"]}
        for _ in range(2)
    )
    assert len(first & second) >= 0.98 * len(first)


def test_bpe_takes_the_most_frequent_pair_first():
    words = ["low"] * 5 + ["lower"] * 2 + ["newest"] * 6 + ["widest"] * 3
    vocab = vocabulary(Bpe(size=261).train(words))
    made = [vocab.spelled[token].decode() for token in vocab.merges[:, 2]]
    assert made == ["es", "est", "lo", "low"]  # by hand: 9, 9, 7, 7


def test_wordpiece_writes_a_word_with_its_longest_prefixes():
    tokenizer = WordPiece(size=300).train(TEXTS)
    tokens = tokenizer.get_vocab()
    for word in ("the", "there", " mattress", "sationing"):
        left, expected = to_letters(word.encode()), []
        while left:
            longest = max((t for t in tokens if left.startswith(t)), key=len)
            expected.append(longest)
            left = left[len(longest) :]
        assert tokenizer.encode(word).tokens == expected


def test_unigram_writes_text_in_the_likeliest_way():
    """Against trying every way to cut a word."""
    tokenizer = Unigram(size=300).train(TEXTS)
    scores = dict(map(tuple, json.loads(tokenizer.to_str())["model"]["vocab"]))

    def best(word):
        ways = [(scores[word], [word])] if word in scores else []
        for cut in range(1, len(word)):
            if word[:cut] in scores:
                rest = best(word[cut:])
                ways.append((scores[word[:cut]] + rest[0], [word[:cut], *rest[1]]))
        return max(ways)

    for word in ("cat", "matter", "therat"):
        assert sum(scores[t] for t in tokenizer.encode(word).tokens) == pytest.approx(best(word)[0])


def test_tokens_of_words_never_hold_a_space_inside():
    for cls in (Bpe, Unigram, WordPiece):
        found = Counter("Ġ" in token[1:] for token in cls(size=320).train(TEXTS).get_vocab())
        assert found[True] == 0
