"""What is wrong with tokenizers, models and texts, as a person meets it at the command line."""

from __future__ import annotations

import json

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

GERMAN = "Die Katze saß auf der Matte und sah den Hut, über den sie schlief.\n"


def _bpe(texts, size):
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<end>", "<begin>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return made


def _model(folder, made, rows, **roles):
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    shape = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 512, "vocab_size": rows}
    ids = {"bos_token_id": 1, "eos_token_id": 0}
    GPT2LMHeadModel(GPT2Config(**shape, **ids)).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=made, **roles).save_pretrained(folder)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Tokenizers, models and texts with something wrong."""
    folder = tmp_path_factory.mktemp("home")
    roles = {"eos_token": "<end>", "bos_token": "<begin>"}
    _model(folder / "model", _bpe(["the cat sat on the mat"], 280), 300, **roles)
    _model(folder / "few", _bpe(["the cat sat on the mat"], 270), 260, **roles)
    _model(folder / "clash", _bpe([GERMAN], 280), 300, eos_token="<end>", bos_token="<end>")
    (folder / "slow").mkdir()
    settings = json.dumps({"tokenizer_class": "ByT5Tokenizer"})
    (folder / "slow" / "tokenizer_config.json").write_text(settings)
    pieces = Tokenizer(models.WordPiece({"[UNK]": 0, "die": 1, "##s": 2}, unk_token="[UNK]"))
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.save(str(folder / "wordpiece.json"))
    for name in ("texts/de", "texts/en", "broken/de", "hollow/de", "hollow/xx", "blank/xx"):
        (folder / name).mkdir(parents=True)
    for name in ("texts/de", "texts/en", "broken/de"):
        for i in range(8):
            (folder / name / f"{i}.txt").write_text(f"{i}. {GERMAN}" * 8, encoding="utf-8")
    (folder / "broken" / "de" / "1.txt").write_bytes(b"Hund \xff\xfe\n")
    (folder / "hollow" / "de" / "a.txt").write_text(GERMAN, encoding="utf-8")
    (folder / "hollow" / "xx" / "a.txt").write_bytes(b"")
    (folder / "blank" / "a.txt").write_text(GERMAN, encoding="utf-8")
    (folder / "cyrillic.txt").write_text("дом\nлес\n", encoding="utf-8")
    (folder / "rna.txt").write_text("ACGU" * 40)
    return folder


MOVE = ("--text", "texts/de", "--out", "{out}", "--held-out", "2000", "--method")
TEXTS = ("--text", "texts", "--out", "{out}.html", "--judges")


def _run(tokenry, home, tmp_path, monkeypatch, words):
    monkeypatch.chdir(home)
    return tokenry(*(word.format(out=tmp_path / "out") for word in words))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("audit", "slow", *TEXTS, "qtok"), "ByT5Tokenizer is a slow tokenizer"),
        (("transplant", "model", "slow", *MOVE, "fvt"), "ByT5Tokenizer is a slow tokenizer"),
        (("audit", "model", "--text", "hollow", "--out", "{out}.html"),
         "the category 'xx' holds no text; give it some"),
        (("audit", "model", "--text", "blank", "--out", "{out}.html"),
         "the category 'xx' holds no texts; put text files"),
        (("transplant", "few", "model", *MOVE, "fvt"),
         "few has 270 tokens, but GPT2LMHeadModel only 260 embedding rows"),
        (("transplant", "model", "clash", *MOVE, "fvt"), "say whose row it takes with special="),
        (("transplant", "model", "clash", "--text", "broken", "--out", "{out}", "--method", "fvt"),
         "broken/de/1.txt: is not UTF-8 at byte 5"),
        (("transplant", "model", "few", *MOVE, "wechsel"),
         "Wechsel: source_texts and source_words are both empty; give texts of the source"),
        (("tokenizer", "train", "broken", "--out", "{out}"), "on_error='skip'"),
        (("tokenizer", "train", "rna.txt", "--out", "{out}", "--method", "dnabert2"),
         "base 4 is 'U'; allowed are A, C, G, T and N"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_says_who_what_and_what_to_do(
    tokenry, home, tmp_path, monkeypatch, words, message
):
    done = _run(tokenry, home, tmp_path, monkeypatch, words)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("audit", "wordpiece.json", *TEXTS, "qtok,data-mixture"),
         "has no merges; only the order of merges of byte-pair encoding tells a mixture. Judges of "
         "tokens and texts work without."),
        (("audit", "few", *TEXTS, "qtok,glitch"),
         "few: glitch did not judge the model: Glitch: 'few' has 270 tokens, the model 260 rows"),
        (("audit", "model", "--text", "texts", "--out", "{out}.html", "--lexicon", "cyrillic.txt",
          "--language", "de"), "the lists are in Cyrillic, the texts in Latin"),
        (("audit", "model", "--text", "broken", "--out", "{out}.html", "--judges", "parity"),
         "de: 2 bytes are not UTF-8 and were read as replacement characters"),
    ],
)  # fmt: skip
def test_an_audit_goes_on_without_what_cannot_be_judged(
    tokenry, home, tmp_path, monkeypatch, words, message
):
    done = _run(tokenry, home, tmp_path, monkeypatch, words)
    assert done.code == 0, done.err
    assert message in done.out
    shown = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert message.partition(":")[2][:40].replace("'", "&#39;") in shown


def test_a_model_with_too_few_rows_still_has_its_tokens_judged(
    tokenry, home, tmp_path, monkeypatch
):
    words = ("audit", "few", *TEXTS, "glitch", "--json")
    done = _run(tokenry, home, tmp_path, monkeypatch, words)
    assert "unreachable" in json.loads(done.out)["tokenizers"][0]["found"]["glitch"]["figures"]


@pytest.mark.filterwarnings("ignore:.*cannot be read and are left out")
def test_texts_that_cannot_be_read_are_left_out_if_asked(tokenry, home, tmp_path, monkeypatch):
    words = ("tokenizer", "train", "broken", "--out", "{out}", "--size", "280")
    done = _run(tokenry, home, tmp_path, monkeypatch, (*words, "--on-error", "skip"))
    assert done.code == 0, done.err
