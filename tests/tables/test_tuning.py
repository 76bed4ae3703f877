"""Tables of pairs: three forms, parts that share nothing, measures, and what is learned."""

from __future__ import annotations

import random

import numpy as np
import pytest

import tokenry
from tokenry.errors import UnknownNameError, UsageError
from tokenry.ops import splits
from tokenry.tables import frames
from tokenry.tables.normalise import rule
from tokenry.tables.tuning_data import columns_of, read
from tokenry.tables.tuning_measures import cut_of, measures

LETTERS = "abcdefghijklmnopqrstuvwxyz 0123456789"


@pytest.fixture
def encoder(recipes):
    """Two layers from random weights over letters."""
    return recipes("linker_scripts").encoder([LETTERS] * 5, width=32)


def names(count, seed=0):
    """Two spellings of each of some made-up names: the second without vowels."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        name = "".join(draw.choice("bcdfgklmnprst") + draw.choice("aeiou") for _ in range(4))
        found.append((name, "".join(letter for letter in name if letter not in "aeiou")))
    return found


def of(table, **columns):
    given = {name: columns.get(name) for name in ("left", "right", "label", "text", "cluster")}
    return read(frames.read(table), columns_of(**given), rule("text"), None)


def test_pairs_that_are_connected_are_one_thing():
    data = of({"a": ["x", "y", "q", None], "b": ["y", "z", "r", "s"]}, left="a", right="b")
    thing = data.thing
    assert thing["x"] == thing["y"] == thing["z"] != thing["q"] == thing["r"]
    assert data.rows == [("x", "y"), ("y", "z"), ("q", "r")]
    assert data.notes == ("Left out: 1 row without a text or label.",)


def test_labelled_pairs_are_one_thing_only_where_they_are_the_same():
    table = {"a": ["x", "x", "q"], "b": ["y", "z", "r"], "same": ["1", "0", "yes"]}
    data = of(table, left="a", right="b", label="same")
    thing = data.thing
    assert data.labels == [True, False, True]
    assert thing["x"] == thing["y"] != thing["z"]
    assert len({*thing.values()}) == 3


def test_pairs_that_are_labelled_both_ways_teach_nothing():
    table = {"a": ["x", "x", "q", "x"], "b": ["y", "y", "r", "y"], "same": [1, 0, 1, 1]}
    data = of(table, left="a", right="b", label="same")
    assert data.rows == [("q", "r")]
    assert data.notes == ("Left out: 1 pair labelled as the same and as not the same.",)


def test_texts_with_their_thing_are_read_with_the_next_one_of_it():
    table = {"t": ["x", "y", "z", "q", "both", "both"], "c": [1, 1, 1, 2, 1, 2]}
    data = of(table, text="t", cluster="c")
    assert data.rows == [("x", "y"), ("y", "z"), ("z", "x"), ("q", "q")]
    assert data.notes == ("Left out: 1 text of several things.",)


def test_several_columns_are_one_text():
    table = {"a": ["X"], "city": ["Rome"], "b": ["Y"], "town": [None]}
    data = of(table, left=["a", "city"], right=["b", "town"])
    assert data.rows == [("x</s>rome", "y</s>")]


@pytest.mark.parametrize("seed", range(5))
def test_parts_share_no_thing_and_no_text(seed):
    draw = random.Random(seed)
    rows = [(f"n{draw.randrange(60)}", f"n{draw.randrange(60)}") for _ in range(40)]
    labels = [draw.random() < 0.6 for _ in rows]
    unique = dict(zip(rows, labels, strict=True))
    table = {"a": [a for a, _ in unique], "b": [b for _, b in unique], "y": [*unique.values()]}
    for columns in ({"left": "a", "right": "b"}, {"left": "a", "right": "b", "label": "y"}):
        data = of(table, **columns)
        parts = data.split(splits.by_group(data.things(), 0.5, draw))
        held = [{text for row in part.rows for text in row} for part in parts.values()]
        things = [{data.thing[text] for text in texts} for texts in held]
        for i in range(3):
            for j in range(i):
                assert not held[i] & held[j]
                assert not things[i] & things[j]
        kept = sum(len(part.rows) for part in parts.values())
        assert kept <= len(data.rows) if "label" in columns else kept == len(data.rows)


def test_a_tenth_of_the_things_is_for_each_of_validation_and_test():
    parts = [*splits.by_group(range(200), 0.2, random.Random(0)).values()]
    assert [parts.count(name) for name in ("train", "validation", "test")] == [160, 20, 20]


class Fixed:
    """An encoder of fixed vectors."""

    def __init__(self, vectors):
        self.vectors = vectors

    def encode(self, texts, **_):
        return np.array([self.vectors[text] for text in texts])


def test_measures_are_those_of_a_loop():
    draw = np.random.default_rng(0)
    pairs = [(f"l{i}", f"r{i // 2}") for i in range(12)]
    vectors = {text: draw.normal(size=3) for pair in pairs for text in pair} | {
        "d": draw.normal(size=3)
    }
    encoder = Fixed(vectors)
    data = of({"a": [a for a, _ in pairs], "b": [b for _, b in pairs]}, left="a", right="b")

    def cosine(x, y):
        return x @ y / np.linalg.norm(x) / np.linalg.norm(y)

    ranks = []
    for left, right in pairs:
        among = [*dict.fromkeys(b for _, b in pairs), "d"]
        order = sorted(among, key=lambda b, a=left: -cosine(vectors[a], vectors[b]))
        ranks.append(order.index(right) + 1)
    found = measures(encoder, data, ["d"])
    assert found["accuracy@1"] == pytest.approx(np.mean([r == 1 for r in ranks]))
    assert found["MRR@10"] == pytest.approx(np.mean([1 / r if r <= 10 else 0 for r in ranks]))


def test_a_text_does_not_find_itself():
    encoder = Fixed({"a": [1, 0], "b": [0.6, 0.8], "c": [0.9, 0.4], "e": [0, 1]})
    data = of({"t": ["a", "b", "c", "e"], "k": [1, 1, 2, 3]}, text="t", cluster="k")
    assert measures(encoder, data) == {
        "accuracy@1": 0.0,
        "MRR@10": pytest.approx((1 / 2 + 1 / 3) / 2),
    }
    assert cut_of(encoder, data) is None


def test_labelled_pairs_are_measured_by_their_best_threshold():
    encoder = Fixed({"a": [1, 0], "b": [1, 0.1], "c": [1, 1], "e": [0, 1]})
    table = {"l": ["a", "a", "a"], "r": ["b", "c", "e"], "y": [1, 0, 1]}
    data = of(table, left="l", right="r", label="y")
    assert measures(encoder, data) == {
        "F1": pytest.approx(0.8),
        "AP": pytest.approx((1 + 2 / 3) / 2),
    }


def test_tuned_on_pairs_it_finds_names_it_has_not_seen(encoder, tmp_path):
    pairs = names(160)
    table = {"name": [a for a, _ in pairs], "short": [b for _, b in pairs]}
    found = tokenry.tune(
        table, encoder, left="name", right="short", steps=60, batch_size=64, rate=3e-3,
        held_out=0.4, out=tmp_path / "tuned", progress=False,
    )  # fmt: skip
    assert found.rows == {"train": 96, "validation": 32, "test": 32}
    assert found.after["accuracy@1"] > found.before["accuracy@1"] + 0.2
    assert found.tuned.watched[0][0] == 0
    assert max(value for _, value in found.tuned.watched) > found.tuned.watched[0][1]
    assert 0 < found.threshold < 1
    assert "Test accuracy@1" in str(found)
    assert found.to_dict()["folder"] == str(tmp_path / "tuned")
    again = tokenry.tune(
        table, tmp_path / "tuned", left="name", right="short", steps=1, rate=1e-9, held_out=0.4
    )
    assert again.before["accuracy@1"] == pytest.approx(found.after["accuracy@1"])


def test_tuned_on_labels_and_on_clusters(encoder):
    pairs = names(60)
    texts = {"t": [text for pair in pairs for text in pair], "k": [i // 2 for i in range(120)]}
    found = tokenry.tune(
        texts, encoder, text="t", cluster="k", steps=2, batch_size=16, held_out=0.4
    )
    assert found.tuned.method == "SupCon()"
    labelled = {
        "a": [a for a, _ in pairs] * 2,
        "b": [b for _, b in pairs] + [b for _, b in pairs[1:] + pairs[:1]],
        "y": [True] * 60 + [False] * 60,
    }
    found = tokenry.tune(
        labelled, encoder, left="a", right="b", label="y", steps=2, batch_size=8, held_out=0.6
    )
    assert found.tuned.method == "OnlineContrastive()"
    assert set(found.after) == {"F1", "AP"}
    assert any("thing of one part" in note for note in found.notes)


def test_nothing_held_out_measures_nothing(encoder):
    pairs = names(20)
    table = [{"a": a, "b": b} for a, b in pairs]
    found = tokenry.tune(table, encoder, left="a", right="b", steps=1, held_out=0)
    assert found.before == found.after == {}
    assert found.threshold is None
    assert found.tuned.watched == ()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "give left and right"),
        ({"left": "a", "right": "b", "text": "a", "cluster": "b"}, "or text and cluster"),
        ({"left": "a"}, "left and right go together"),
        ({"text": "a"}, "so do text and cluster"),
        ({"label": "y"}, "says nothing without"),
        ({"left": "a", "right": "b", "held_out": 1.0}, r"outside \[0, 1\)"),
        ({"left": "a", "right": "b", "label": "b"}, "neither the same nor not"),
        ({"left": "a", "right": "b"}, "validation part has no pair"),
        ({"left": "none", "right": "b"}, "no pair of texts in 2 rows; 2 without one"),
        ({"text": "a", "cluster": "b"}, "no two of 2 texts"),
        ({"left": "a", "right": "c", "label": "y"}, "labelled both ways"),
    ],
)
def test_refuses_tables_that_say_nothing(encoder, columns, message):
    table = {"a": ["x", "z"], "b": ["y", "w"], "none": [None, ""], "y": [1, 0], "c": ["q", "q"]}
    table = table | ({"a": ["x", "x"]} if columns.get("right") == "c" else {})
    with pytest.raises(UsageError, match=message):
        tokenry.tune(table, encoder, **columns)


def test_refuses_unknown_columns_and_encoders(encoder):
    with pytest.raises(UnknownNameError, match="nme"):
        tokenry.tune({"name": ["x"], "b": ["y"]}, encoder, left="nme", right="b")
    with pytest.raises(UsageError, match="encoder is a int"):
        tokenry.tune({"name": ["x"], "b": ["y"]}, 3, left="name", right="b")
