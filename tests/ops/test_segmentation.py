"""Segmentations against enumeration, entities against sets, the ranker against its gradient."""

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad

from tokenry.errors import UsageError
from tokenry.ops.entities import Entities, Meant, listed
from tokenry.ops.listwise import list_shares, listwise_weights
from tokenry.ops.segmentation import WordModel, best_segmentations, case_breaks, cuts

SCORES = st.dictionaries(
    st.text("ab", min_size=1, max_size=4), st.integers(-64, 0).map(lambda n: n / 8), max_size=12
)


def enumerated(text, score):
    """All ways to cut a text, sorted: the best first, of equal ones the one that is cut earlier."""
    found = []
    for count in range(len(text)):
        for inner in combinations(range(1, len(text)), count):
            ends = (*inner, len(text))
            pieces = tuple(text[a:b] for a, b in zip((0, *inner), ends, strict=True))
            befores = (None, *pieces)
            total = 0.0
            for piece, before in zip(pieces, befores, strict=False):
                total += score(piece, before)
            found.append((-total, ends, pieces))
    return sorted(found)


@settings(deadline=None, max_examples=40)
@given(st.text("ab", min_size=1, max_size=9), SCORES, SCORES, st.integers(1, 30))
def test_the_k_best_are_those_of_enumeration(text, alone, after, k):
    def score(piece, before):
        pair = after.get(piece) if before is not None and len(before) % 2 else None
        return alone.get(piece, -len(piece) - 1.0) if pair is None else pair

    found = best_segmentations(text, score, k)
    wanted = enumerated(text, score)[:k]
    assert [(-one.score, one.pieces) for one in found] == [(s, p) for s, _, p in wanted]


def test_fourteen_letters_are_exact_too():
    words = {"a": -1.0, "ab": -1.5, "aba": -2.0, "b": -1.25, "bb": -3.0}
    text = "abbaababbabaab"
    score = lambda piece, before: words.get(piece, -9.0) - (piece == before)  # noqa: E731
    wanted = enumerated(text, score)
    assert len(wanted) == 2**13
    found = best_segmentations(text, score, 300)
    assert [one.pieces for one in found] == [pieces for *_, pieces in wanted[:300]]


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=12))
def test_pieces_joined_are_the_text(text):
    for one in best_segmentations(text, lambda piece, _: -1.0, 5):
        assert "".join(one.pieces) == text


def test_what_belongs_together_is_not_cut():
    assert cuts("") == [0]
    assert cuts("🇩🇪🇫🇷a") == [0, 2, 4, 5]
    assert cuts("e\u0301a") == [0, 2, 3]
    assert cuts("it\u2019s24h") == [0, 1, 4, 6, 7]
    long = "x" * 40
    assert [one.pieces for one in best_segmentations(long, lambda piece, _: -1.0, 1)] == [(long,)]
    with pytest.raises(UsageError, match="k=0"):
        best_segmentations("a", lambda piece, _: 0.0, 0)


def test_an_underscore_stands_alone_and_case_marks_words():
    model = WordModel.of(["new", "york", "new york"], [5, 3, 2])
    assert model.total == 8
    best = best_segmentations("new_york", model.after, 3)
    assert model.best("new_york", 3) == best
    assert best[0].pieces == ("new", "_", "york")
    assert all("_" in one.pieces for one in best)
    assert math.exp(model.after("York", "new")) == pytest.approx(2 / 5)
    assert math.exp(model.after("york", "old")) == pytest.approx(3 / 8)
    assert model.alone("2016") == pytest.approx(-6 * math.log(10))
    assert model.alone("zzz") == pytest.approx(math.log(10 / 8e3))
    assert sorted(case_breaks("GoNYCNow")) == [2, 5]
    assert case_breaks("LOUD") == case_breaks("quiet") == set()


LINKS = st.lists(st.lists(st.integers(0, 5), max_size=4), min_size=6, max_size=6)


@settings(deadline=None, max_examples=60)
@given(LINKS)
def test_relatedness_is_the_formula_symmetric_and_within_0_and_1(links):
    base = Entities([["x"]] * 6, None, links)
    sets = [{at} | {who for who, out in enumerate(links) if at in out} for at in range(6)]
    for a in range(6):
        assert base.relatedness(a, a) == 1
        for b in range(a):
            low, high = sorted((len(sets[a]), len(sets[b])))
            shared = len(sets[a] & sets[b])
            found = base.relatedness(a, b)
            assert found == base.relatedness(b, a)
            assert 0 <= found <= 1
            if not shared:
                assert found == 0
            elif low < 6 and sets[a] != sets[b]:
                far = math.log(high / shared) / math.log(6 / low)
                assert found == pytest.approx(max(0, 1 - far))
            elif sets[a] == sets[b]:
                assert found == 1


def spots(base, words, likely=None):
    return base.spots(words, lambda word: (likely or {}).get(word, 0.0), 0.01, 0.001)


def test_spots_are_the_longest_names_and_common_words_name_nothing():
    base = Entities([["New York"], ["York"], ["Of"], ["Perth", "part"]], [8, 2, 1, 1], [[]] * 4)
    found = spots(base, ["new", "york", "of", "york"], {"of": 0.02})
    assert [(one.start, one.stop, one.meanings[0][0]) for one in found] == [(0, 2, 0), (3, 4, 1)]
    (part,) = spots(base, ["part"], {"part": 0.005})
    assert not part.firm  # a word, and no title
    assert base.choose([part], [], 0.3, 0.2) == []
    assert spots(base, ["perth"], {"perth": 0.005})[0].firm


def test_a_vote_is_the_mean_over_spots_and_decides_between_meanings():
    # Two cities are called Paris; Texas links to the second, Lyon and Paris to each other.
    names = [["Paris"], ["Paris"], ["Texas"], ["Lyon"]]
    base = Entities(names, [9, 1, 5, 5], [[3], [2], [1], [0]])
    (paris,) = spots(base, ["paris"])
    assert paris.meanings == ((0, 0.9), (1, 0.1))
    texas, lyon = spots(base, ["texas", "lyon"])
    assert base.vote(1, [texas, lyon]) == pytest.approx(0.5)
    assert base.choose([paris], [lyon], 0.3, 0.2)[0].entity == 0
    assert base.choose([paris], [texas], 0.3, 0.2) == [Meant(1, (0.1 + 1) / 2)]
    assert base.choose([paris], [], 0.3, 0.2) == [Meant(0, 0.45)]
    assert base.coherence([Meant(0, 1), Meant(3, 1)]) == 1
    assert base.coherence([Meant(0, 1)]) == 0


def test_twins_are_both_meant_and_cells_are_lists():
    base = Entities.of_columns(
        ["A b", "A b", None], {"id": [7, 8, 9], "links": ["8|9", None, [7]], "prior": [1, 1, None]}
    )
    assert [one.entity for one in base.choose(spots(base, ["a", "b"]), [], 0.3, 0.2)] == [0, 1]
    assert base.links_in == [{0, 2}, {0, 1}, {0, 2}]
    assert listed(float("nan")) == listed(None) == listed("") == []
    assert listed("a | b") == listed(["a", " b "]) == ["a", "b"]


def test_the_ranker_prefers_the_right_ones_and_its_shares_sum_to_one():
    draw = np.random.default_rng(0)
    lists = np.repeat(np.arange(200), 5)
    features = draw.normal(size=(1000, 3))
    truth = np.array([2.0, 0.0, -1.0])
    shares = list_shares(features @ truth, lists)
    np.testing.assert_allclose(np.bincount(lists, shares), 1)
    chosen = [draw.choice(5, p=part / part.sum()) for part in shares.reshape(200, 5)]
    right = np.zeros(1000, dtype=bool)
    right[np.arange(200) * 5 + chosen] = True
    found = listwise_weights(features, lists, right)
    np.testing.assert_allclose(found, truth, atol=0.45)
    assert listwise_weights(features, lists, right, least=0.0)[2] == 0
    assert listwise_weights(features, lists, np.zeros(1000, dtype=bool)).tolist() == [0, 0, 0]

    def loss(weights):
        return (
            -np.log(list_shares(features @ weights, lists)[right]).mean() + 1e-4 * weights @ weights
        )

    def slope(weights):
        parts = features * (list_shares(features @ weights, lists) - right)[:, None]
        return parts.sum(0) / 200 + 2e-4 * weights

    assert check_grad(loss, slope, found) < 1e-5
    assert np.abs(slope(found)).max() < 1e-3


def test_lists_may_come_in_any_order():
    scores, lists = np.array([1.0, 2.0, 0.5, 0.0]), np.array([1, 0, 1, 0])
    found = list_shares(scores, lists)
    for a, b in pairwise([0, 2]):
        assert found[a] + found[b] == pytest.approx(1)
