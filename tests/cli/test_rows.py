"""`tokenry tune-classifier` and `tokenry transform-rows`: what they print, write and refuse."""

from __future__ import annotations

import json

import pytest
import torch
from tests.tables.test_classifying import config, tokenizer
from transformers import BertModel

import tokenry.plugs.referee
from tokenry.cli import main


@pytest.fixture
def table(tmp_path):
    rows = ["text,other,kind", *(f"{'ab'[i % 2] * 3}{i},x{i},{'yn'[i % 2]}" for i in range(40))]
    path = tmp_path / "texts.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return str(path)


def test_a_classifier_is_trained_and_saved(table, tmp_path, capsys):
    torch.manual_seed(0)
    BertModel(config()).save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    words = ["tune-classifier", table, "--left", "text", "--right", "other", "--label", "kind"]
    words += ["--classifier", str(tmp_path / "model"), "--steps", "2", "--balanced"]
    capsys.readouterr()
    assert main([*words, "--out", str(tmp_path / "one")]) == 0
    said = capsys.readouterr().out
    assert "Rows: 28 train, 6 validation, 6 test; labels: n, y." in said
    assert (tmp_path / "one" / "model.safetensors").is_file()
    assert main([*words, "--out", str(tmp_path / "two"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == ["n", "y"]
    words = ["classify-pairs", table, "--left", "text", "--right", "other"]
    assert main([*words, "--classifier", str(tmp_path / "one")]) == 0
    assert "40 rows" in capsys.readouterr().out


class Writer:
    def yes(self, prompts):
        raise AssertionError

    options = yes

    def write(self, prompts, tokens):
        assert prompts[0].startswith("Text: A Ltd\nNew text: A\n\nText: aaa0\n\nShorten. ")
        return [f"new {tokens}" for _ in prompts]


def test_texts_are_written_anew(table, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tokenry.plugs.referee, "referee", lambda source: Writer())
    words = ["transform-rows", table, "--on", "text", "--referee", "zoo:smollm2-135m"]
    words += ["--task", "Shorten.", "--shot", "A Ltd=A", "--tokens", "7"]
    out = tmp_path / "out.csv"
    assert main([*words, "--out", str(out)]) == 0
    assert "A new text in 'transformed_text' for 40 of 40 rows" in capsys.readouterr().out
    assert out.read_text(encoding="utf-8").splitlines()[1].endswith(',"new 7"')
    words += ["--json", "--column", "short", "--folder", str(tmp_path / "run")]
    for kept in (0, 40):
        assert main(words) == 0
        said = json.loads(capsys.readouterr().out)
        assert (said["column"], said["kept"]) == ("short", kept)


def test_wrong_words_end_with_two(table, capsys):
    words = ["transform-rows", table, "--on", "text", "--referee", "x"]
    assert main([*words, "--shot", "no sign"]) == 2
    assert "write TEXT=NEW" in capsys.readouterr().err
    assert main([*words, "--out", "no/where.csv"]) == 2
    assert "does not exist" in capsys.readouterr().err
