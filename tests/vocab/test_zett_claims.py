"""What ZeTT claims, on a small model and hypernetwork (`recipes/zett_tiny.py`)."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from tokenry.data.manpages import FOLDER
from tokenry.method import Move
from tokenry.plugs.bits import bits_per_byte
from tokenry.plugs.hypernet import HypernetTraining, save_hypernetwork, train_hypernetwork
from tokenry.plugs.moving import embeddings_of, transplant
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import Zett

TINY = Path(__file__).parent / "tiny_zett"
ZETT = Zett(hypernetwork=str(TINY / "hypernetwork"))
PAGES = [
    json.loads(page)["text"] for page in (FOLDER / "manpages.jsonl").read_text("utf-8").splitlines()
]
HELD, KEPT = PAGES[:8], PAGES[8:]


@pytest.fixture(scope="module")
def tiny():
    model = AutoModelForCausalLM.from_pretrained(TINY / "model", dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(TINY / "model")


def learned(kind, size, texts):
    made = Tokenizer(models.BPE() if kind == "bpe" else models.Unigram())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer if kind == "bpe" else trainers.UnigramTrainer
    how = trainer(
        vocab_size=size,
        special_tokens=["<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts, how)
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "size"), [("bpe", 2048), ("unigram", 1500)])
def test_claim_order_before_any_training(tiny, kind, size):
    model, tokenizer = tiny
    new, cost = learned(kind, size, KEPT), {}
    texts = [page[:4000] for page in HELD]
    for method in (ZETT, "fvt", "lexical-copy", "mean-rows", "random-rows"):
        moved = transplant(model, tokenizer, new, method)
        name = method if isinstance(method, str) else "zett"
        cost[name] = bits_per_byte(moved.model, moved.tokenizer, texts, progress=False).per_byte
    assert cost["zett"] < min(cost["fvt"], cost["lexical-copy"])
    assert max(cost["fvt"], cost["lexical-copy"]) + 0.3 < cost["mean-rows"] < cost["random-rows"]


@pytest.mark.slow
def test_claim_old_tokens_keep_their_rows(tmp_path):
    """After the first phase, moving a model to its own tokenizer changes next to nothing."""
    torch.manual_seed(0)
    tokenizer, texts = learned("bpe", 320, KEPT[:10]), HELD[:2]
    config = LlamaConfig(
        vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=2, bos_token_id=0, eos_token_id=0, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    ids = torch.tensor([i for text in tokenizer(KEPT[:10])["input_ids"] for i in (0, *text)])
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(80):
        batch = torch.stack([ids[i : i + 64] for i in torch.randint(len(ids) - 64, (16,))])
        optimizer.zero_grad()
        model(batch, labels=batch).loss.backward()
        optimizer.step()
    how = HypernetTraining(
        hidden=128, heads=4, layers=1, memory=1, batch=1, identity_tokens=320,
        identity_steps=1500, steps=0, warmup=20, rates=(1e-3, 0.0), clip=1.0,
    )  # fmt: skip
    net = train_hypernetwork(model.eval(), tokenizer, KEPT[:1], how, progress=False)
    method = Zett(hypernetwork=str(save_hypernetwork(net, tmp_path)))
    vocab = vocabulary(tokenizer)
    old = embeddings_of(model, vocab)
    made = method.rows(Move(source=vocab, target=vocab, embeddings=old)).embeddings
    cosine = torch.cosine_similarity(made.input[1:], old.input[1:]).mean().item()
    before = bits_per_byte(model, tokenizer, texts, progress=False).per_byte
    moved = transplant(model, tokenizer, tokenizer, method)
    after = bits_per_byte(moved.model, moved.tokenizer, texts, progress=False).per_byte
    assert cosine > 0.99
    assert after == pytest.approx(before, rel=0.01)


@torch.no_grad()
def test_a_moved_model_is_loaded_as_it_was(tiny, tmp_path):
    model, tokenizer = tiny
    moved = transplant(model, tokenizer, learned("bpe", 400, KEPT[:3]), ZETT)
    folder = moved.save(tmp_path / "moved")
    again, loaded = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForCausalLM.from_pretrained(folder).eval(),
    )
    ids = again(HELD[0][:200], return_tensors="pt")["input_ids"]
    assert torch.equal(ids, moved.tokenizer(HELD[0][:200], return_tensors="pt")["input_ids"])
    assert torch.equal(loaded(ids).logits, moved.model.eval()(ids).logits)
