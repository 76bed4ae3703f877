"""What the official package of LinkTransformer offers, on top of the verbs over tables."""

from __future__ import annotations

import numpy as np
import pytest
from tests.linking.conftest import Trigrams

import tokenry

LEFT = ["Acme", "zebra", "acme inc", None, "no such", "Acme"]
RIGHT = ["acme inc", "Zebra Ltd", "acme", "acme", None, "zebra"]
SETTINGS = {"method": "linktransformer", "on": "name"}


def clean(text):
    return None if text is None else text.casefold()


def brute(left, right):
    """The cosine of every pair; minus one where a side is empty."""
    embed = Trigrams()
    table = np.full((len(left), len(right)), -1.0)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            if a is not None and b is not None:
                table[i, j] = round(float(embed([clean(a)])[0] @ embed([clean(b)])[0]), 6)
    return table


def linked(left, right, embed=None, **given):
    table = {"name": left}, {"name": right}
    return tokenry.link(*table, encoder=embed or Trigrams(), **SETTINGS, **given)


def test_merge_is_the_best_of_all_pairs_and_the_first_of_equals():
    found = linked(LEFT, RIGHT, threshold=-1.0)
    best = brute(LEFT, RIGHT)
    rows = [i for i, one in enumerate(LEFT) if one is not None]
    assert found.rows("left").tolist() == rows
    assert found.rows("right").tolist() == best.argmax(1)[rows].tolist()
    assert found.scores == pytest.approx(best.max(1)[rows], abs=1e-6)


@pytest.mark.parametrize("k", [6, 50])
def test_all_neighbours_are_a_full_ranking(k):
    found = linked(LEFT, RIGHT, threshold=-1.0, assign="many", k=k)
    table = brute(LEFT, RIGHT)
    there = [j for j, one in enumerate(RIGHT) if one is not None]
    wanted = [
        (i, j)
        for i, one in enumerate(LEFT)
        if one is not None
        for j in sorted(there, key=lambda j, i=i: (-table[i, j], j))
    ]
    pairs = zip(found.rows("left").tolist(), found.rows("right").tolist(), strict=True)
    assert list(pairs) == wanted


def test_a_range_holds_all_from_the_threshold_on_and_rows_without_any():
    found = linked(LEFT, RIGHT, threshold=0.5, assign="many", k=6)
    wanted = np.argwhere(brute(LEFT, RIGHT) >= 0.5)
    pairs = zip(found.rows("left").tolist(), found.rows("right").tolist(), strict=True)
    assert sorted(pairs) == [tuple(pair) for pair in wanted.tolist()]
    merged = found.merged("left")
    alone = [i for i in range(len(LEFT)) if i not in set(wanted[:, 0].tolist())]
    assert merged["score"].count(None) == len(alone)


def test_blocks_are_merged_one_by_one_and_the_rest_is_without_a_partner():
    left = {"name": ["acme", "acme", "zebra", "x"], "city": ["rome", "oslo", None, "lima"]}
    right = {"name": ["acme", "acme inc", "zebra", "y"], "city": ["oslo", "rome", None, "bern"]}
    embed = Trigrams()
    found = tokenry.link(left, right, block="city", threshold=-1.0, encoder=embed, **SETTINGS)
    assert found.rows("left").tolist() == [0, 1]
    assert found.rows("right").tolist() == [1, 0]
    merged = found.merged("outer")
    assert len(merged["score"]) == 6
    assert merged["score"].count(None) == 4
    asked = [one for one in embed.asked if one.isascii() and len(one) < 12]
    assert len(asked) == len(set(asked))


def test_columns_of_other_names_are_linked_in_their_order():
    left = {"a": ["acme", "zebra"], "b": ["rome", "oslo"]}
    right = {"x": ["zebra", "acme"], "y": ["oslo", "rome"]}
    for encoder in (Trigrams(),):
        found = tokenry.merge(
            left, right, left_on=["a", "b"], right_on=["x", "y"],
            method="linktransformer", encoder=encoder,
        )  # fmt: skip
        assert found["x"] == left["a"]
        assert "acme</s>rome" in encoder.asked


@pytest.mark.parametrize(("validate", "most"), [("1:1", (1, 1)), ("1:m", (9, 1)), ("m:1", (1, 9))])
def test_how_many_partners_a_row_has_is_kept_to(validate, most):
    found = tokenry.merge(
        {"name": ["acme", "acme", "acme inc"], "l": [0, 1, 2]},
        {"name": ["acme", "acme inc", "acme"], "r": [0, 1, 2]},
        on="name", validate=validate, how="inner", threshold=0.1,
        method="linktransformer", encoder=Trigrams(),
    )  # fmt: skip
    for side, allowed in (("l", most[0]), ("r", most[1])):
        assert max(found[side].count(one) for one in found[side]) <= allowed


def test_fine_labels_go_under_coarse_ones():
    found = tokenry.aggregate(
        {"name": ["red wine", "white wine", "rye bread"]}, {"name": ["bread", "wine"]},
        encoder=Trigrams(), **SETTINGS,
    )  # fmt: skip
    assert found.rows("right").tolist() == [1, 1, 0]


def test_every_row_that_is_like_no_other_survives_deduplication():
    names = ["acme", "ACME.", "zebra", "lonely", None, "quite other", "single"]
    found = tokenry.dedupe({"name": names}, encoder=Trigrams(), **SETTINGS)
    assert found.first["name"] == ["acme", "zebra", "lonely", None, "quite other", "single"]


def test_a_tie_at_the_threshold_is_a_match():
    found = linked(["acme"], ["acme"], threshold=1.0)
    assert len(found) == 1


class Referee:
    """Takes two records for the same when both are said to be in Rome; counts its questions."""

    def __init__(self):
        self.asked = []

    def yes(self, prompts):
        self.asked += prompts
        return np.array([float(prompt.casefold().count("rome") == 2) for prompt in prompts])

    def options(self, prompts, count):
        raise AssertionError

    def write(self, prompts, tokens):
        raise AssertionError


def test_a_language_model_judges_the_nearest_rows():
    pytest.importorskip("tokenry.linking.judged", reason="no linker asks a referee")
    left = {"name": ["acme", "zebra"], "city": ["Rome", "Oslo"]}
    right = {
        "name": ["acme", "acme inc", "acme ltd", "zebra"],
        "city": ["Oslo", "Rome", "Bern", "Rome"],
    }
    referee = Referee()
    found = tokenry.link(
        left, right, on="name", method="judged(linker=linktransformer, reach=2, whole=True)",
        encoder=Trigrams(), referee=referee,
    )  # fmt: skip
    assert len(referee.asked) == 4  # the two nearest of each
    assert (found.rows("left").tolist(), found.rows("right").tolist()) == ([0], [1])
    assert found.scores.tolist() == [1.0]
