"""Biomedical morphemes: perfect and whole-word cuts, alignment, sequences, morphemes beside BPE."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tokenry import data
from tokenry.errors import UsageError
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import BiomedicalMorphemes
from tokenry.vocab.biomedical_morphemes import common, edits, surface
from tokenry.vocab.medical_words import WORDS


def word_pieces(pieces):
    """A tokenizer that cuts words into the longest of these pieces."""
    names = ["[UNK]", *pieces, *(f"##{piece}" for piece in pieces)]
    made = Tokenizer(models.WordPiece({p: i for i, p in enumerate(names)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.decoder = decoders.WordPiece()
    return vocabulary(made)


def figures(vocab, **settings):
    found = BiomedicalMorphemes(**settings).judge(vocab)
    return {name: figure.value for name, figure in found.figures.items()}


def test_the_words_are_three_hundred_and_cut():
    assert len(WORDS) >= 300
    assert len({"".join(word) for word in WORDS}) == len(WORDS)
    assert all(len(word) >= 2 and all(word) for word in WORDS)


def test_the_morphemes_themselves_score_full_marks():
    gold = ("cardi o logy", "neur algia", "an emia")
    found = figures(word_pieces(["cardi", "o", "logy", "neur", "algia", "an", "emia"]), gold=gold)
    assert (found["precision"], found["recall"], found["F"]) == (100, 100, 100)
    assert found["distance"] == found["whole"] == 0


def test_whole_words_find_words_of_one_morpheme_alone():
    gold = ("cell", "cardi o logy", "blood", "neur algia")
    vocab = word_pieces(["cell", "cardiology", "blood", "neuralgia"])
    found = figures(vocab, gold=gold)
    assert found["recall"] == pytest.approx(100 * 2 / 7)
    assert found["precision"] == 50
    assert found["whole"] == 100
    assert found["distance"] == pytest.approx((0 + 2 + 0 + 1) / 4)


def test_letters_are_all_that_a_tokenizer_of_letters_finds():
    vocab = word_pieces(list("abcdefghijklmnopqrstuvwxyz"))
    found = figures(vocab, gold=("a cardi o logy",))
    assert found["recall"] == 50
    assert found["precision"] == pytest.approx(100 * 2 / 11)


@pytest.mark.parametrize(
    ("word", "pieces", "cut"),
    [
        ("cardiology", "cardi o logy", "cardi o logy"),
        ("therapies", "therapy s", "therapie s"),
        ("biopsies", "bio opsy s", "bio psie s"),
        ("running", "run ing", "run n ing"),
        ("happily", "happy ly", "happi ly"),
        ("ababab", "ab ab ab", "ab ab ab"),
        ("preoperative", "pre operate ive", "pre operat ive"),
        ("xyz", "q w", "xyz"),
    ],
)
def test_canonical_morphemes_are_laid_over_the_letters(word, pieces, cut):
    assert surface(word, tuple(pieces.split())) == tuple(cut.split())


@given(st.text("ab", max_size=7), st.text("ab", max_size=7))
def test_common_pieces_and_edits_by_brute_force(left, right):
    def parts(text):
        return {
            tuple(text[i] for i in chosen)
            for size in range(len(text) + 1)
            for chosen in combinations(range(len(text)), size)
        }

    assert common(left, right) == max(map(len, parts(left) & parts(right)))

    @cache
    def distance(i, j):
        if not (i and j):
            return i + j
        same = distance(i - 1, j - 1) + (left[i - 1] != right[j - 1])
        return min(same, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    assert edits(left, right) == distance(len(left), len(right))


def test_a_line_without_morphemes_is_refused():
    with pytest.raises(UsageError, match="gold holds 'cell:', which names none"):
        figures(word_pieces(["a"]), gold=("cell:",))


def test_claim_a_vocabulary_of_morphemes_is_far_better_than_bpe():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel()
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=8000, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator({one.text for one in data.load_text("manpages")}, trainer)
    general = figures(vocabulary(made))
    own = figures(word_pieces(sorted({piece for word in WORDS for piece in word})))
    assert own["F"] > general["F"] + 20
    assert own["F"] < 100  # the longest piece is not always the right one
