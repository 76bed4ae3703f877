from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenry.data import Example, ImageData, load
from tokenry.errors import DataError, UnknownNameError, UsageError


def made(labels, domains=(None,), splits=(None,)) -> ImageData:
    """One example per row, without pictures."""
    rows = [(y, d, s) for y in labels for d in domains for s in splits]
    examples = tuple(Example(str(i), y, s, d, {}, None) for i, (y, d, s) in enumerate(rows))
    return ImageData("made", examples, "none", "test")


def test_labels_domains_and_sequence():
    data = made(["b", "a", "b", None], domains=["x", "y"])
    assert data.labels == ("a", "b")
    assert data.domains == ("x", "y")
    assert len(data) == len(list(data)) == 8
    assert data[-1].id == "7"
    assert repr(data) == "ImageData('made': 8 pictures, 2 labels, domains x, y)"


def test_ids_are_unique_and_sets_not_empty():
    with pytest.raises(DataError, match="made: holds no pictures"):
        made([])
    with pytest.raises(DataError, match="two pictures have the id '0'"):
        ImageData("made", made(["a"]).examples * 2, "none", "test")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=40),
    st.integers(1, 50),
    st.integers(0, 3),
)
def test_limit_gives_each_stratum_its_share(labels, n, seed):
    data = made(labels, splits=["train", "test"])
    kept = data.limit(n, seed)
    assert len(kept) == min(n, len(data))
    assert kept == data.limit(n, seed)
    assert [int(e.id) for e in kept] == sorted(int(e.id) for e in kept)
    before = Counter((e.label, e.split) for e in data)
    after = Counter((e.label, e.split) for e in kept)
    for stratum, count in before.items():
        assert abs(after[stratum] - count * len(kept) / len(data)) < 1


def test_limit_keeps_a_concept_with_all_its_domains():
    kept = load("emoji").limit(100, seed=3)
    assert set(Counter(e.label for e in kept).values()) == {2}
    assert len(kept.labels) == 50
    assert kept.labels != load("emoji").limit(100, seed=4).labels


def test_limit_is_the_same_everywhere():
    assert [e.id for e in made("abcdefgh").limit(3, seed=0)] == ["5", "6", "7"]


def test_limit_below_one():
    with pytest.raises(UsageError, match="limit: n=0 is below 1"):
        made("ab").limit(0)


def test_where():
    data = made(["a", "b"], domains=["x", "y"], splits=["train", "test"])
    assert len(data.where(domain="x")) == 4
    assert len(data.where(domain=["x", "y"], split="test")) == 4
    assert {e.label for e in data.where(label="b", split="train")} == {"b"}
    with pytest.raises(UnknownNameError, match=r"domain 'z' is unknown; nearest: x, y"):
        data.where(domain="z")
    with pytest.raises(UnknownNameError, match="split 'dev' is unknown"):
        data.where(split=["train", "dev"])
    only = ImageData("two", (data[0], data[7]), "none", "test")
    with pytest.raises(DataError, match="two: holds no pictures"):
        only.where(domain="x", split="test")


def test_with_split_divides_each_label():
    data = made(list("aaaabbbb") * 3).with_split(0.25, seed=1)
    assert Counter((e.label, e.split) for e in data) == {
        ("a", "test"): 3,
        ("a", "train"): 9,
        ("b", "test"): 3,
        ("b", "train"): 9,
    }
    assert data == made(list("aaaabbbb") * 3).with_split(0.25, seed=1)
    assert data != made(list("aaaabbbb") * 3).with_split(0.25, seed=2)


def test_with_split_puts_one_drawing_of_each_concept_on_each_side():
    data = load("emoji").with_split(0.5)
    assert set(Counter((e.label, e.split) for e in data).values()) == {1}
    assert len(data.where(split="test").domains) == 2


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5, 0.01, 0.99, float("nan")])
def test_with_split_outside(share):
    with pytest.raises(UsageError, match="leaves a part empty"):
        made("abcd").with_split(share)


def test_hash_sees_pixels_labels_ids_and_order():
    def loaded(pixels=0, labels="ab", order=1):
        pictures = [np.full((2, 2), pixels, np.uint8), np.full((2, 2), 9, np.uint8)]
        return load(list(zip(pictures, labels, strict=True))[::order])

    first = loaded().hash
    assert first == loaded().hash
    assert len(first) == 64
    assert len({first, loaded(pixels=1).hash, loaded(labels="ac").hash, loaded(order=-1).hash}) == 4
    assert load([np.zeros((2, 8), np.uint8)]).hash != load([np.zeros((4, 4), np.uint8)]).hash


def test_hash_does_not_depend_on_the_name(folder):
    assert load(folder, name="other").hash == load(folder).hash
    assert load(folder, name="other").name == "other"


def test_data_can_be_pickled(folder):
    data = load(folder)
    again = pickle.loads(pickle.dumps(data))
    assert again.hash == data.hash
    assert again[0].image().tobytes() == data[0].image().tobytes()
