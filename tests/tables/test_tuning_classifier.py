"""A classifier is trained on texts or pairs, measured on others, saved, and used again."""

from __future__ import annotations

import random

import pytest
import torch
from tests.tables.test_classifying import LETTERS, config, tokenizer
from transformers import BertForSequenceClassification, BertModel

import tokenry
from tokenry.errors import UnknownNameError, UsageError
from tokenry.ops.verdict_counts import label_scores
from tokenry.plugs.text_classifier import TextClassifier


@pytest.fixture
def folder(tmp_path):
    """A text model without a head."""
    torch.manual_seed(0)
    BertModel(config()).save_pretrained(tmp_path / "model")
    tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def words(count, seed=0):
    draw = random.Random(seed)
    return ["".join(draw.choices(LETTERS[:26], k=5)) for _ in range(count)]


def texts(count):
    """Texts with an a at the start, and others."""
    found = [one.replace("a", "b") for one in words(count)]
    marks = [i % 3 == 0 for i in range(count)]
    return {
        "text": [f"aaa{one}" if mark else one for one, mark in zip(found, marks, strict=True)],
        "kind": ["vowel" if mark else "other" for mark in marks],
    }


def test_texts_are_labelled_as_they_were_and_the_folder_is_a_classifier(folder, tmp_path):
    table = texts(160)
    out = tmp_path / "out"
    found = tokenry.tune_classifier(
        table, folder, left="text", label="kind", steps=60, rate=3e-3, out=out
    )
    assert found.rows == {"train": 112, "validation": 24, "test": 24}
    assert found.test["accuracy"] > 0.95 > found.commonest
    assert found.classifier.labels == ("other", "vowel")
    assert "always the commonest label" in str(found)
    assert found.to_dict()["folder"] == str(out)
    again = tokenry.classify_pairs({"t": ["aaaxyz", "xyzxyz"]}, "t", classifier=out)
    assert again.table["predicted"] == ["vowel", "other"]


def test_both_texts_of_a_pair_are_read(folder):
    """What is beside the text decides; each left text comes with both labels."""
    names = words(40)
    table = {
        "a": [*names, *names],
        "b": ["zzzz"] * 40 + ["cccc"] * 40,
        "same": [1.0] * 40 + [0.0] * 40,
    }
    table = {name: [*column, None] for name, column in table.items()}
    settings = {"label": "same", "steps": 60, "rate": 3e-3}
    found = tokenry.tune_classifier(table, folder, left="a", right="b", **settings)
    assert found.test == {"accuracy": 1.0, "F1": 1.0}
    assert found.classifier.labels == ("0", "1")
    assert found.commonest == 0.5
    assert found.notes == ("Left out: 1 row without a text or label.",)
    alone = tokenry.tune_classifier(table, folder, left="a", **settings)
    assert alone.test["accuracy"] == 0.5


def test_no_left_text_is_in_two_parts_and_two_runs_are_equal(folder):
    table = texts(60)
    table = {name: column * 2 for name, column in table.items()}
    runs = [
        tokenry.tune_classifier(table, folder, left="text", label="kind", steps=2) for _ in "ab"
    ]
    assert sum(runs[0].rows.values()) == 120
    assert all(count % 2 == 0 for count in runs[0].rows.values())
    assert runs[0].tuned.losses == runs[1].tuned.losses


def test_rare_labels_weigh_as_much_when_asked(folder):
    table = texts(60)
    settings = {"left": "text", "label": "kind", "steps": 1, "held_out": 0}
    plain, balanced = (
        tokenry.tune_classifier(table, folder, balanced=one, **settings) for one in (False, True)
    )
    assert plain.tuned.losses != balanced.tuned.losses
    assert balanced.test == {}
    assert balanced.commonest is None


def test_a_classifier_of_its_own_is_trained_in_place():
    names = {"id2label": {0: "vowel", 1: "other"}, "label2id": {"vowel": 0, "other": 1}}
    own = TextClassifier(BertForSequenceClassification(config(**names)), tokenizer())
    before = own.model.classifier.weight.clone()
    found = tokenry.tune_classifier(texts(60), own, left="text", label="kind", steps=2, rate=1e-2)
    assert found.classifier is own
    assert found.classifier.labels == ("vowel", "other")
    assert not torch.equal(before, own.model.classifier.weight)
    with pytest.raises(UsageError, match="knows vowel, other, and not third"):
        tokenry.tune_classifier(
            {"text": ["a", "b"], "kind": ["third", "other"]}, own, left="text", label="kind"
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"label": "one"}, "holds x alone"),
        ({"held_out": 1.0}, "outside"),
        ({"held_out": 0.04}, "part has one label alone"),
        ({"steps": 1, "rate": 0.0}, "a positive rate"),
        ({"batch_size": 1000}, "a batch that the texts fill"),
        ({"steps": 4, "rate": 1e9}, "take a smaller rate"),
    ],
)
def test_refuses_what_teaches_nothing(folder, given, message):
    table = texts(60) | {"one": ["x"] * 60}
    with pytest.raises(tokenry.TokenryError, match=message):
        tokenry.tune_classifier(table, folder, **{"left": "text", "label": "kind", **given})


def test_refuses_an_unknown_column_and_a_full_folder(folder):
    with pytest.raises(UnknownNameError, match="column 'c' is unknown"):
        tokenry.tune_classifier(texts(9), folder, left="text", label="c")
    with pytest.raises(UsageError, match="holds something"):
        tokenry.tune_classifier(texts(60), folder, left="text", label="kind", out=folder)


def test_figures_by_hand():
    from sklearn.metrics import f1_score

    draw = random.Random(0)
    given, true = (torch.tensor(draw.choices(range(3), k=50)).numpy() for _ in "ab")
    found = label_scores(given, true)
    assert found["F1"] == pytest.approx(f1_score(true, given, average="macro"))
    assert found["accuracy"] == pytest.approx((given == true).mean())
