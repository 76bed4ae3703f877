"""Pre-training with two decoders: who sees what, the losses, and what is left."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModel,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
)

from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.plugs.duplex import DuplexCollator, DuplexModel, pretrain
from tokenry.plugs.duplex import _bag as bag_of
from tokenry.retrieval import DupMAE
from tokenry.retrieval.dupmae import bag_loss

TEXTS = ["abc de fgh a", "de abc", "hgf cba ed", "a b c d e f g h"]


@pytest.fixture(scope="module")
def tokenizer():
    """Pieces of one letter; words are what stands between spaces."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*"abcdefgh", *(f"##{letter}" for letter in "abcdefgh")]
    vocab = {piece: i for i, piece in enumerate([*special, *pieces])}
    inner = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    roles = dict(zip(("pad", "unk", "cls", "sep", "mask"), special, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, **{f"{role}_token": token for role, token in roles.items()}
    )


SHAPE = {
    "vocab_size": 21,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}


def build(kind="bert", **settings):
    torch.manual_seed(0)
    if kind == "bert":
        model = BertForMaskedLM(BertConfig(**SHAPE))
    else:
        model = RobertaForMaskedLM(RobertaConfig(**SHAPE, pad_token_id=0))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return DuplexModel(model, DupMAE(**settings)).eval()


@torch.no_grad()
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_losses_equal_an_independent_reading(kind, tokenizer):
    model = build(kind, bag=0.1)
    made = DuplexCollator(tokenizer, model.method)(TEXTS)
    found = model(made)
    body = model.model.base_model
    states = body(made["masked_ids"], attention_mask=made["attention_mask"])[0]
    head = model.model.cls if kind == "bert" else model.model.lm_head
    logits = head(states)
    masked = cross_entropy(logits.flatten(0, 1), made["masked_labels"].flatten())
    mu = torch.stack(
        [row[1:n].amax(0) for row, n in zip(logits, made["attention_mask"].sum(1), strict=True)]
    )
    decoded = []
    for i in range(len(TEXTS)):  # row by row, over the tokens that it sees alone
        for j in range(made["input_ids"].shape[1]):
            label = int(made["labels"][i, j])
            if label >= 0:
                decoded.append(
                    cross_entropy(head(one_row(model, states, made, i, j)), torch.tensor(label))
                )
    assert float(found.parts["masked"]) == pytest.approx(float(masked), abs=2e-4)
    assert float(found.parts["bag"]) == pytest.approx(float(bag_loss(mu, made["labels"])), abs=2e-4)
    by_hand = torch.stack(decoded).mean()
    assert float(found.parts["decoded"]) == pytest.approx(float(by_hand), abs=2e-4)


def one_row(model, states, made, i, j):
    table, layer = model.model.base_model.embeddings, model.decoder
    text = table(made["input_ids"][i : i + 1])[0]
    text = torch.cat([states[i, :1], text[1:]])[made["visible"][i, j]]
    shift = 1 if table.position_embeddings.padding_idx is not None else 0
    query = states[i, 0] + table.position_embeddings.weight[j + shift]
    heads = []
    for h in range(2):
        part = slice(8 * h, 8 * h + 8)
        q, k, v = layer.q(query)[part], layer.k(text)[:, part], layer.v(text)[:, part]
        heads.append((k @ q / 8**0.5).softmax(0) @ v)
    row = layer.first(query + layer.o(torch.cat(heads)))
    return layer.second(row + layer.inner(row))


def test_a_row_does_not_see_its_own_token(tokenizer):
    """The gradient of a row of the decoder at its own input is zero."""
    model = build()
    made = DuplexCollator(tokenizer, model.method)(TEXTS[:1])
    n = made["input_ids"].shape[1]
    table = model.body.embeddings
    text = table(made["input_ids"]).detach().requires_grad_()
    first = torch.randn(1, 16)
    queries = first[:, None] + table.position_embeddings(torch.arange(n)).detach()
    out = model.decoder(queries, torch.cat([first[:, None], text[:, 1:]], 1), made["visible"])
    weights = torch.randn(16)  # a plain sum of what a layer norm makes is always the same
    for row in range(1, n):
        (slope,) = torch.autograd.grad(out[0, row] @ weights, text, retain_graph=True)
        touched = slope[0].abs().sum(1) > 0
        assert not touched[row]
        assert touched[1:].tolist() == made["visible"][0, row, 1:].tolist()


def test_padding_says_nothing(tokenizer):
    model = build()
    alone = tokenizer(TEXTS[1:2], return_tensors="pt")
    wide = tokenizer(TEXTS[1:2], padding="max_length", max_length=30, return_tensors="pt")
    for first, second in zip(model.embed(alone), model.embed(wide), strict=True):
        assert torch.allclose(first.float(), second.float(), atol=1e-5)


def test_the_bag_does_not_know_the_order_of_tokens():
    source = torch.Generator().manual_seed(0)
    logits, real = torch.randn(2, 9, 5, generator=source), torch.ones(2, 9, dtype=torch.bool)
    real[1, 4:] = False
    order = torch.randperm(9, generator=source)
    assert torch.equal(bag_of(logits[:, order], real[:, order]), bag_of(logits, real))


def test_collator_hides_eight_of_ten(tokenizer):
    read = DuplexCollator(tokenizer, DupMAE())
    made = [read(TEXTS * 20) for _ in range(10)]
    hidden = torch.cat([(m["masked_labels"] >= 0).flatten() for m in made])
    ids, masked = (torch.cat([m[k].flatten() for m in made]) for k in ("input_ids", "masked_ids"))
    assert torch.equal(ids[~hidden], masked[~hidden])
    became = masked[hidden]
    assert float((became == 4).float().mean()) == pytest.approx(0.8, abs=0.03)
    assert float((became == ids[hidden]).float().mean()) == pytest.approx(0.1, abs=0.03)
    again = DuplexCollator(tokenizer, DupMAE())(TEXTS * 20)
    assert all(torch.equal(made[0][name], again[name]) for name in again)


def test_training_learns_and_leaves_an_ordinary_model(tokenizer, tmp_path):
    model = build()
    found = pretrain(model, tokenizer, TEXTS * 4, steps=40, batch_size=8, rate=1e-2, progress=False)
    assert sum(found.losses[-5:]) < 0.9 * sum(found.losses[:5])
    assert not model.training
    model.model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
    given = tokenizer(TEXTS, padding=True, return_tensors="pt")
    states = again(given["input_ids"], attention_mask=given["attention_mask"])[0]
    assert torch.allclose(states[:, 0], model.embed(given)[0], atol=1e-5)


def test_refusals(tokenizer):
    gpt = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=21))
    with pytest.raises(UnsupportedModelError, match="GPT2LMHeadModel has no head named"):
        DuplexModel(gpt, DupMAE())
    with pytest.raises(UsageError, match="texts must fill a batch"):
        pretrain(build(), tokenizer, TEXTS, steps=1, batch_size=9)
