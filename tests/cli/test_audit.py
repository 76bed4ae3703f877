"""`tokenry audit` from the words that a person types to the report."""

from __future__ import annotations

import json

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers


@pytest.fixture
def files(tmp_path):
    made = Tokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.save(str(tmp_path / "one.json"))
    made.save(str(tmp_path / "two.json"))
    for name in ("de", "en"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text("a b a\n", encoding="utf-8")
    (tmp_path / "words").write_text("aa\nbb\n", encoding="utf-8")
    return tmp_path


def test_it_writes_a_report_and_says_what_it_found(tokenry, files):
    done = tokenry(
        "audit", str(files / "one.json"), str(files / "two.json"), "--text", str(files / "de"),
        "--out", str(files / "r.html"),
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "one: 1.500 bytes per token" not in done.err
    assert "bytes per token" in done.out
    assert "Report:" in done.out
    assert (files / "r.html").exists()


def test_json_is_for_machines(tokenry, files):
    (files / "texts").mkdir()
    for name in ("de", "en"):
        (files / name).rename(files / "texts" / name)
    done = tokenry(
        "audit", str(files / "one.json"), "--text", str(files / "texts"), "--parallel", "--json",
        "--judges", "parity(parallel=True),qtok", "--out", str(files / "r.html"),
    )  # fmt: skip
    assert done.code == 0, done.err
    found = json.loads(done.out)["tokenizers"][0]["found"]
    assert set(found) == {"parity", "qtok"}
    assert found["parity"]["figures"]["premium/de"]["value"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--text", "nowhere"), "nowhere"),
        (("--text", "de", "--out", "no/r.html"), "does not exist"),
        (("--text", "de", "--lexicon", "missing"), "cannot be read as a list of words"),
    ],
)
def test_wrong_usage_is_refused(tokenry, files, words, message, monkeypatch):
    monkeypatch.chdir(files)
    done = tokenry("audit", "one.json", *words)
    assert done.code == 2
    assert message in done.err
