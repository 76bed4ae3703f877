"""Glitch tokens: planted ones are found, reachable ones are not accused."""

from __future__ import annotations

import json

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tokenry.errors import UsageError
from tokenry.method import Embeddings
from tokenry.plugs.usage import usage
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import Glitch

TEXTS = ["the cat sat on the mat and the other cat sat there"] * 3


def trained(planted: tuple[str, ...] = (), metaspace: bool = False) -> Tokenizer:
    """A BPE tokenizer; planted tokens have no merge that makes them."""
    made = Tokenizer(models.BPE())
    if metaspace:
        made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    else:
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
    alphabet = [] if metaspace else pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, show_progress=False, special_tokens=["<s>"]
    )
    made.train_from_iterator(TEXTS, trainer)
    settings = json.loads(made.to_str())
    ids = settings["model"]["vocab"]
    ids |= {token: len(ids) + i for i, token in enumerate(planted)}
    return Tokenizer.from_str(json.dumps(settings))


@pytest.mark.parametrize("metaspace", [False, True])
def test_what_can_be_written_is_not_accused(metaspace):
    found = Glitch().judge(vocabulary(trained(metaspace=metaspace)))
    assert found.figures["unreachable"].value == 0
    assert found.tables["unreachable"] == []


def test_planted_tokens_are_found():
    vocab = vocabulary(trained(("Ġzqx", "SolidGold")))
    found = Glitch().judge(vocab)
    assert [row["token"] for row in found.tables["unreachable"]] == [" zqx", "SolidGold"]
    tried = len(vocab) - 1 - 128  # bytes above 127 are no text alone
    assert found.figures["unreachable"].value == pytest.approx(100 * 2 / tried)
    assert found.figures["not text alone"].value == 128


def test_tokens_that_no_text_was_written_with():
    vocab = vocabulary(trained())
    (one,) = usage([vocab], {"x": TEXTS})[0]
    found = Glitch().judge(vocab, [one])
    written = len({token for row in one.sequences for token in row.tolist()})
    ordinary = len(vocab) - 1
    assert found.figures["never written"].value == pytest.approx(
        100 * (ordinary - written) / ordinary
    )


@pytest.mark.parametrize("planted", [("Ġzqx", "Solid", "Gold"), ()])
def test_rows_that_were_not_trained_are_suspects(planted):
    """Untrained rows stay near one point, as do those of bytes that no text holds."""
    vocab = vocabulary(trained(planted))
    rows = torch.randn(len(vocab), 32, generator=torch.Generator().manual_seed(0))
    never = [
        t for t, s in enumerate(vocab.spelled) if s and s in b"\xc0\xc1" + bytes(range(245, 256))
    ]
    guilty = [40, 50, 60]
    for token in (*guilty, *never, *range(len(vocab) - len(planted), len(vocab))):
        rows[token] = torch.ones(32) + (0 if token in guilty else 0.01) * rows[token]
    found = Glitch().judge_rows(vocab, Embeddings(input=rows))
    assert {row["id"] for row in found.tables["suspects"]} == set(guilty)
    assert found.figures["known"].value == len(planted) + 13
    ordinary = len(vocab) - 1 - 13 - len(planted)
    assert found.figures["hardly trained"].value == pytest.approx(100 * 3 / ordinary)


def test_nobody_is_suspected_without_rows_to_compare_with():
    vocab = vocabulary(trained(metaspace=True))
    found = Glitch().judge_rows(vocab, Embeddings(input=torch.randn(len(vocab), 4)))
    assert "suspects" not in found.tables
    assert "too few to judge by" in found.notes[0]


def test_a_model_with_too_few_rows_is_refused():
    vocab = vocabulary(trained())
    with pytest.raises(UsageError, match="tokens, the model 3 rows"):
        Glitch().judge_rows(vocab, Embeddings(input=torch.zeros(3, 4)))
