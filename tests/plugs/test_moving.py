"""Moving a whole model: rows, special tokens, tied and untied heads, configuration, saving."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from tokenry.checks.models import tiny_decoder
from tokenry.errors import UnknownNameError, UnsupportedModelError, UsageError
from tokenry.method import Origin
from tokenry.plugs.moving import transplant

ENGLISH = ["the cat sat on the mat", "a cat saw the other cat", "on the mat sat a hat"] * 4
GERMAN = ["die Katze saß auf der Matte", "eine Katze sah die andere Katze", "der Hut"] * 4


def tokenizer(texts, size=300, names=("<end>",), **roles):
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(names),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, **(roles or {"eos_token": "<end>"}))


@pytest.fixture(scope="module")
def old():
    return tokenizer(ENGLISH)


@pytest.fixture(scope="module")
def new():
    return tokenizer(GERMAN, 320, ("<stop>", "<pad>"), eos_token="<stop>", pad_token="<pad>")


def llama(rows, tied=True, **more):
    return tiny_decoder(
        "llama", vocab_size=rows, num_hidden_layers=1, tie_word_embeddings=tied, **more
    )


def phi(rows):
    config = transformers.PhiConfig(
        vocab_size=rows, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, bos_token_id=None, eos_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.PhiForCausalLM(config).eval()
    torch.nn.init.normal_(model.lm_head.bias)
    return model


@pytest.mark.parametrize("tied", [True, False])
def test_the_same_tokenizer_leaves_the_logits(old, tied):
    model = llama(len(old), tied, eos_token_id=0)
    moved = transplant(model, old, old, "fvt")
    ids = torch.arange(40)[None]
    with torch.no_grad():
        assert torch.equal(moved.model(ids).logits, model(ids).logits)
    assert set(moved.rows.origin.tolist()) == {Origin.COPIED}


@pytest.mark.parametrize("model", [llama, phi, lambda rows: llama(rows, tied=False)])
def test_rows_of_input_output_and_bias_go_together(old, new, model):
    before = model(len(old) + 5)
    kept = {name: weight.clone() for name, weight in before.state_dict().items()}
    moved = transplant(before, old, new, "fvt")
    for name, weight in before.state_dict().items():
        assert torch.equal(weight, kept[name])
    assert moved.model.config.vocab_size == len(new) == len(moved.model.lm_head.weight)
    tables = [
        (moved.model.get_input_embeddings().weight, before.get_input_embeddings().weight),
        (moved.model.lm_head.weight, before.lm_head.weight),
    ]
    if before.lm_head.bias is not None:
        tables.append((moved.model.lm_head.bias, before.lm_head.bias))
    for made, given in tables:
        for token, parents in enumerate(moved.rows.parents):
            if moved.rows.origin[token] == Origin.COPIED:
                assert torch.equal(made[token], given[parents[0]])
    untouched = [n for n in kept if "embed_tokens" not in n and "lm_head" not in n]
    for name in untouched:
        assert torch.equal(moved.model.state_dict()[name], kept[name])
    tied = before.lm_head.weight is before.get_input_embeddings().weight
    assert (moved.model.lm_head.weight is moved.model.get_input_embeddings().weight) == tied


def test_special_tokens_take_the_row_of_their_role_and_the_configuration_their_id(old, new):
    model = llama(len(old), eos_token_id=0)
    model.generation_config.eos_token_id = [0, 7]
    moved = transplant(model, old, new, "random-rows")
    eos = new.eos_token_id
    assert torch.equal(
        moved.model.get_input_embeddings().weight[eos], model.get_input_embeddings().weight[0]
    )
    assert moved.rows.origin[eos] == Origin.COPIED
    assert moved.model.config.eos_token_id == eos
    assert moved.model.generation_config.eos_token_id == [eos]
    assert moved.model.config.pad_token_id == new.pad_token_id
    assert moved.summary()["special"] == {"<stop>": "<end>"}


def test_a_saved_folder_loads_with_the_same_logits(old, new, tmp_path):
    moved = transplant(llama(len(old), eos_token_id=0), old, new, "fvt")
    folder = moved.save(tmp_path / "moved")
    model = AutoModelForCausalLM.from_pretrained(folder)
    again = AutoTokenizer.from_pretrained(folder)
    assert model.config.vocab_size == len(model.get_input_embeddings().weight) >= len(again)
    ids = again("die Katze sah den Hut", return_tensors="pt")["input_ids"]
    assert ids.tolist() == new("die Katze sah den Hut", return_tensors="pt")["input_ids"].tolist()
    with torch.no_grad():
        assert torch.equal(model(ids).logits, moved.model(ids).logits)
    rows = [
        json.loads(line) for line in (folder / "transplant-rows.jsonl").read_text().splitlines()
    ]
    assert [row["id"] for row in rows] == list(range(len(new)))
    mixed = next(row for row in rows if row["origin"] == "mixed")
    spelled = "".join(sorted("".join(mixed["parent_tokens"])))
    assert set(spelled) == set(mixed["token"])
    summary = json.loads((folder / "transplant.json").read_text())
    assert sum(summary["rows"].values()) == len(new)


def test_models_are_loaded_by_name(old, new, tmp_path):
    model = llama(len(old), eos_token_id=0)
    model.save_pretrained(tmp_path / "model")
    old.save_pretrained(tmp_path / "model")
    new.save_pretrained(tmp_path / "new")
    moved = transplant(str(tmp_path / "model"), None, tmp_path / "new", "lexical-copy")
    assert moved.summary()["source"] == {"tokenizer": "model", "tokens": len(old)}
    assert moved.summary()["target"] == {"tokenizer": "new", "tokens": len(new)}
    assert len(moved.model.get_input_embeddings().weight) == len(new)


def test_one_token_with_two_roles_that_clash_is_refused(new):
    apart = tokenizer(ENGLISH, 300, ("<s>", "</s>"), bos_token="<s>", eos_token="</s>")
    one = tokenizer(GERMAN, 300, ("<|end|>",), bos_token="<|end|>", eos_token="<|end|>")
    model = llama(300)
    with pytest.raises(UsageError, match=r"several roles.*special=\{'<\|end\|>': "):
        transplant(model, apart, one, "fvt")
    moved = transplant(model, apart, one, "fvt", special={"<|end|>": "</s>"})
    assert moved.summary()["special"] == {"<|end|>": "</s>"}
    assert moved.summary()["left_behind"] == ["<s>"]


def test_a_filler_never_clashes():
    apart = tokenizer(ENGLISH, 300, ("<p>", "</s>"), pad_token="<p>", eos_token="</s>")
    one = tokenizer(GERMAN, 300, ("<|end|>",), pad_token="<|end|>", eos_token="<|end|>")
    moved = transplant(llama(300), apart, one, "fvt")
    assert moved.summary()["special"] == {"<|end|>": "</s>"}


def test_refusals_say_what_to_do(old, new):
    with pytest.raises(UsageError, match="only 200 embedding rows"):
        transplant(llama(200), old, new, "fvt")
    with pytest.raises(UsageError, match="no token '<none>'"):
        transplant(llama(300), old, new, "fvt", special={"<stop>": "<none>"})
    with pytest.raises(UsageError, match="'snapkv' is no map to a new vocabulary"):
        transplant(llama(300), old, new, "snapkv")
    with pytest.raises(UnknownNameError, match="nearest: wechsel"):
        transplant(llama(300), old, new, "wechsl")
    with pytest.raises(UsageError, match="together with its tokenizer"):
        transplant(llama(300), None, new, "fvt")
    with pytest.raises(UsageError, match="slow tokenizer"):
        transplant(llama(300), old, object(), "fvt")
    with pytest.raises(UsageError, match="tokenizer"):
        transplant(llama(300), old, "no/such-tokenizer", "fvt")
    model = llama(300)
    model.set_input_embeddings(torch.nn.Identity())
    with pytest.raises(UnsupportedModelError, match="Identity"):
        transplant(model, old, new, "fvt")


def test_a_second_table_of_tokens_is_refused(old, new):
    config = transformers.Gemma3nTextConfig(
        vocab_size=300, hidden_size=32, num_hidden_layers=1, num_kv_shared_layers=0
    )
    with torch.device("meta"):
        model = transformers.Gemma3nForCausalLM(config)
    with pytest.raises(UnsupportedModelError, match="has a second table of tokens"):
        transplant(model, old, new, "fvt")
