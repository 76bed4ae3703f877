"""The linkers without a model against their definitions."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz import distance, fuzz

from tokenry import catalog
from tokenry.errors import UsageError
from tokenry.linking import CharNgrams, Exact, Fuzzy, Hybrid
from tokenry.method import Aids, Scored, Side

TEXTS = st.lists(st.none() | st.text("ab ü東", min_size=1, max_size=6), max_size=7)


def side(texts, **more):
    return Side(columns={"name": texts, **more}, keys=("name", *more), count=len(texts))


def whole(matcher, left, right):
    """The score of every pair."""
    rows, columns = (some.ravel() for some in np.indices((left.count, right.count)))
    return matcher.score(rows, columns).reshape(left.count, right.count)


def by_hand(text, texts):
    """TF-IDF of runs of three characters, as the formula has it."""
    runs = [Counter(f" {t} "[i : i + 3] for i in range(len(t))) for t in texts]
    own = Counter(f" {text} "[i : i + 3] for i in range(len(text)))
    held = {g: sum(g in one for one in runs) for g in own}
    weights = {g: n * (np.log((1 + len(texts)) / (1 + held[g])) + 1) for g, n in own.items()}
    length = np.sqrt(sum(w * w for w in weights.values()))
    return {g: w / length for g, w in weights.items()}


def cosine(a, b, texts):
    one, other = by_hand(a, texts), by_hand(b, texts)
    return sum(w * other.get(g, 0) for g, w in one.items())


RULES = [
    (Exact(), lambda a, b, texts: float(a == b)),
    (CharNgrams(), cosine),
    (Fuzzy(), lambda a, b, texts: fuzz.token_sort_ratio(a, b) / 100),
    (
        Fuzzy(scorer="jaro-winkler"),
        lambda a, b, texts: distance.JaroWinkler.normalized_similarity(a, b),
    ),
]


@pytest.mark.parametrize(("linker", "rule"), RULES, ids=lambda one: getattr(one, "scorer", None))
@given(left=TEXTS, right=TEXTS, k=st.integers(1, 9), least=st.sampled_from((-np.inf, 0.0, 0.6)))
def test_pairs_and_neighbours_are_those_of_the_definition(linker, rule, left, right, k, least):
    texts = [text for text in (*left, *right) if text is not None]
    matcher = linker.prepare(side(left), side(right), Aids())
    table = np.array(
        [[np.nan if None in (a, b) else rule(a, b, texts) for b in right] for a in left]
    ).reshape(len(left), len(right))
    np.testing.assert_allclose(whole(matcher, side(left), side(right)), table, atol=1e-8)
    found = matcher.nearest(k, least)
    rounded = np.round(table, 9)
    wanted = [
        (i, j)
        for i, row in enumerate(rounded)
        for _, j in sorted((-s, j) for j, s in enumerate(row) if s >= least)[:k]
    ]
    assert list(zip(found.left.tolist(), found.right.tolist(), strict=True)) == wanted


def test_key_columns_are_one_text():
    left, right = side(["ada"], city=["rome"]), side(["ada"], city=[None])
    matcher = Exact().prepare(left, right, Aids())
    assert matcher.score(np.array([0]), np.array([0])).tolist() == [0.0]


@pytest.mark.parametrize(
    ("linker", "threshold"),
    [(Exact(), 1.0), (CharNgrams(), 0.5), (Fuzzy(), 0.8), (Fuzzy(scorer="jaro-winkler"), 0.9)],
)
def test_thresholds_can_be_given(linker, threshold):
    some = side(["ada"])
    assert linker.prepare(some, some, Aids()).threshold == threshold
    assert type(linker)(threshold=0.0).prepare(some, some, Aids()).threshold == 0.0


@pytest.mark.parametrize("linker", [CharNgrams, Fuzzy])
def test_known_pairs_say_where_matches_begin(linker):
    left, right = side(["arnie mortons", "bel air"]), side(["arnie morton s", "bel air hotel"])
    known = Scored(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([1.0, 0, 1]))
    matcher = linker().prepare(left, right, Aids(known=known))
    scores = matcher.score(known.left, known.right)
    assert matcher.threshold == min(scores[0], scores[2]) > scores[1]
    wrong = known._replace(score=np.zeros(3))
    plain = linker().prepare(left, right, Aids()).threshold
    assert linker().prepare(left, right, Aids(known=wrong)).threshold == plain
    assert linker(threshold=0.1).prepare(left, right, Aids(known=known)).threshold == 0.1


def test_parts_of_a_cosine_are_shared_grams():
    left, right = side(["arnie mortons"]), side(["arnie mortin s", "hotel"])
    matcher = CharNgrams().prepare(left, right, Aids())
    found = matcher.parts(np.array([0, 0]), np.array([0, 1]))
    assert "'rni'" in found
    assert len(found) == 9  # the shared runs
    assert found["'rni'"][1] == 0
    texts = ["the quick brown fox jumps"], ["the quick brown fox jumped", "no"]
    matcher = CharNgrams().prepare(*map(side, texts), Aids())
    found = matcher.parts(np.array([0, 0]), np.array([0, 1]))
    assert list(found)[-1] == "other grams"
    assert sum(found.values()).tolist() == pytest.approx(
        matcher.score(np.array([0, 0]), np.array([0, 1])).tolist(), abs=1e-8
    )


LEFT = side(["arnie mortons", "arts deli", "bel air", None, "zarathustra"])
RIGHT = side(["bel air hotel", "arnie morton s", "art s delicatessen", "quark", None])
AIDS = Aids(linker=catalog.make)
NAMES = ("char-ngrams(threshold=0.4)", "fuzzy", "exact")


def on_scale(score, threshold):
    if score < threshold:
        return score / (2 * threshold)
    return 0.5 + (score - threshold) / (2 * (1 - threshold)) if threshold < 1 else 0.5


def test_without_labels_a_hybrid_is_the_mean_on_one_scale():
    matcher = Hybrid(linkers=NAMES).prepare(LEFT, RIGHT, AIDS)
    assert matcher.threshold == 0.5
    table = whole(matcher, LEFT, RIGHT)
    apart = [catalog.make(name).prepare(LEFT, RIGHT, AIDS) for name in NAMES]
    for at in np.ndindex(table.shape):
        pair = [np.array([one]) for one in at]
        shares = [on_scale(float(one.score(*pair)[0]), one.threshold) for one in apart]
        assert table[at] == pytest.approx(np.mean(shares), nan_ok=True)


def test_a_hybrid_looks_at_the_best_of_each():
    found = Hybrid(linkers=("char-ngrams", "fuzzy"), reach=1).prepare(LEFT, RIGHT, AIDS).nearest(1)
    assert list(zip(found.left, found.right, strict=True))[:3] == [(0, 1), (1, 2), (2, 0)]
    assert (np.diff(found.left) >= 0).all()


def test_labels_say_what_each_linker_is_worth():
    """Names are noise here and cities tell all: what is equal by accident loses its weight."""
    known = Scored(
        np.array([0, 1, 2, 0, 1, 2]),
        np.array([1, 2, 0, 0, 3, 2]),
        np.eye(2)[[1] * 3 + [0] * 3][:, 1],
    )
    matcher = Hybrid(linkers=("char-ngrams", "exact")).prepare(
        LEFT, RIGHT, Aids(linker=catalog.make, known=known)
    )
    scores = matcher.score(known.left, known.right)
    assert ((scores >= matcher.threshold) == (known.score == 1)).all()
    assert matcher.threshold == scores[known.score == 1].min()
    parts = matcher.parts(known.left, known.right)
    assert list(parts) == ["base", "char-ngrams", "exact"]
    assert not parts["exact"].any()  # never 1 among the labels, so it says nothing


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"linkers": ("exact",)}, "at least two names"),
        ({"linkers": ("exact", "exact")}, "none twice"),
        ({"linkers": ()}, "at least two names"),
    ],
)
def test_a_hybrid_needs_two(settings, message):
    with pytest.raises(UsageError, match=message):
        Hybrid(**settings)


def test_a_hybrid_says_what_it_lacks():
    with pytest.raises(UsageError, match=r"Aids\(linker=tokenry.catalog.make\)"):
        Hybrid().prepare(LEFT, RIGHT, Aids())
    with pytest.raises(UsageError, match="fuzzy\\(threshold=7\\) takes pairs from 7 on"):
        Hybrid(linkers=("exact", "fuzzy(threshold=7)")).prepare(LEFT, RIGHT, AIDS)


def test_without_an_encoder_a_hybrid_counts_letters(trigrams):
    pair = np.array([0]), np.array([1])
    names = list(Hybrid().prepare(LEFT, RIGHT, AIDS).parts(*pair))
    assert names == ["char-ngrams", "fuzzy"]
    aids = Aids(linker=catalog.make, embed=trigrams)
    assert list(Hybrid().prepare(LEFT, RIGHT, aids).parts(*pair)) == [
        "char-ngrams",
        "linktransformer",
    ]
