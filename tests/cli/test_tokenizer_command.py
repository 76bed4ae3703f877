"""`tokenry tokenizer train`: from texts to a folder."""

import json

from transformers import AutoTokenizer


def test_texts_become_a_folder_that_loads(tokenry, tmp_path):
    (tmp_path / "a.txt").write_text("the cat sat on the mat\n" * 50)
    (tmp_path / "b.txt").write_text("the rat ate the hat\n" * 50)
    done = tokenry(
        "tokenizer", "train", "a.txt", "b.txt", "--size", "265", "--out", "out", "--json"
    )
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["size"] == 265
    assert found["held_out"] + found["learned_from"] == 50 * 43
    assert found["bytes_per_token"] == found["bpe_bytes_per_token"] > 1
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("the cat")["input_ids"]


def test_settings_of_a_trainer_are_read(tokenry, tmp_path):
    (tmp_path / "a.txt").write_text("the cat sat on the mat\n" * 50)
    method = "less-is-better(documents=3)"
    done = tokenry("tokenizer", "train", "a.txt", "--method", method, "--out", "out")
    assert done.code == 0, done.err
    assert "LessIsBetter(documents=3)" in done.out


def test_wrong_usage_says_what_to_do(tokenry, tmp_path):
    (tmp_path / "a.txt").write_text("the cat sat on the mat\n" * 50)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    for words, message in (
        (("a.txt", "--out", "full"), "holds something; give a new folder"),
        (("a.txt", "--out", "o", "--method", "snapkv"), "'snapkv' is no trainer of tokenizers"),
        (("a.txt", "--out", "o", "--method", "dnabert2"), "DNABERT2: base 2 is 'H'"),
        (("a.txt", "--out", "o", "--size", "100"), "size=100 leaves no room"),
        (("none.txt", "--out", "o"), "no such file"),
    ):
        done = tokenry("tokenizer", "train", *words)
        assert done.code == 2
        assert message in done.err
    assert not (tmp_path / "o").exists()
