"""`tokenry transplant`: a folder that loads, figures, JSON, a report, methods side by side."""

import json
from pathlib import Path

import pytest
import torch

GERMAN = "Die Katze saß auf der Matte und sah den Hut, über den sie schlief.\n"


def _tokenizer(folder, texts, **roles):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<end>", "<begin>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    PreTrainedTokenizerFast(tokenizer_object=inner, **roles).save_pretrained(folder)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A tiny language model, another tokenizer, and texts."""
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = tmp_path_factory.mktemp("home")
    _tokenizer(folder / "model", ["the cat sat on the mat"], eos_token="<end>")
    _tokenizer(folder / "new", [GERMAN] * 3, eos_token="<end>")
    _tokenizer(folder / "clash", [GERMAN], eos_token="<end>", bos_token="<end>")
    shape = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 512, "vocab_size": 300}
    GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=1, eos_token_id=0)).save_pretrained(
        folder / "model"
    )
    (folder / "texts").mkdir()
    for i in range(12):
        (folder / "texts" / f"{i}.txt").write_text(f"{i}. {GERMAN}" * 8, encoding="utf-8")
    return folder


def _words(home, out, method="fvt", new="new"):
    return ("transplant", home / "model", home / new, "--method", method, "--text",
            home / "texts", "--held-out", 3000, "--out", out)  # fmt: skip


def test_it_says_what_was_lost_and_saved_and_leaves_a_folder(tokenry, home, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    done = tokenry(*_words(home, tmp_path / "out"), "--train-steps", 3)
    assert done.code == 0, done.err
    assert "bits per byte" in done.out
    assert "after 3 steps" in done.out
    assert f"Saved: {tmp_path / 'out'}" in done.out
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    ids = AutoTokenizer.from_pretrained(tmp_path / "out")("Die Katze", return_tensors="pt")
    assert torch.isfinite(model(**ids).logits).all()
    assert not (tmp_path / "out" / "training").exists()


def test_json_holds_the_figures_and_so_does_the_folder(tokenry, home, tmp_path):
    done = tokenry(*_words(home, tmp_path / "out", "lexical-copy"), "--json")
    found = json.loads(done.out)
    assert set(found["bits_per_byte"]) == {"before", "after"}
    assert sum(found["rows"].values()) == found["target"]["tokens"]
    before, after = (found["bytes_per_token"][name] for name in ("before", "after"))
    assert found["tokens_saved"] == pytest.approx(1 - before / after)
    saved = json.loads((tmp_path / "out" / "transplant.json").read_text(encoding="utf-8"))
    assert saved["bits_per_byte"] == found["bits_per_byte"]


def test_several_methods_stand_side_by_side_in_a_report(tokenry, home, tmp_path):
    page, out = tmp_path / "moved.html", tmp_path / "out"
    methods = "fvt, random-rows, fvt"
    done = tokenry(*_words(home, out, methods), "--report", page, "--train-steps", 1)
    assert done.code == 0, done.err
    for line in ("fvt: after 1 steps", "random-rows: Rows:", f"Saved: {out / 'fvt-2'}"):
        assert line in done.out
    assert f"Report: {page}" in done.out
    shown = page.read_text(encoding="utf-8")
    assert shown.count('class="held cut"') == 2 * 2
    assert "Against fvt" in shown
    assert "identical" in shown  # the third is the first again
    assert {one.name for one in out.iterdir()} == {"fvt", "random-rows", "fvt-2"}
    for one in out.iterdir():
        assert (one / "model.safetensors").exists()
        assert not (one / "training").exists()


def test_what_was_trained_before_a_kill_is_not_trained_again(tokenry, home, tmp_path, monkeypatch):
    from tokenry.plugs import retraining

    step, drawn = retraining._step, []

    def counted(*arguments):
        drawn.append(1)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(retraining, "_step", counted)
    words = (*_words(home, tmp_path / "out", "fvt,mean-rows"), "--train-steps", 2)
    assert tokenry(*words).code == 130
    assert (tmp_path / "out" / "fvt" / "training").exists()
    done = tokenry(*words)
    assert done.code == 0, done.err
    assert len(drawn) == 3 + 2
    assert not list((tmp_path / "out").glob("*/training"))


def test_json_of_several_methods_is_a_list(tokenry, home, tmp_path):
    done = tokenry(*_words(home, tmp_path / "out", "mean-rows,fvt"), "--json")
    found = json.loads(done.out)["moves"]
    assert [Path(one["out"]).name for one in found] == ["mean-rows", "fvt"]
    assert found[0]["bits_per_byte"]["before"] == found[1]["bits_per_byte"]["before"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--special", "<end>"), "is not like"),
        (("--special", "<none>=<end>"), "no token '<none>'"),
        (("--train-steps", -1), "train_steps=-1"),
        (("--report", "nowhere/page.html"), "does not exist"),
        (("--dictionary", "nowhere.tsv"), "cannot be read as a dictionary"),
        (("--target-words", "nowhere.vec"), "cannot be read as word vectors"),
    ],
)
def test_wrong_usage_is_said_in_one_line(tokenry, home, tmp_path, more, message):
    done = tokenry(*_words(home, tmp_path / "out"), *more)
    assert done.code == 2
    assert message in done.err


def test_too_little_text_is_refused(tokenry, home, tmp_path):
    (tmp_path / "one.txt").write_text(GERMAN, encoding="utf-8")
    done = tokenry("transplant", home / "model", home / "new", "--method", "fvt", "--text",
                   tmp_path / "one.txt", "--out", tmp_path / "out")  # fmt: skip
    assert done.code == 2
    assert "1 texts are too few" in done.err
