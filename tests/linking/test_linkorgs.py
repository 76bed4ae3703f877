"""LinkOrgs against loops, its invariants, and what a log of aliases brings on real names."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from tokenry.data import AliasBase, load_aliases
from tokenry.errors import UsageError
from tokenry.linking import LinkOrgs
from tokenry.method import Aids, Side
from tokenry.ops.alias_graph import AliasCounts
from tokenry.ops.name_distance import grams, plain

WEIGHTS = Path(__file__).parent / "tiny_names"


def side(names):
    return Side(columns={"name": plain(names)}, keys=("name",), count=len(names))


def table(log):
    return Side(columns=log, keys=(), count=len(log["alias"]))


def typo(name, draw):
    at = draw.randrange(len(name))
    return name[:at] + name[at + 1 :] if len(name) > 3 else name


def world(least, total, seed=0):
    """A log of four fifths of the names of cities, and two tables of any of them, one mistyped."""
    base = load_aliases("cities", least=least)
    draw = Random(seed)
    seen = [
        replace(one, names=(one.title, *draw.sample(one.names[1:], len(one.names) * 4 // 5 - 1)))
        for one in base
    ]
    log = AliasBase("seen", tuple(seen)).log(total, wrong=0.02, seed=seed)
    pairs = []
    for one in base:
        for _ in range(2):
            a, b = draw.sample([n for n in one.names if plain([n])[0]], 2)
            pairs.append((typo(plain([a])[0], draw), plain([b])[0], one.id))
    left, right, own = zip(*pairs, strict=True)
    return log, side(left), side(right), np.array(own)


@pytest.fixture(scope="module")
def places():
    return world(8_000_000, 10_000)


def all_pairs(rule, left, right, **aids):
    matcher = rule.prepare(left, right, Aids(**aids))
    rows, columns = (part.ravel() for part in np.indices((left.count, right.count)))
    return matcher, matcher.score(rows, columns).reshape(left.count, right.count)


def embed(texts):
    """Counts of letters, as vectors of length one."""
    rows = [[text.count(one) + 0.1 for one in "abcdefghijklmnopqrstuvwxyz"] for text in texts]
    return np.array(rows) / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("metric", ["fuzzy", "learned"])
@pytest.mark.parametrize("network", ["markov", "bipartite"])
def test_the_score_is_one_minus_the_least_distance(metric, network):
    log = {"alias": ["abcde", "vwxyz", "klmno"], "id": [1, 1, 2], "count": [5, 4, 9]}
    left, right = side(["abcd", "klmnop"]), side(["wxyz", "abcde", "klmn"])
    rule = LinkOrgs(network=network, metric=metric, per_alias=1.0, rho=2.0)
    _, found = all_pairs(rule, left, right, tables={"aliases": table(log)}, embed=embed)
    raw = LinkOrgs(network="none", metric=metric)
    names, labels = rule.directory(Aids(tables={"aliases": table(log)}))
    assert labels[0] == labels[1] != labels[2]
    _, direct = all_pairs(raw, left, right, embed=embed)
    some, others = (1 - all_pairs(raw, part, side(names), embed=embed)[1] for part in (left, right))
    limit_x = np.quantile(some, 1 / np.sqrt(some.size))
    limit_y = np.quantile(others, 1 / np.sqrt(others.size))
    wanted = 1 - direct
    for i, j in np.ndindex(*wanted.shape):
        for a, b in np.ndindex(len(names), len(names)):
            if labels[a] == labels[b] and some[i, a] <= limit_x and others[j, b] <= limit_y:
                wanted[i, j] = min(wanted[i, j], 2 * max(some[i, a], others[j, b]))
    np.testing.assert_allclose(found, 1 - wanted, atol=1e-9)


def test_the_network_brings_nothing_farther_and_loses_no_match(places):
    log, left, right, _ = places
    with_log = {"tables": {"aliases": table(log)}}
    raw, direct = all_pairs(LinkOrgs(network="none"), left, right)
    both, combined = all_pairs(LinkOrgs(), left, right, **with_log)
    assert (combined >= direct).all()
    assert both.threshold == raw.threshold
    assert set(np.flatnonzero(direct >= raw.threshold)) < set(
        np.flatnonzero(combined >= both.threshold)
    )


def test_an_infinite_rho_is_matching_of_names_alone(places):
    log, left, right, _ = places
    known = {*plain(log["alias"])}
    # A name that is in the directory as it is has the distance 0 times anything.
    fresh = side([name for name in right.columns["name"] if name not in known])
    _, found = all_pairs(LinkOrgs(rho=1e12), left, fresh, tables={"aliases": table(log)})
    _, direct = all_pairs(LinkOrgs(network="none"), left, fresh)
    np.testing.assert_array_equal(found, direct)


@pytest.mark.parametrize("metric", ["fuzzy", "learned"])
def test_sides_may_be_swapped(metric):
    log, left, right, _ = world(15_000_000, 3000)
    aids = {"tables": {"aliases": table(log)}, "embed": embed}
    rule = LinkOrgs(metric=metric)
    one, found = all_pairs(rule, left, right, **aids)
    other, swapped = all_pairs(rule, right, left, **aids)
    np.testing.assert_allclose(found, swapped.T)
    assert one.threshold == pytest.approx(other.threshold)


def test_nearest_are_the_best_scores_and_empty_names_are_in_no_pair():
    left, right = side(["abcd", "?", None, "xyz"]), side(["xyz", "abce", ""])
    matcher, scores = all_pairs(LinkOrgs(network="none"), left, right)
    assert np.isnan(scores[1:3]).all()
    assert np.isnan(scores[:, 2]).all()
    found = matcher.nearest(9)
    assert found.left.tolist() == [0, 0, 3, 3]
    assert found.right.tolist() == [1, 0, 0, 1]
    np.testing.assert_array_equal(found.score, scores[found.left, found.right])
    assert found.score[[1, 3]].tolist() == [0, 0]
    assert matcher.threshold > 0
    same = LinkOrgs(network="none").prepare(left, left, Aids()).nearest(9)
    assert (same.left != same.right).all()


def test_rare_aliases_stay_out_of_the_directory_and_settings_rule():
    log = table({"alias": ["ibm", "big blue"], "id": [1, 1], "count": [50, 2]})
    aids = Aids(tables={"aliases": log})
    assert LinkOrgs(frequent=40).directory(aids)[0] == ["ibm"]
    left, right = side(["ibm"]), side(["big blue", "blue"])
    assert LinkOrgs(threshold=0.3).prepare(left, right, aids).threshold == 0.3
    alone = LinkOrgs(direct=False).prepare(left, right, aids)
    assert alone.score(np.array([0, 0]), np.array([0, 1])).tolist()[0] == 1
    assert alone.threshold <= 1


def test_an_empty_log_or_side_links_nothing_new():
    none = table({"alias": [], "id": []})
    matcher = LinkOrgs().prepare(side(["ab"]), side(["ab"]), Aids(tables={"aliases": none}))
    assert matcher.nearest(1).score.tolist() == [1]
    for left, right in ((side([]), side(["ab"])), (side(["ab"]), side([None]))):
        matcher = LinkOrgs().prepare(left, right, Aids(tables={"aliases": none}))
        assert len(matcher.nearest(2).left) == 0


def test_what_is_missing_is_named():
    with pytest.raises(UsageError, match="--table aliases=FILE"):
        LinkOrgs().prepare(side(["a"]), side(["b"]), Aids())
    bad = Side(columns={"name": []}, keys=(), count=0)
    with pytest.raises(UsageError, match="column 'alias'"):
        LinkOrgs().prepare(side(["a"]), side(["b"]), Aids(tables={"aliases": bad}))
    with pytest.raises(UsageError, match="encoder of names"):
        LinkOrgs(network="none", metric="learned").prepare(side(["a"]), side(["b"]), Aids())


def recall_at(precision, matcher, gold, among):
    """True pairs of some kind found at the lowest threshold with this precision."""
    found = matcher.nearest(gold.shape[1])
    order = np.argsort(-found.score, kind="stable")
    left, right, score = found.left[order], found.right[order], found.score[order]
    precise = np.cumsum(gold[left, right]) / np.arange(1, len(left) + 1)
    good = np.flatnonzero((precise >= precision) & np.r_[np.diff(score) != 0, True])
    count = good[-1] + 1 if len(good) else 0
    return int((gold & among)[left[:count], right[:count]].sum())


@pytest.mark.slow
@pytest.mark.parametrize("network", ["markov", "bipartite"])
def test_claim_names_that_share_no_trigram(network):
    log, left, right, own = world(5_000_000, 20_000)
    gold = own[:, None] == own[None]
    threes = [[grams(name, 3) for name in part.columns["name"]] for part in (left, right)]
    apart = np.array([[not a & b for b in threes[1]] for a in threes[0]])
    aids = Aids(tables={"aliases": table(log)})
    fuzzy = LinkOrgs(network="none").prepare(left, right, Aids())
    alone = LinkOrgs(network=network, direct=False).prepare(left, right, aids)
    combined = LinkOrgs(network=network).prepare(left, right, aids)
    assert (gold & apart).sum() == 193
    for precision in (0.9, 0.95):
        assert recall_at(precision, fuzzy, gold, apart) == 0
        for matcher in (alone, combined):
            assert recall_at(precision, matcher, gold, apart) > 70
            assert recall_at(precision, matcher, gold, gold) > 2 * recall_at(
                precision, fuzzy, gold, gold
            )


def test_the_canonical_ids_of_a_clean_log_are_its_ids(places):
    log, *_ = places
    kept = AliasCounts.of(log["alias"], log["id"], log["count"], least=5)
    labels = LinkOrgs().canonical(kept)
    best = kept.counts.toarray().argmax(1)
    agree = [len(set(labels[best == who])) for who in set(best)]
    assert np.mean(np.array(agree) == 1) > 0.9


@pytest.mark.slow
def test_claim_a_learned_metric_finds_names_never_typed(recipes):
    places = recipes("linkorgs_places")
    base, hidden = places.parted(500_000)
    figures = places.compare(places.restored(base), base, hidden)
    shipped = json.loads((WEIGHTS / "figures.json").read_text(encoding="utf-8"))
    assert figures["learned"] == pytest.approx(shipped["learned"], abs=0.01)
    assert figures["difference"][0] > 0
