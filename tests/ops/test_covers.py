"""Cover arithmetic against sums written out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.ops.byte_trie import ByteTrie, Node
from tokenry.ops.covers import (
    END,
    Answer,
    Cover,
    Opening,
    at_border,
    following,
    mixed,
    unanswered,
    untested,
)

TRIE = ByteTrie({0: b"a", 1: b"ab", 2: b"abc", 3: b"b", 4: b"c"})
MANY = settings(deadline=None, max_examples=60)
MASSES = st.lists(st.floats(0, 1), min_size=5, max_size=5).filter(lambda m: sum(m) > 0.01)


def answer(mass, stop=0.0):
    return Answer(np.array(mass, dtype=float), stop, np.zeros(len(mass), dtype=bool))


def two(first, second, weight=-1.0):
    """Covers of "a": nothing and a token that goes on with "ab...", or the token "a"."""
    floor = Cover(None, -1, 0, answer=answer(first))
    child = Cover(floor, 0, 1, weight, answer(second, stop=0.25))
    node = TRIE.child(TRIE.root, ord("a"))
    return [Opening(floor, Node(1, node.stop, 1)), Opening(child, TRIE.root)]


def test_following_adds_covers_up():
    openings = two([0.1, 0.2, 0.3, 0.2, 0.2], [0.0, 0.1, 0.15, 0.3, 0.2], math.log(0.1))
    found = following(openings, TRIE, 1)
    expected = {"a": 0.1 * 0.25, "b": 0.5 + 0.1 * 0.3, "c": 0.1 * 0.2}
    for letter, mass in expected.items():
        assert found[ord(letter)] == pytest.approx(mass)
    assert found[END] == pytest.approx(0.1 * 0.25)
    assert found.sum() == pytest.approx(sum(expected.values()) + 0.025)


def test_what_is_cut_scales_the_rest_up():
    openings = two([0.1, 0.2, 0.3, 0.2, 0.2], [0.2] * 5)
    first = openings[0].cover.answer
    first.note(np.array([3, 4]), np.array([False, False]))
    assert first.cut == pytest.approx(0.4)
    child = openings[1].cover
    child.weigh()
    assert child.weight == pytest.approx(math.log(0.1 / 0.6))


def test_a_cover_weighs_no_less_than_its_parent_before_it_is_known():
    floor = Cover(None, -1, 0, weight=-2.0)
    child = Cover(floor, 0, 1)
    child.weigh()
    assert child.weight == -2.0


@MANY
@given(MASSES, st.floats(0, 0.5), st.floats(-20, 0))
def test_what_is_left_unanswered_weighs_less_than_allowed(mass, tolerance, weight):
    floor = Cover(None, -1, 0, answer=answer(mass))
    waiting = [Cover(floor, i, 1, weight - i) for i in range(3)]
    openings = [Opening(floor, TRIE.root), *(Opening(c, TRIE.root) for c in waiting)]
    asked = unanswered(openings, tolerance)
    left = sum(math.exp(c.weight) for c in waiting if c not in asked)
    assert left <= tolerance * sum(mass) + 1e-12
    if asked and tolerance:
        lightest = min(math.exp(c.weight) for c in asked)
        assert left + lightest > tolerance * sum(mass) - 1e-12


def test_parents_are_asked_before_their_children():
    floor = Cover(None, -1, 0)
    child = Cover(floor, 0, 1)
    assert unanswered([Opening(child, TRIE.root)], 0.1) == [floor, child]


@MANY
@given(MASSES, st.floats(0, 0.5))
def test_what_is_left_untested_weighs_less_than_allowed(mass, tolerance):
    floor = Cover(None, -1, 0, answer=answer(mass))
    found = untested([Opening(floor, TRIE.root)], [], tolerance)
    rows = found[0][1].tolist() if found else []
    left = [m for row, m in enumerate(mass) if row not in rows]
    assert sum(left) <= tolerance * sum(mass) + 1e-12
    if tolerance == 0:
        assert set(rows) == {row for row, m in enumerate(mass) if m > 0}


def test_equal_masses_are_not_passed_over_together():
    floor = Cover(None, -1, 0, answer=answer([0.2] * 5))
    ((_, rows),) = untested([Opening(floor, TRIE.root)], [], 0.01)
    assert len(rows) == 5


def test_the_whole_answer_of_a_new_cover_counts():
    openings = two([0.2] * 5, [0.2] * 5)
    narrow = [openings[0], Opening(openings[1].cover, Node(0, 1, 1))]
    known = {id(c): rows for c, rows in untested(narrow, [], 0.0)}
    fresh = {id(c): rows for c, rows in untested(narrow, [openings[1].cover], 0.0)}
    child = id(openings[1].cover)
    assert known[child].tolist() == [0]
    assert fresh[child].tolist() == [0, 1, 2, 3, 4]


def test_border_share():
    openings = two([0.1, 0.2, 0.3, 0.2, 0.2], [0.15] * 5, math.log(0.1))
    assert at_border(openings, 1) == pytest.approx(0.1 / (0.1 + 0.5))


def test_mixtures():
    p, q = np.full(257, 1 / 257), np.linspace(1, 2, 257) / np.linspace(1, 2, 257).sum()
    scores = np.log(np.stack([p, q]))
    np.testing.assert_allclose(np.exp(mixed(scores, "average")), (p + q) / 2)
    product = np.sqrt(p * q)
    np.testing.assert_allclose(np.exp(mixed(scores, "product")), product / product.sum())
