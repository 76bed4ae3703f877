"""A reader of pairs: it learns which of a list belongs, and says so as a referee."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tokenry.errors import UsageError
from tokenry.plugs.pair_reader import Choice, PairReader, tune_reader


@pytest.fixture(scope="module")
def build(language):
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = language().processor
    tokenizer.pad_token = tokenizer.eos_token

    def build(labels=1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            config = BertConfig(
                vocab_size=257,
                hidden_size=32,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=64,
                max_position_embeddings=64,
                pad_token_id=256,
                num_labels=labels,
                initializer_range=0.1,
            )
            model = BertForSequenceClassification(config).eval()
        return PairReader(model, tokenizer, longest=64)

    return build


CHOICES = [Choice(text, ["near b", "no", "c"], 0) for text in ("a", "b", "c", "d")] * 2


def test_it_learns_which_of_a_list_belongs(build):
    reader = build()
    told = tune_reader(reader, CHOICES, steps=25, batch_size=8, rate=3e-3)
    assert told.losses[-1] < 0.3 * told.losses[0]
    found = reader.yes(["a\nnear b\nDoes it?", "a\nno\nDoes it?", "a\nnear b"])
    assert found[0] > found[1]
    assert np.allclose(found[0], found[2], atol=1e-5)
    assert found.shape == (3,)
    assert reader.yes([]).shape == (0,)


def test_the_loss_is_the_softmax_over_each_list(build):
    reader = build()
    pairs = [(one.text, other) for one in CHOICES for other in one.others]
    scores = reader.scores(pairs).detach().reshape(8, 3)
    wanted = -scores.log_softmax(1)[:, 0].mean()
    told = tune_reader(reader, CHOICES, steps=1, batch_size=8, rate=1e-9)
    assert told.losses[0] == pytest.approx(float(wanted), abs=0.2)  # dropout is on


def test_what_it_cannot_do_is_refused(build):
    with pytest.raises(UsageError, match="has 2 labels"):
        build(labels=2)
    for ask in (lambda r: r.options(["a"], 2), lambda r: r.write(["a"], 2)):
        with pytest.raises(UsageError, match="take a language model"):
            ask(build())
    uneven = [*CHOICES, Choice("a", ["b"], 0)]
    for choices in (CHOICES[:2], uneven):
        with pytest.raises(UsageError, match="all with as many candidates"):
            tune_reader(build(), choices, steps=1)
