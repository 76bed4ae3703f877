"""Shares, shifts and tournaments against closed forms, and what must hold of them always."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tokenry.errors import UsageError
from tokenry.ops.verdicts import shares, shifts, tournaments, unshifted

MANY = settings(deadline=None, max_examples=60)
SCORES = arrays(np.float64, (3, 7), elements=st.floats(-30, 30))


@MANY
@given(SCORES, arrays(np.float64, (3, 3), elements=st.floats(-50, 50)), st.floats(-9, 9))
def test_shares_do_not_see_other_tokens(scores, noise, constant):
    groups = [(0, 3), (1,)]
    found = shares(scores, groups)
    odds = np.exp(scores)
    yes, no = odds[:, 0] + odds[:, 3], odds[:, 1]
    np.testing.assert_allclose(found[:, 0], yes / (yes + no), rtol=1e-9)
    np.testing.assert_allclose(found.sum(1), 1)
    other = scores + constant
    other[:, 4:] += noise
    np.testing.assert_allclose(shares(other, groups), found, rtol=1e-9)


def test_shares_of_nothing_are_unknown():
    found = shares(np.array([[-np.inf, -np.inf, 0.0], [0.0, -np.inf, 0.0]]), [(0,), (1,)])
    assert np.isnan(found[0]).all()
    assert found[1].tolist() == [1, 0]


@MANY
@given(
    arrays(np.float64, 5, elements=st.floats(-4, 4)),
    arrays(np.float64, 5, elements=st.floats(-4, 4)),
    st.permutations(range(5)),
)
def test_the_order_of_options_does_not_matter(worth, bias, order):
    """A judge that prefers places: its averaged answer is that of one without preferences."""

    def asked(options):
        rows = worth[np.array(options)[shifts(5)]] + bias
        return unshifted(shares(rows, [[i] for i in range(5)]))

    plain = shares(worth[None], [[i] for i in range(5)])[0]
    np.testing.assert_allclose(asked(range(5)), plain, atol=1e-9)
    np.testing.assert_allclose(asked(order), plain[np.array(order)], atol=1e-9)


def test_shifts_that_were_not_answered_are_left_out():
    answers = np.array([[0.8, 0.2], [np.nan, np.nan]])
    np.testing.assert_allclose(unshifted(answers), [0.8, 0.2])
    assert np.isnan(unshifted(answers[1:])).all()


def oracle(worth, least, calls):
    """A judge that is always right: the best one wins, none if all are worth less than `least`."""

    def ask(questions):
        calls.extend(number for number, _ in questions)
        found = []
        for number, group in questions:
            best = max([*group, None], key=lambda one: least if one is None else worth[number][one])
            found.append(np.array([0.9 if one == best else 0.01 for one in (*group, None)]))
        return found

    return ask


@MANY
@given(
    st.lists(st.lists(st.integers(0, 1000), max_size=23, unique=True), min_size=1, max_size=4),
    st.integers(2, 9),
    st.randoms(use_true_random=False),
)
def test_the_best_one_wins_within_the_number_of_questions(fields, size, random):
    worth = [{one: random.random() for one in field} for field in fields]
    calls = []
    found = tournaments(fields, size, oracle(worth, 0.3, calls))
    for number, (field, scores) in enumerate(zip(fields, found, strict=True)):
        assert set(scores) == set(field)
        assert calls.count(number) <= math.ceil(len(field) / (size - 1))
        if not field:
            continue
        best = max(field, key=worth[number].__getitem__)
        if worth[number][best] >= 0.3:  # of equals, the candidate
            assert scores[best] > 0.5
            assert all(scores[best] > score for one, score in scores.items() if one != best)
        else:
            assert max(scores.values()) < 0.5


def test_one_that_lost_keeps_its_odds_against_its_winner():
    answers = iter(
        [np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.7, 0.1]), np.array([0.5, 0.2, 0.3])]
    )
    (scores,) = tournaments([(1, 2, 3, 4)], 2, lambda asked: [next(answers) for _ in asked])
    # In the last question 1 has 5/3 against none and 4 has 2/3; 2 lost to 1 by 1/2, 3 to 4 by 2/7.
    # What lost the last question keeps its odds against the winner: 4 has 5/3 * 2/5.
    odds = {1: 5 / 3, 2: 5 / 6, 3: 4 / 21, 4: 2 / 3}
    assert scores == pytest.approx({one: odd / (1 + odd) for one, odd in odds.items()})


def test_a_question_that_was_not_read_is_won_by_none():
    (scores,) = tournaments([(4, 5)], 3, lambda asked: [np.full(3, np.nan) for _ in asked])
    assert max(scores.values()) < 1e-9


def test_a_question_needs_two():
    with pytest.raises(UsageError, match="size=1 leaves nothing to choose"):
        tournaments([(1,)], 1, lambda asked: [])
