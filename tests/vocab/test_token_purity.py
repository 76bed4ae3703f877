"""Token purity: word, morpheme and byte tokenizers, Turkish letters, other scripts, growth."""

from __future__ import annotations

import random
import re
from itertools import chain

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tokenry.errors import UsageError
from tokenry.plugs.usage import usage
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import TokenPurity

ROOTS = re.findall(
    r"\w+",
    "ev kitap göz yol deniz kapı araba çiçek okul şehir kalem defter ağaç bulut ışık ",
)
AFFIXES = re.findall(
    r"\w+",
    "ler lar de da den dan im ım iniz ınız siz sız lik lık ci cı ",
)


def turkish(seed: int, n: int = 1500) -> tuple[list[str], set[str]]:
    """Words of a root and up to three affixes, as texts of a few words, and the words."""
    rng = random.Random(seed)
    words = [
        rng.choice(ROOTS) + "".join(rng.choices(AFFIXES, k=rng.choice((0, 0, 1, 1, 2, 3))))
        for _ in range(n)
    ]
    return [" ".join(words[i : i + 10]) for i in range(0, n, 10)], set(words)


def trained(texts: list[str], size: int) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    )
    return made


def word_level(tokens) -> Tokenizer:
    ids = {token: i for i, token in enumerate([*tokens, "[UNK]"])}
    made = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    made.add_special_tokens(["[UNK]"])
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def judged(tokenizer, texts, **settings):
    vocab = vocabulary(tokenizer)
    found = TokenPurity(**settings).judge(vocab, usage([vocab], {"tr": texts})[0])
    return {name: figure.value for name, figure in found.figures.items()} | found.tables


def test_words_of_the_lexicon_are_all_words():
    texts, words = turkish(0)
    found = judged(word_level(sorted(words)), texts, lexicon=tuple(words))
    assert found["words"] == found["words by occurrence"] == 100
    assert found["produced"] == len(words)
    assert found["neither"] == []
    assert "pure" not in found


def test_morphemes_are_all_pure():
    pieces = [*ROOTS, *AFFIXES]
    made = Tokenizer(
        models.WordPiece(
            {"[UNK]": 0} | {p: i for i, p in enumerate([*ROOTS, *(f"##{a}" for a in AFFIXES)], 1)},
            unk_token="[UNK]",
        )
    )
    made.add_special_tokens(["[UNK]"])
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.decoder = decoders.WordPiece()
    texts, words = turkish(1)
    found = judged(made, texts, lexicon=tuple(words), morphemes=tuple(pieces))
    assert found["pure"] == found["pure by occurrence"] == 100
    written = set(chain.from_iterable(made.encode(text).tokens for text in texts))
    valid = {t.removeprefix("##") for t in written} & words
    assert found["words"] == pytest.approx(100 * len(valid) / len(written))


def test_bytes_are_neither():
    texts, words = turkish(2)
    lists = {"lexicon": (*words, "o"), "morphemes": (*ROOTS, "a")}
    found = judged(trained(texts, 256), texts, **lists)
    assert (found["words"], found["pure"]) == (0, 0)
    found = judged(trained(texts, 256), texts, **lists, shortest=1)
    assert 0 < found["words"] < 10


def test_shares_against_a_count_by_hand():
    made = word_level(["ev", "Ev", "evler", "ler", "x1", "12", "o"])
    text = "ev Ev evler ler ler ler x1 12 12 o"
    found = judged(made, [text], lexicon=("ev", "evler", "o"), morphemes=("ev", "ler"))
    assert found["produced"] == 6  # ev and Ev are one
    assert found["words"] == pytest.approx(100 * 2 / 6)
    assert found["words by occurrence"] == pytest.approx(100 * 3 / 10)
    assert found["pure"] == pytest.approx(100 * 2 / 6)
    assert found["pure by occurrence"] == pytest.approx(100 * 5 / 10)
    assert found["neither"] == [{"token": "x1", "written": 1}, {"token": "o", "written": 1}]
    assert judged(made, [text], lexicon=("ev",), letters_only=True)["produced"] == 5


def test_small_letters_are_turkish_ones():
    made = word_level(["IŞIK", "İLE"])
    texts = ["IŞIK İLE"]
    assert judged(made, texts, lexicon=("ışık", "ile"))["words"] == 100
    assert judged(made, texts, lexicon=("ışık", "ile"), language="en")["words"] == 0


def test_the_category_of_the_language_is_judged():
    made = word_level(["ev", "house"])
    vocab = vocabulary(made)
    both = usage([vocab], {"en": ["house"], "tr": ["ev"]})[0]
    assert TokenPurity(lexicon=("ev",)).judge(vocab, both).figures["words"].value == 100
    other = TokenPurity(lexicon=("ev",), language="az").judge(vocab, both)
    assert other.figures["words"].value == 50


@pytest.mark.parametrize(
    ("lists", "texts", "message"),
    [
        ({}, ["ev"], "lexicon and morphemes are both empty; give valid words of 'tr'"),
        ({"lexicon": ("дом", "лес")}, ["ev"], "lists are in Cyrillic, the texts in Latin"),
        ({"lexicon": ("ev",)}, ["?"], "no token was written"),
    ],
)
def test_what_cannot_be_judged_is_refused(lists, texts, message):
    with pytest.raises(UsageError, match=message):
        judged(word_level(["ev"]), texts, **lists)
