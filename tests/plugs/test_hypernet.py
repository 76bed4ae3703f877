"""Training of hypernetworks: what they learn from, and that the model is left alone."""

import math

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tokenry.errors import UsageError
from tokenry.method import Embeddings
from tokenry.ops.substrings import sample_vocabulary, substring_scores
from tokenry.ops.surface import SurfaceForms
from tokenry.plugs.hypernet import (
    HypernetTraining,
    sampled_tokenizer,
    scores_of,
    scores_with,
    train_hypernetwork,
)
from tokenry.plugs.moving import embeddings_of
from tokenry.plugs.vocabulary import vocabulary

TEXTS = (
    "def spam(eggs):\n    return eggs",
    "der Überfluß, 日本語 und so weiter\t  ...",
    "spam spam",
)
OLD = 270


@pytest.fixture(scope="module")
def tokenizer():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=OLD,
        special_tokens=["<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>")


def test_substrings_are_counted_from_every_fourth_character():
    words = {" größer".encode(): 3, b"ab": 1}
    wanted = {}
    for word, count in words.items():
        text, starts, at = word.decode(), [], 0
        for character in text:
            starts.append(at)
            at += len(character.encode())
        for start in starts[::4]:
            for length in range(1, 4):
                if start + length <= len(word):
                    part = word[start : start + length]
                    wanted[part] = wanted.get(part, 0) + count * len(part)
    assert dict(substring_scores(words, longest=3)) == wanted


def test_without_noise_the_frequent_substrings_stay():
    scores = {b"abc": 30, b"abd": 20, b"abe": 10, b"a \n": 99, b"  ": 50, b"a": 80}
    pieces = dict(sample_vocabulary(scores, 393, np.random.default_rng(0), noise=0.0))
    assert len(pieces) == 393
    assert pieces[b"abc"] == pytest.approx(math.log(30 / 289))
    assert b"abd" in pieces
    assert b"abe" not in pieces
    assert b"a \n" not in pieces
    assert pieces[b"a"] == pytest.approx(math.log(10 / 289))
    assert pieces[b"\n\t\t"] == 0.0


def test_noise_makes_vocabularies_differ():
    scores = scores_of(TEXTS)
    draws = [
        {piece for piece, _ in sample_vocabulary(scores, 420, np.random.default_rng(seed))}
        for seed in range(20)
    ]
    assert len({frozenset(one) for one in draws}) > 10


@pytest.mark.parametrize("seed", range(4))
def test_every_drawn_tokenizer_writes_any_text(seed):
    draw = np.random.default_rng(seed)
    made = sampled_tokenizer(sample_vocabulary(scores_of(TEXTS), 430, draw))
    letters = ["a", " ", "\n", "\t", "é", "日", "🦆", "\u0301", "x" * 40, "\u2028", "'s", "0"]
    for _ in range(60):
        text = "".join(draw.choice(letters) for _ in range(draw.integers(1, 30)))
        assert made.decode(made.encode(text).ids) == f" {text}"


def test_what_no_token_writes_is_written_by_bytes():
    spelled = [None, b"a", b"b"]
    forms = SurfaceForms(lambda text: [1] * len(text) if set(text) <= {97} else [], spelled, 3, 900)
    made = forms([b"aa", b"a\xc3", b"\x00aaaa"]).tolist()
    absent = [byte for byte in range(256) if byte not in b"ab"]
    assert made == [[1, 1, 900], [1, 3 + absent.index(0xC3), 900], [3, 1, 1]]
    assert forms.extra == 254


def small(tokenizer, tied):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=2, tie_word_embeddings=tied, initializer_range=0.1,
    )  # fmt: skip
    return LlamaForCausalLM(config)


@pytest.mark.parametrize("tied", [False, True])
def test_a_model_reads_with_rows_that_are_not_its_own(tokenizer, tied):
    model = small(tokenizer, tied).eval()
    old = embeddings_of(model, vocabulary(tokenizer))
    order = torch.randperm(OLD)
    rows = Embeddings(
        input=old.input[order].requires_grad_(),
        output=None if old.output is None else old.output[order],
    )
    ids = torch.randint(0, OLD, (2, 7))
    made = scores_with(model, rows, ids, torch.ones_like(ids))
    wanted = model(order[ids]).logits[..., order]
    assert torch.allclose(made, wanted, atol=1e-5)
    made.sum().backward()
    assert rows.input.grad.abs().sum() > 0


@pytest.mark.parametrize("tied", [False, True])
def test_training_leaves_the_model_as_it_is(tokenizer, tied):
    model = small(tokenizer, tied).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    how = HypernetTraining(
        hidden=16, heads=2, layers=1, vocabulary=420, memory=2, batch=3, length=16,
        identity_tokens=100, identity_steps=3, steps=3, warmup=2, rates=(1e-2, 1e-2),
    )  # fmt: skip
    heard = []
    net = train_hypernetwork(
        model, tokenizer, TEXTS, how, watch=lambda *one: heard.append(one), progress=False
    )
    assert [one[:2] for one in heard] == [
        (name, step) for name in ("identity", "reading") for step in range(3)
    ]
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any("scaler" in name for name, _ in net.named_parameters())
    assert net.shape.separate != tied
    again = train_hypernetwork(model, tokenizer, TEXTS, how, progress=False)
    assert all(
        torch.equal(value, net.state_dict()[name]) for name, value in again.state_dict().items()
    )


def test_training_needs_text_and_heads_that_fit(tokenizer):
    model = small(tokenizer, True)
    for texts, heads in (((), 2), (("", ""), 2), (TEXTS, 5)):
        with pytest.raises(UsageError, match="train_hypernetwork: "):
            train_hypernetwork(model, tokenizer, texts, HypernetTraining(heads=heads))
