"""A tokenizer as rules see it: what tokens spell, merges, words, and how bytes are written."""

from __future__ import annotations

import json
import pickle
from itertools import chain

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tokenry.errors import UsageError
from tokenry.plugs.vocabulary import vocabulary

TEXTS = ["the cat sat on the mat\n", "the café's cats, naïve 雪 and 🙂", "a mat, a cat"] * 3


def trained(kind: str) -> Tokenizer:
    if kind == "byte-level":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    elif kind == "metaspace":
        made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
        bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
        trainer = trainers.BpeTrainer(
            vocab_size=330, special_tokens=["<unk>", *bytes_], show_progress=False
        )
    elif kind == "unigram":
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=60, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
        )
    else:
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(
            vocab_size=120, special_tokens=["[UNK]"], show_progress=False
        )
    made.train_from_iterator(TEXTS, trainer)
    if kind == "metaspace":  # the bytes are ordinary pieces
        settings = json.loads(made.to_str())
        settings["added_tokens"] = settings["added_tokens"][:1]
        return Tokenizer.from_str(json.dumps(settings))
    return made


KINDS = ("byte-level", "metaspace", "unigram", "wordpiece")


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_spell_the_text(kind: str) -> None:
    found = vocabulary(trained(kind))
    for text, ids in zip(TEXTS, found.scribe.encode(TEXTS), strict=True):
        spelled = b"".join(found.spelled[token] or b"" for token in ids).decode().strip()
        if kind == "wordpiece":
            assert spelled.replace(" ", "") == "".join(text.split())
        else:
            assert spelled == text.strip()


@pytest.mark.parametrize("kind", KINDS)
def test_writing_a_word_gives_the_tokens_of_the_text(kind: str) -> None:
    """Splitting and then writing each word is what the whole tokenizer does."""
    found = vocabulary(trained(kind))
    for text, ids in zip(TEXTS, found.scribe.encode(TEXTS), strict=True):
        written = [found.scribe.write(word) for word in found.scribe.words(text)]
        if kind == "wordpiece":
            written = [found.scribe.write(b" " + word.strip()) for word in found.scribe.words(text)]
        assert list(chain.from_iterable(written)) == ids


def test_merges_make_what_they_say() -> None:
    found = vocabulary(trained("byte-level"))
    assert len(found.merges) == len(found) - 256 - 1
    for left, right, made in found.merges.tolist():
        assert (found.spelled[left] or b"") + (found.spelled[right] or b"") == found.spelled[made]
    assert not len(vocabulary(trained("unigram")).merges)


def test_merges_written_in_one_string_are_read_too() -> None:
    tokenizer = trained("byte-level")
    settings = json.loads(tokenizer.to_str())
    settings["model"]["merges"] = [" ".join(pair) for pair in settings["model"]["merges"]]
    old = vocabulary(Tokenizer.from_str(json.dumps(settings)))
    assert old.merges.tolist() == vocabulary(tokenizer).merges.tolist()


def test_special_tokens_stand_for_no_text_and_have_their_role() -> None:
    wrapped = PreTrainedTokenizerFast(tokenizer_object=trained("byte-level"), bos_token="<s>")
    found = vocabulary(wrapped)
    assert found.special == {"bos_token": 0}
    assert found.spelled[0] is None
    assert found.pieces[0] == "<s>"
    assert 0 in found.added
    assert 0 not in found.scribe.encode(["<s>"])[0]


@pytest.mark.parametrize("kind", ["byte-level", "metaspace"])
def test_bytes_that_are_no_text_are_written_one_by_one(kind: str) -> None:
    found = vocabulary(trained(kind))
    written = found.scribe.write(b"\xe9\x9b")
    assert b"".join(found.spelled[token] or b"" for token in written) == b"\xe9\x9b"


@pytest.mark.parametrize("kind", ["unigram", "wordpiece"])
def test_what_cannot_be_written_is_empty(kind: str) -> None:
    found = vocabulary(trained(kind))
    assert found.scribe.write("☃".encode()) == []


def test_a_token_outside_the_byte_alphabet_spells_itself() -> None:
    tokenizer = trained("byte-level")
    settings = json.loads(tokenizer.to_str())
    settings["model"]["vocab"]["東"] = len(settings["model"]["vocab"])
    found, plain = (
        vocabulary(one) for one in (Tokenizer.from_str(json.dumps(settings)), tokenizer)
    )
    assert found.spelled == (*plain.spelled, "東".encode())


def test_it_can_be_pickled() -> None:
    found = pickle.loads(pickle.dumps(vocabulary(trained("byte-level"))))
    assert found.scribe.words("a cat") == [b"a", b" cat"]


def test_a_slow_tokenizer_is_refused() -> None:
    with pytest.raises(UsageError, match=r"slow tokenizer.*tokenizer\.json"):
        vocabulary(object())


def test_padding_and_truncation_of_the_file_are_not_ours() -> None:
    tokenizer = trained("wordpiece")
    tokenizer.enable_padding(length=16)
    tokenizer.enable_truncation(2)
    found, plain = vocabulary(tokenizer), vocabulary(trained("wordpiece"))
    assert found.scribe.write(b" cat") == plain.scribe.write(b" cat")
    assert found.scribe.encode(TEXTS) == plain.scribe.encode(TEXTS)
