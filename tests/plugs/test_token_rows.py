"""The rows of tokens come from a model's files alone, and the audit judges them."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

import tokenry
from tokenry.alphabet import to_letters
from tokenry.checks.models import tiny_decoder
from tokenry.errors import DataError
from tokenry.plugs.token_rows import token_rows


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_rows_are_those_of_the_loaded_model(name, tied, tmp_path):
    model = tiny_decoder(name, tie_word_embeddings=tied)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    found = token_rows(tmp_path)
    assert torch.equal(found.input, model.get_input_embeddings().weight)
    assert (found.output is None) == tied
    assert tied or torch.equal(found.output, model.get_output_embeddings().weight)


def test_rows_of_a_masked_model(tmp_path):
    config = BertConfig(
        vocab_size=30, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=2,
    )  # fmt: skip
    model = BertForMaskedLM(config)
    model.save_pretrained(tmp_path)
    found = token_rows(str(tmp_path))
    assert torch.equal(found.input, model.get_input_embeddings().weight)
    assert found.output is None


def test_a_tokenizer_alone_has_no_rows(tmp_path):
    assert token_rows("zoo:gpt-2") is None
    assert token_rows(tmp_path) is None
    assert token_rows("no/such-folder") is None


def test_a_model_that_is_not_all_there_is_refused(tmp_path):
    tiny_decoder("llama").save_pretrained(tmp_path)
    save_file({"other": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match=r"hold no 'model.embed_tokens.weight'"):
        token_rows(tmp_path)


def test_an_audit_judges_the_rows_of_a_folder(tmp_path):
    letters = pre_tokenizers.ByteLevel.alphabet()
    made = Tokenizer(models.BPE({piece: i for i, piece in enumerate(sorted(letters))}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=made).save_pretrained(tmp_path)
    model = tiny_decoder("llama", vocab_size=300, tie_word_embeddings=True)
    with torch.no_grad():
        model.get_input_embeddings().weight[40:60] = 5.0
        model.get_input_embeddings().weight[256:] = 5.0  # rows of no token
        never = [
            sorted(letters).index(to_letters(bytes([b]))) for b in (192, 193, *range(245, 256))
        ]
        model.get_input_embeddings().weight[never] = 5.0
    model.save_pretrained(tmp_path)
    (found,) = tokenry.audit(str(tmp_path), {"de": ["der Hund"] * 9}, ["glitch"]).tokenizers
    assert {row["id"] for row in found.found["glitch"].tables["suspects"]} == {*range(40, 60)}
    tokenry.report(tokenry.audit(str(tmp_path), {"de": ["der"]}, ["glitch"]), tmp_path / "r.html")
    assert "hardly learned" in (tmp_path / "r.html").read_text("utf-8")


@pytest.mark.slow
def test_a_real_model_hardly_learned_what_its_texts_did_not_hold():
    (found,) = tokenry.audit("zoo:minilm-l6", {"en": ["a house"] * 9}, ["glitch"]).tokenizers
    glitch = found.found["glitch"]
    assert glitch.value("known") > 990  # [unused0] to [unused993]
    assert 0.2 < glitch.value("hardly trained") < 2
    tokens = [row["token"].strip() for row in glitch.tables["suspects"]]
    assert sum(not token.isascii() for token in tokens) > 0.9 * len(tokens)
