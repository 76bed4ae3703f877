"""`tokenry tune` and `tokenry classify-pairs`: what they print, write and refuse."""

from __future__ import annotations

import json

import pytest

from tokenry.cli import main


@pytest.fixture
def tiny_encoder(recipes, tmp_path):
    """A folder with an encoder of letters, from random weights."""
    made = recipes("linker_scripts").encoder(["abdefiklmnostu"] * 5, width=16)
    made.save_pretrained(str(tmp_path / "tiny"), create_model_card=False)
    return str(tmp_path / "tiny")


def write(path, rows):
    path.write_text("\n".join(",".join(row) for row in rows) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def table(tmp_path):
    rows = [("a", "b", "same"), ("Acme, Inc", "acme inc", "1"), ("zebra", "other", "0")]
    return write(tmp_path / "pairs.csv", [[f'"{cell}"' for cell in row] for row in rows])


def test_pairs_are_decided_and_written(table, tmp_path, capsys):
    out = tmp_path / "out.csv"
    words = ["classify-pairs", table, "--left", "a", "--right", "b", "--method", "exact"]
    assert main([*words, "--label", "same", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "2 rows (Exact()): 1 matches, 1 others." in said
    assert "f1 1.0000" in said
    assert out.read_text(encoding="utf-8").splitlines()[1].endswith("1,true")
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"matches": 1, "others": 1}


def test_an_encoder_is_tuned_and_saved(tmp_path, capsys, tiny_encoder):
    names = [f"{a}{b}" for a in ("ba", "di", "ko", "lu", "me") for b in ("na", "si", "to", "fu")]
    rows = [("full", "short"), *((name, name[0] + name[2]) for name in names)]
    table = write(tmp_path / "pairs.csv", rows)
    words = ["tune", table, "--left", "full", "--right", "short", "--encoder", tiny_encoder]
    words += ["--held-out", "0.5", "--steps", "3", "--rate", "1e-3"]
    assert main([*words, "--out", str(tmp_path / "one")]) == 0
    said = capsys.readouterr().out
    assert "SupCon(): 3 steps" in said
    assert "Test accuracy@1" in said
    assert (tmp_path / "one" / "modules.json").is_file()
    assert main([*words, "--out", str(tmp_path / "two"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == {"train": 10, "validation": 5, "test": 5}


def test_wrong_words_end_with_two(table, tmp_path, capsys):
    assert main(["classify-pairs", table, "--left", "a"]) == 2
    assert "left names 1 columns and right 0" in capsys.readouterr().err
    assert main(["classify-pairs", table, "--left", "a", "--out", "no/where.csv"]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["tune", table, "--left", "a", "--out", str(tmp_path / "x")]) == 2
    assert "left and right go together" in capsys.readouterr().err
