"""Pairs and texts with a verdict each: by linkers, by what labels teach, by classifiers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.linking.conftest import Trigrams
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    PreTrainedTokenizerFast,
)

import tokenry
from tokenry.errors import UnknownNameError, UnsupportedModelError, UsageError
from tokenry.linking import LinkTransformer
from tokenry.plugs.text_classifier import TextClassifier

PAIRS = {
    "a": ["Acme Inc.", "zebra", "Acme", None, "same"],
    "b": ["acme inc", "zebra ltd", "quite other", "x", "same"],
}


def test_each_row_is_scored_and_decided():
    embed = Trigrams()
    found = tokenry.classify_pairs(PAIRS, "a", "b", encoder=embed, threshold=0.5)
    expected = [1.0, float(embed(["zebra"])[0] @ embed(["zebra ltd"])[0]), 0.1, np.nan, 1.0]
    score = found.columns["score"]
    assert score[[0, 1, 4]] == pytest.approx([expected[i] for i in (0, 1, 4)], abs=1e-6)
    assert score[2] < 0.3
    assert np.isnan(score[3])
    assert found.table["match"] == [True, bool(expected[1] >= 0.5), False, False, True]
    assert found.table["score"][3] is None
    assert list(found.table) == ["a", "b", "score", "match"]
    assert "5 rows" in str(found)


def test_each_distinct_text_is_read_once():
    embed = Trigrams()
    table = {"a": ["x y", "X Y!", "z"] * 50, "b": ["z"] * 150}
    tokenry.classify_pairs(table, "a", "b", encoder=embed)
    assert sorted(one for one in embed.asked if len(one) < 4) == ["x y", "z"]


def test_several_columns_are_one_text():
    table = {"n": ["acme"], "c": ["rome"], "m": ["acme"], "t": ["paris"]}
    found = tokenry.classify_pairs(table, ["n", "c"], ["m", "t"], method="exact")
    assert found.table["match"] == [False]


def test_some_labels_teach_and_all_labels_measure():
    half = PAIRS | {"y": [1, 1, 0, None, None]}
    found = tokenry.classify_pairs(half, "a", "b", label="y", encoder=Trigrams())
    low = found.columns["score"][1]
    assert found.columns["score"][2] < found.threshold <= low
    assert found.figures == {}
    full = PAIRS | {"y": ["yes", "no", "no", "no", "yes"]}
    found = tokenry.classify_pairs(full, "a", "b", label="y", encoder=Trigrams(), threshold=0.99)
    assert found.figures == {"precision": 1.0, "recall": 1.0, "f1": 1.0}
    assert found.to_dict()["counts"] == {"matches": 2, "others": 3}
    learned = tokenry.classify_pairs(half, "a", "b", label="y", method="hybrid")
    score = learned.columns["score"]
    assert score[2] < learned.threshold <= score[:2].min()


def test_columns_of_the_same_name_stay(tmp_path):
    table = {"a": ["x"], "b": ["x"], "score": ["mine"]}
    found = tokenry.classify_pairs(table, "a", "b", method="exact")
    assert list(found.table) == ["a", "b", "score", "_score", "match"]
    found.write(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").startswith('"a","b","score"')


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"left": "a"}, "left names 1 columns and right 0"),
        ({"left": ["a", "b"], "right": "a"}, "left names 2 columns and right 1"),
        ({"left": "a", "right": "b", "method": "supcon"}, "'supcon' is no linker"),
        ({"left": "a", "right": "b", "label": "a"}, "neither the same nor not"),
        ({"left": "a", "right": "b", "label": "e"}, "no row has a label"),
    ],
)
def test_refuses_what_does_not_go_together(given, message):
    with pytest.raises(UsageError, match=message):
        tokenry.classify_pairs(PAIRS | {"e": [None] * 5}, encoder=Trigrams(), **given)


def test_refuses_an_unknown_column():
    with pytest.raises(UnknownNameError, match="column 'c' is unknown"):
        tokenry.classify_pairs(PAIRS, "a", "c", method=LinkTransformer(), encoder=Trigrams())


LETTERS = "abcdefghijklmnopqrstuvwxyz. "


def tokenizer():
    roles = {f"{role}_token": f"[{role.upper()}]" for role in ("pad", "unk", "sep", "cls")}
    vocab = {one: i for i, one in enumerate([*roles.values(), *LETTERS])}
    inner = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    inner.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 3))
    return PreTrainedTokenizerFast(tokenizer_object=inner, **roles)


def config(**settings):
    return BertConfig(
        vocab_size=4 + len(LETTERS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=20, **settings,
    )  # fmt: skip


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    model = BertForSequenceClassification(
        config(id2label={0: "other", 1: "same", 2: "unclear"}, label2id={"other": 0})
    )
    return TextClassifier(model, tokenizer())


def test_a_classifier_reads_pairs_as_one_by_one(classifier):
    texts = ["acme", "zebra ltd.", "", "a" * 40]
    others = ["acme inc", "z", "x", "b" * 40]
    found = classifier(texts, others, batch_size=2)
    for row, pair in zip(found, zip(texts, others, strict=True), strict=True):
        given = classifier.tokenizer(*pair, truncation=True, max_length=20, return_tensors="pt")
        with torch.no_grad():
            logits = classifier.model(**given).logits[0]
        assert row == pytest.approx(logits.softmax(0).numpy(), abs=1e-6)
    assert found.sum(1) == pytest.approx(np.ones(4))


def test_classified_rows_have_a_label_and_its_probability(classifier, tmp_path):
    found = tokenry.classify_pairs(PAIRS, "a", "b", classifier=classifier)
    shares = classifier(["Acme Inc."], ["acme inc"])[0]
    assert found.table["predicted"][0] == classifier.labels[shares.argmax()]
    assert found.table["score"][0] == pytest.approx(shares.max())
    assert sum(found.to_dict()["counts"].values()) == 5
    classifier.model.save_pretrained(tmp_path)
    classifier.tokenizer.save_pretrained(tmp_path)
    again = tokenry.classify_pairs(PAIRS, "a", "b", classifier=tmp_path)
    assert again.table == found.table
    alone = tokenry.classify_pairs(PAIRS, "a", classifier=tmp_path)
    assert alone.columns["score"][0] == pytest.approx(classifier(["Acme Inc."])[0].max())
    with pytest.raises(UsageError, match=r"threshold=0.9 is for linkers; .*Leave threshold out"):
        tokenry.classify_pairs(PAIRS, "a", "b", classifier=classifier, threshold=0.9)


def test_one_number_is_a_probability_of_its_own():
    torch.manual_seed(0)
    model = BertForSequenceClassification(config(num_labels=1))
    found = TextClassifier(model, tokenizer())(["acme"], ["x"])
    assert found.shape == (1, 1)
    assert 0 < found[0, 0] < 1


def test_a_model_without_labels_is_refused():
    with pytest.raises(UnsupportedModelError, match="BertModel: gives texts no labels"):
        TextClassifier(BertModel(config()), tokenizer())
