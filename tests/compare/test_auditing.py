"""Audits: intervals and pairs against what was planted, refusals, names, words that are cut."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import tokenry
from tokenry.compare.splits import pieces_of, worst
from tokenry.errors import DataError, UnknownNameError, UsageError
from tokenry.plugs.usage import usage
from tokenry.plugs.vocabulary import vocabulary

WORDS = ["der", "schnelle", "braune", "Fuchs", "springt", "über", "den", "faulen", "Hund", "Haus"]


def texts(seed: int, n: int = 40) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 12)) for _ in range(n)]


def trained(size: int, kind: str = "bpe") -> Tokenizer:
    if kind == "unigram":
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=size, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
        )
    else:
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    made.train_from_iterator(texts(0, 200), trainer)
    return made


@pytest.fixture(scope="module")
def small():
    return trained(258)


@pytest.fixture(scope="module")
def large():
    return trained(320)


JUDGES = ["parity", "qtok", "glitch"]


def test_the_same_texts_side_by_side(small, large):
    found = tokenry.audit([small, large], {"de": texts(1), "xx": texts(2)}, JUDGES)
    assert [one.name for one in found.tokenizers] == ["Tokenizer", "Tokenizer (2)"]
    assert [one.name for one in found.categories] == ["de", "xx"]
    for one, made in zip(found.tokenizers, (small, large), strict=True):
        tokens = sum(len(made.encode(text).ids) for text in texts(1))
        size = sum(len(text.encode()) for text in texts(1))
        own = one.bytes_per_token["de"]
        assert own.value == pytest.approx(size / tokens)
        assert one.written == tokens + sum(len(made.encode(text).ids) for text in texts(2))
        assert 0 < one.seconds < 60
        assert own.low < own.value < own.high
        figures = one.found["parity"].figures
        assert figures["bytes per token/de"]["value"] == pytest.approx(own.value)
    whole = next(pair for pair in found.pairs if not pair.category)
    first, second = (one.bytes_per_token[""].value for one in found.tokenizers)
    assert whole.ratio.value == pytest.approx(second / first)
    assert (whole.verdict, len(found.pairs)) == ("better", 3)
    assert found.core == 258
    assert [one.only for one in found.tokenizers] == [0, len(vocabulary(large)) - 258]
    assert found.tokenizers[0].shared == {"Tokenizer (2)": 1.0}


def test_added_tokens_that_merges_make_are_taken_whole():
    """Tokens put in by hand that merges make, and that are parts of further merges."""
    merges = [("b", "a"), ("ba", "r"), ("bar", "s")]
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "ba", "bar", "bars"]
    made = Tokenizer(models.BPE({piece: token for token, piece in enumerate(pieces)}, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_tokens(["bar"])
    said = {"one": ["bars", "bars ba"], "two": ["ba bars", "bar"]}
    judges = [*JUDGES, "data-mixture(merges=3, resamples=0)"]
    (found,) = tokenry.audit(made, said, judges).tokenizers
    assert not [judge for judge, one in found.found.items() if one.refused]
    assert found.found["data-mixture"].tables["put in by hand"] == [{"token": "bar"}]
    lost = [row["token"] for row in found.found["glitch"].tables["unreachable"]]
    assert lost == ["bars"]  # the added token comes before it
    assert found.written == 2 + (2 + 2) + (2 + 2) + 1


def test_a_tokenizer_against_itself_is_identical(large):
    found = tokenry.audit([large, large], texts(1), ["parity"])
    assert [pair.verdict for pair in found.pairs] == ["identical"] * 2
    assert found.pairs[0].ratio.low == found.pairs[0].ratio.high == 1


def test_one_text_is_too_little_for_a_verdict(small, large):
    found = tokenry.audit([small, large], texts(1, 1), ["parity"])
    assert {pair.verdict for pair in found.pairs} == {"not distinguishable"}


def test_a_judge_that_cannot_judge_says_why(small):
    found = tokenry.audit(small, texts(1), ["parity", "token-purity"])
    (one,) = found.tokenizers
    assert "give valid words" in one.found["token-purity"].refused
    assert not one.found["parity"].refused
    assert "token-purity was left out" in str(found)


def test_lists_come_from_files_and_name_their_judge(small, tmp_path):
    (tmp_path / "words.txt").write_text("\n".join(WORDS), encoding="utf-8")
    found = tokenry.audit(small, {"de": texts(1)}, lexicon=tmp_path / "words.txt", language="de")
    judged = found.tokenizers[0].found
    assert {"parity", "qtok", "glitch", "token-purity"} <= set(judged)
    words = judged["token-purity"].figures["words"]["value"]
    assert f"% of the tokens written that are words: {words:.2f}\n" in f"{found}\n"


def test_what_is_asked_for_most_is_said_with_intervals(small):
    said = {"de": [" ".join(WORDS), "Hund Haus"], "en": ["the quick brown fox", "a dog"]}
    text = str(tokenry.audit(small, said, ["parity(parallel=True, reference=de)", "data-mixture"]))
    lines = dict(line.split(": ", 2)[1:] for line in text.split("\n") if line.count(": ") == 2)
    assert lines["tokens for the same, times those of the reference"].startswith(
        "de 1.00 (1.00 to 1.00), en "
    )
    assert re.fullmatch(
        r"de [01]\.\d\d \(.* to .*\), en [01]\.\d\d \(.*\)", lines["share of the training text"]
    )


def test_files_and_folders_are_named_after_themselves(small, large, tmp_path):
    (tmp_path / "mine").mkdir()
    small.save(str(tmp_path / "mine" / "tokenizer.json"))
    large.save(str(tmp_path / "other.json"))
    names = [str(tmp_path / "mine" / "tokenizer.json"), tmp_path / "other.json"]
    found = tokenry.audit(names, texts(1), ["parity"])
    assert [one.name for one in found.tokenizers] == ["mine", "other"]


def test_tokenizers_of_other_kinds_are_judged_too():
    found = tokenry.audit(trained(60, "unigram"), texts(1), JUDGES)
    assert found.tokenizers[0].kind == "Unigram"
    assert not any(one.refused for one in found.tokenizers[0].found.values())


def test_everything_is_plain_data(small):
    found = tokenry.audit(small, texts(1), JUDGES)
    assert json.loads(json.dumps(found.to_dict()))["tokenizers"][0]["size"] == 258


def test_a_tokenizer_that_changes_texts_is_noted(small):
    lower = Tokenizer.from_str(small.to_str())
    lower.normalizer = normalizers.Lowercase()
    notes = tokenry.audit([small, lower], {"en": ["One text.", "Two texts."]}, ["parity"]).notes
    assert len(notes) == 1
    assert "does not give every text back" in notes[0]


def test_an_empty_category_is_named(small):
    with pytest.raises(DataError, match="the category 'de': the list holds no texts"):
        tokenry.audit(small, {"en": ["One text."], "de": []})


def test_broken_bytes_are_noted(small, tmp_path):
    (tmp_path / "a.txt").write_bytes(b"der Hund \xff\n")
    notes = tokenry.audit(small, tmp_path, ["parity"]).notes
    assert notes == (
        f"{tmp_path.name}: 1 bytes are not UTF-8 and were read as replacement characters.",
    )


@pytest.mark.parametrize(
    ("tokenizers", "judges", "error", "message"),
    [
        ([], None, UsageError, "there are no tokenizers"),
        (["no/such/folder"], None, UsageError, "no/such/folder"),
        (["zoo:nothing"], None, UnknownNameError, "zoo"),
        ([object()], None, UsageError, "slow tokenizer"),
        (None, ["tome"], UsageError, "'tome' is no judge of vocabularies"),
        (None, ["qtoc"], UnknownNameError, "nearest: qtok"),
    ],
)
def test_what_is_wrong_is_refused(small, tokenizers, judges, error, message):
    with pytest.raises(error, match=message):
        tokenry.audit(small if tokenizers is None else tokenizers, texts(1), judges)


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(UsageError, match=r"x\.json' cannot be read"):
        tokenry.audit(str(tmp_path / "x.json"), texts(1))


def test_words_that_cost_the_most_come_first(small):
    vocab = vocabulary(small)
    (one,) = usage([vocab], {"x": ["Haus schnelle schnelle a schnelle Haus"]})[0]
    found = worst(vocab, one)
    assert ["".join(split.pieces).strip() for split in found][:2] == ["schnelle", "Haus"]
    assert found[0].times == 3
    assert all(len(split.pieces) >= 3 for split in found)


def test_words_that_occur_once_come_last(small):
    vocab = vocabulary(small)
    (one,) = usage([vocab], {"x": ["Q7x9Zk2LmP0vW8 schnelle a schnelle"]})[0]
    found = ["".join(split.pieces).strip() for split in worst(vocab, one)]
    assert found == ["schnelle", "Q7x9Zk2LmP0vW8"]


def test_halves_of_characters_wait_for_the_rest(small):
    vocab = vocabulary(small)
    ids = vocab.scribe.encode(["a雪b"])[0]
    assert pieces_of(vocab, ids) == ("a", "…", "…", "雪", "b")
