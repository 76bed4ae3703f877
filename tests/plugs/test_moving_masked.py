"""Moving models that fill in hidden tokens: tied and untied heads, their bias, saving, figures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerFast

from tokenry.compare.transplants import Grounds, transplant_on
from tokenry.errors import UsageError
from tokenry.method import Origin
from tokenry.plugs.masked_bits import masked_bits_per_byte
from tokenry.plugs.moving import transplant

ENGLISH = ["the cat sat on the mat", "a cat saw the other cat", "on the mat sat a hat"] * 4
GERMAN = ["die Katze sass auf der Matte", "eine Katze sah die andere", "der Hut"] * 4
NAMES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def tokenizer(texts, size):
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.train_from_iterator(
        texts,
        trainers.WordPieceTrainer(vocab_size=size, special_tokens=[*NAMES], show_progress=False),
    )
    roles = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(tokenizer_object=made, **dict(zip(roles, NAMES, strict=True)))


OLD, NEW = tokenizer(ENGLISH, 60), tokenizer(GERMAN, 70)


def model(family, tied):
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(
        vocab_size=len(OLD), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, pad_token_id=0, bos_token_id=2, cls_token_id=2, eos_token_id=3,
        sep_token_id=3, tie_word_embeddings=tied,
    )  # fmt: skip
    made = getattr(transformers, f"{family}ForMaskedLM")(config).eval()
    torch.nn.init.normal_(made.get_output_embeddings().bias)
    return made


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", ["Bert", "Roberta", "ModernBert"])
def test_rows_head_and_bias_move_and_a_saved_folder_gives_the_same(family, tied, tmp_path):
    before = model(family, tied)
    moved = transplant(before, OLD, NEW, "fvt")
    head, old = moved.model.get_output_embeddings(), before.get_output_embeddings()
    assert (head.weight is moved.model.get_input_embeddings().weight) == tied
    for token, parents in enumerate(moved.rows.parents):
        if moved.rows.origin[token] == Origin.COPIED:
            assert torch.equal(head.weight[token], old.weight[parents[0]])
            assert head.bias[token] == old.bias[parents[0]]
    again = AutoModelForMaskedLM.from_pretrained(moved.save(tmp_path)).eval()
    ids = AutoTokenizer.from_pretrained(tmp_path)("die Katze sah", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        assert torch.equal(again(ids).logits, moved.model(ids).logits)
    assert again.config.vocab_size == len(NEW) == len(again.get_output_embeddings().bias)


@torch.no_grad()
def test_bits_are_those_of_tokens_hidden_one_by_one_where_no_more_are_hidden():
    """A text of up to eight tokens: each is hidden in a pass of its own."""
    filler, text = model("Bert", True), "the cat sat on a mat"
    ids = OLD(text, return_tensors="pt")["input_ids"]
    nats = 0.0
    for place in range(ids.shape[1]):
        hidden = ids.clone()
        hidden[0, place] = OLD.mask_token_id
        nats -= filler(hidden).logits[0, place].log_softmax(-1)[ids[0, place]].item()
    found = masked_bits_per_byte(filler, OLD, [text])
    assert ids.shape[1] <= 8
    assert found.bits[0] == pytest.approx(nats / torch.log(torch.tensor(2.0)).item(), rel=1e-5)
    assert found.tokens == (ids.shape[1],)


def test_a_folder_is_moved_measured_and_saved(tmp_path):
    model("Bert", True).save_pretrained(tmp_path / "old")
    OLD.save_pretrained(tmp_path / "old")
    NEW.save_pretrained(tmp_path / "new")
    grounds = Grounds(text=[*GERMAN], held_out=40)
    names = str(tmp_path / "old"), str(tmp_path / "new")
    found = transplant_on(*names, "fvt", grounds, out=tmp_path / "moved")
    assert found.before.per_byte > 0 < found.after.per_byte
    assert AutoModelForMaskedLM.from_pretrained(tmp_path / "moved").config.vocab_size == len(NEW)
    trained = replace(grounds, train_steps=2)
    with pytest.raises(UsageError, match="fills in hidden tokens"):
        transplant_on(*names, "fvt", trained, out=tmp_path / "moved")
    with pytest.raises(UsageError, match="hides others"):
        masked_bits_per_byte(model("Bert", True), OLD, [""])
