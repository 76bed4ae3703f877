"""An encoder that is trained as a whole finds texts on a theme."""

from __future__ import annotations

import pytest
import torch
from tests.tables.test_classifying import config, tokenizer
from tests.tables.test_tuning_classifier import texts
from transformers import BertModel

from tokenry.errors import UsageError
from tokenry.plugs.theme_classifier import theme_trainer
from tokenry.retrieval import BindingPrecedent


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    BertModel(config()).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    return tmp_path


def test_a_trained_encoder_finds_texts_and_the_best_window_of_long_ones(folder):
    table = texts(160)
    on = [kind == "vowel" for kind in table["kind"]]
    train = theme_trainer(folder, epochs=8, rate=3e-3)
    finder = BindingPrecedent(by="classifier", window=1).learn(table["text"], on, train=train)
    assert sum(finder.find(table["text"]) == on) >= 155
    long = finder.score([" ".join(table["text"][:3]), " ".join(table["text"][1:3])])
    each = finder.score(table["text"][:3])
    torch.testing.assert_close(long.tolist(), [each.max(), each[1:].max()])
    again = BindingPrecedent(by="classifier", window=1).learn(table["text"], on, train=train)
    assert finder.score(table["text"]).tolist() == again.score(table["text"]).tolist()


def test_the_settings_are_checked_before_anything_is_trained(folder):
    with pytest.raises(UsageError, match="rate=0"):
        theme_trainer(folder, rate=0.0)(["a", "b"], torch.tensor([True, False]).numpy())
    with pytest.raises(UsageError, match="needs a trainer; give train="):
        BindingPrecedent(by="classifier").learn(["a", "b"] * 2, [True, False] * 2)
    with pytest.raises(UsageError, match="needs vectors; give embed="):
        BindingPrecedent(by="encoder").learn(["a", "b"] * 2, [True, False] * 2)
