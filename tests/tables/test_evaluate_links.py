"""`tokenry.evaluate_links`, against sets of pairs and loops over records."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenry
from tokenry.errors import DataError, UnknownNameError, UsageError

IDS = st.integers(0, 5)
SCORES = st.sampled_from([0.1, 0.5, 0.5, 0.9, None])
FOUND = st.lists(st.tuples(IDS, IDS, SCORES), max_size=10)
PAIRS = st.lists(st.tuples(IDS, IDS), max_size=8)


def table(rows, *names):
    columns = list(zip(*rows, strict=True)) if rows else [[]] * len(names)
    return dict(zip(names, map(list, columns), strict=True))


def shares(found, wanted):
    right = len(found & wanted)
    precision = right / len(found) if found else 1.0
    recall = right / len(wanted) if wanted else 1.0
    return precision, recall


def value(evaluation, measure="pairs"):
    return [one.value for one in evaluation.measures[measure].values()][:2]


def joined(pairs, records):
    parts = [{one} for one in records]
    for one, other in pairs:
        first, second = (next(p for p in parts if end in p) for end in (one, other))
        if first is not second:
            parts = [p for p in parts if p not in (first, second)] + [first | second]
    return {one: number for number, part in enumerate(parts) for one in part}


@settings(deadline=None, max_examples=40)
@given(FOUND, PAIRS)
def test_pairs_of_two_tables_are_sets_of_pairs(found, gold):
    scored = tokenry.evaluate_links(
        table(found, "left", "right", "score"), table(gold, "left", "right")
    )
    real = {(a, b) for a, b, score in found if score is not None}
    assert value(scored) == pytest.approx(shares(real, set(gold)))
    for part in scored.measures["pairs"].values():
        assert part.low <= part.value <= part.high
    best = {pair: max(s for a, b, s in found if (a, b) == pair and s) for pair in real}
    for at, threshold in enumerate(scored.curve.threshold):
        kept = {pair for pair, score in best.items() if score >= threshold}
        curve = scored.curve.precision[at], scored.curve.recall[at]
        assert curve == pytest.approx(shares(kept, set(gold)))
    assert scored.resampled == "left records"


@settings(deadline=None, max_examples=40)
@given(FOUND, st.dictionaries(IDS, st.sampled_from(["x", "y", None]), min_size=1))
def test_entities_count_labelled_records_only(found, entities):
    gold = table(list(entities.items()), "id", "entity")
    scored = tokenry.evaluate_links(table(found, "left", "right", "score"), gold)
    known = {one for one, entity in entities.items() if entity is not None}
    real = {tuple(sorted((a, b))) for a, b, score in found if a != b and score is not None}
    listed = {pair for pair in real if set(pair) <= known}
    wanted = {p for p in combinations(sorted(known), 2) if entities[p[0]] == entities[p[1]]}
    assert value(scored) == pytest.approx(shares(listed, wanted))
    every = {one for a, b, _ in found for one in (a, b)} | set(entities)
    label = joined([(a, b) for a, b, score in found if score is not None], every)
    inside = {p for p in combinations(sorted(known), 2) if label[p[0]] == label[p[1]]}
    assert value(scored, "cluster pairs") == pytest.approx(shares(inside, wanted))
    cubed = [_cubed(label, entities, one, known) for one in known]
    assert value(scored, "b-cubed") == pytest.approx(np.mean(cubed, 0) if cubed else (1.0, 1.0))
    assert scored.counts["labelled"] == len(known)


def _cubed(label, entities, record, known):
    own = {one for one in known if label[one] == label[record]}
    true = {one for one in known if entities[one] == entities[record]}
    return len(own & true) / len(own), len(own & true) / len(true)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 2), min_size=6, max_size=6), PAIRS)
def test_clusters_against_true_pairs_are_two_partitions(labels, pairs):
    clusters = {"id": list(range(6)), "cluster": labels}
    scored = tokenry.evaluate_links(clusters, table(pairs, "left", "right"))
    entity = joined(pairs, range(6))
    inside, wanted = (
        {p for p in combinations(range(6), 2) if of[p[0]] == of[p[1]]} for of in (labels, entity)
    )
    assert value(scored, "cluster pairs") == pytest.approx(shares(inside, wanted))


JUDGED = {"left": [1, 2, 3, 4], "right": [5, 6, 7, 8], "match": [1, 1, 0, 0]}


@pytest.mark.parametrize("kind", [int, bool, str, float])
def test_of_judged_pairs_only_those_count(kind):
    match = [kind(one) for one in JUDGED["match"]]
    found = {"left": [1, 3, 9], "right": [5, 7, 9], "score": [0.9, 0.8, 0.7]}
    scored = tokenry.evaluate_links(found, {**JUDGED, "match": match})
    assert value(scored) == [0.5, 0.5]
    assert scored.counts == {"found": 2, "right": 1, "wanted": 2, "judged": 4, "unknown": 4}
    assert scored.best == (0.9, pytest.approx(2 / 3))


def test_judged_pairs_judge_clusters_too():
    clusters = {"id": range(1, 9), "cluster": [0, 1, 2, 3, 0, 4, 2, 5]}
    scored = tokenry.evaluate_links({k: list(v) for k, v in clusters.items()}, JUDGED)
    assert value(scored) == [0.5, 0.5]
    assert scored.curve is None
    assert scored.best is None


def test_figures_come_by_source_of_pairs_and_of_records():
    found = {"left": [1, 2, 3], "right": [1, 2, 9], "rule": ["a", "b", "b"]}
    gold = {"left": [1, 2, 3, 4], "right": [1, 2, 3, 4]}
    scored = tokenry.evaluate_links(found, gold, source="rule")
    assert [scored.sources["a"][n].value for n in ("precision", "recall")] == [1, 0.25]
    assert [scored.sources["b"][n].value for n in ("precision", "recall")] == [0.5, 0.25]
    clusters = {"id": [1, 2, 3, 4], "cluster": [0, 0, 0, 1], "from": ["a", "a", "b", None]}
    entities = {"id": [1, 2, 3, 4], "entity": [7, 7, 8, 8]}
    scored = tokenry.evaluate_links(clusters, entities, source="from")
    assert scored.sources["a"]["precision"].value == pytest.approx(2 / 3)
    assert scored.sources["b"]["recall"].value == 0.5
    assert set(scored.sources) == {"a", "b"}


def test_blocking_is_what_is_kept_and_spared():
    found = {"left": [1], "right": [2]}
    gold = {"left": [1, 3], "right": [2, 4]}
    candidates = {"left": [1, 2, 1], "right": [2, 1, 4]}
    two = tokenry.evaluate_links(found, gold, candidates=candidates, sizes=(4, 5))
    assert two.blocking == {"recall": 0.5, "reduction": pytest.approx(1 - 3 / 20)}
    one = tokenry.evaluate_links(found, gold, candidates=candidates, sizes=(4,), one_table=True)
    assert one.blocking == {"recall": 0.5, "reduction": pytest.approx(1 - 2 / 6)}
    with pytest.raises(UsageError, match=r"sizes=\(4,\) must be 2 numbers of records"):
        tokenry.evaluate_links(found, gold, candidates=candidates, sizes=(4,))
    with pytest.raises(UsageError, match=r"sizes=\(4, 5\) goes with candidates"):
        tokenry.evaluate_links(found, gold, sizes=(4, 5))


def test_a_gold_id_in_no_cluster_is_alone_with_a_warning():
    clusters = {"id": [1, 2], "cluster": [0, 0]}
    gold = {"id": [1, 2, 3, 4], "entity": ["a", "a", "b", "b"]}
    with pytest.warns(UserWarning, match="2 ids of gold are not in the found table, such as 3, 4"):
        scored = tokenry.evaluate_links(clusters, gold)
    assert scored.counts["unknown"] == 2
    assert value(scored, "cluster pairs") == [1, 0.5]


def test_more_entities_make_narrower_intervals():
    def width(entities):
        rng = np.random.default_rng(0)
        entity = np.repeat(np.arange(entities), 3)
        cluster = np.where(rng.random(len(entity)) < 0.2, -1 - np.arange(len(entity)), entity)
        clusters = {"id": np.arange(len(entity)), "cluster": cluster}
        gold = pd.DataFrame({"id": np.arange(len(entity)), "entity": entity})
        found = tokenry.evaluate_links(clusters, gold).measures["b-cubed"]["recall"]
        return found.high - found.low

    assert width(4000) < 0.2 * width(40)


def test_what_tokenry_gave_is_taken(tmp_path):
    pairs = {"left": [1, 2], "right": [2, 3], "score": [0.9, 0.2]}
    gold = {"id": [1, 2, 3], "entity": [1, 1, 2]}
    scored = tokenry.evaluate_links(tokenry.cluster(pairs, [1, 2, 3], threshold=0.5), gold)
    assert scored.measures["rand"]["adjusted"].value == 1
    both = tokenry.cluster(pairs, [1, 2, 3], threshold=[0.5, 0.1])
    with pytest.raises(UsageError, match=r"at 2 thresholds; .*one of cluster_0.5, cluster_0.1"):
        tokenry.evaluate_links(both, gold)
    scored = tokenry.evaluate_links(both.table, gold, cluster="cluster_0.1")
    assert "b-cubed: precision 0.5556" in str(scored)
    assert scored.to_dict()["measures"]["rand"]["adjusted"][0] == 0
    assert scored.to_dict()["curve"] is None


def test_duplicates_are_known_by_their_own_ids_or_by_row():
    table = {"name": ["Ada L.", "Alan T.", "ada l"]}
    for own, gold in (({"id": ["x", "y", "z"]}, ["z", "x", "y"]), ({}, [2, 0, 1])):
        found = tokenry.dedupe({**own, **table}, on="name", method="exact")
        scored = tokenry.evaluate_links(found, {"id": gold, "entity": [1, 1, 2]})
        assert value(scored, "b-cubed") == [1, 1]


@pytest.mark.parametrize(
    ("found", "gold", "settings", "kind", "message"),
    [
        (
            {"left": [1], "right": [2]},
            {"left": [1, 1], "right": [2, 2], "match": [1, 0]},
            {},
            DataError,
            "judges 1 pairs both ways, such as 1, 2",
        ),
        (
            {"left": [1], "right": [2]},
            {"left": [1], "right": [2], "match": ["maybe"]},
            {},
            DataError,
            "holds 'maybe'; it is 1 or 0",
        ),
        (
            {"left": [1], "right": [2]},
            {"id": [1, 1], "entity": ["a", "b"]},
            {},
            DataError,
            "1 records with more than one entity, such as 1",
        ),
        (
            {"id": [1, 1], "cluster": [0, 1]},
            {"id": [1], "entity": ["a"]},
            {},
            DataError,
            "more than one cluster",
        ),
        (
            {"a": [1]},
            {"id": [1], "entity": [1]},
            {},
            UsageError,
            "neither 'left' and 'right', nor 'id_left'",
        ),
        (
            {"left": [1], "right": [2]},
            {"id": [1], "entity": ["a"]},
            {"one_table": False},
            UsageError,
            "one_table=False is for pairs",
        ),
        (
            {"left": ["1"], "right": ["2"]},
            {"left": [1], "right": [2]},
            {},
            UsageError,
            "ids must be of one kind",
        ),
        (
            {"left": [1], "right": [2]},
            {"left": [1], "right": [2]},
            {"left": ("a", "b", "c")},
            UsageError,
            "is neither one name nor two",
        ),
        (
            {"left": [1], "right": [2]},
            {"left": [1], "right": [2]},
            {"source": "rule"},
            UnknownNameError,
            "column 'rule' is unknown",
        ),
    ],
)
def test_bad_input_is_refused(found, gold, settings, kind, message):
    with pytest.raises(kind, match=message):
        tokenry.evaluate_links(found, gold, **settings)


def test_a_merged_table_is_read_as_the_links_that_it_holds(tmp_path):
    left = {"id": ["a", "b", "c"], "name": ["ada", "alan", "grace"]}
    right = {"id": ["x", "y", "z"], "name": ["ada", "grace", "alonzo"]}
    links = tokenry.link(left, right, on="name", method="exact")
    gold = {"ours": ["a", "b"], "theirs": ["x", "z"]}
    links.write(tmp_path / "merged.csv", "outer")
    links.write_pairs(tmp_path / "pairs.csv", "id")
    merged = tokenry.evaluate_links(
        tmp_path / "merged.csv", gold, left=("id_left", "ours"), right=("id_right", "theirs")
    )
    found = {"left": gold["ours"], "right": gold["theirs"]}
    known = tokenry.evaluate_links(tmp_path / "merged.csv", found)
    pairs = tokenry.evaluate_links(tmp_path / "pairs.csv", found)
    assert value(merged) == value(known) == value(pairs) == [0.5, 0.5]
    clusters = {"person": ["a", "b"], "cluster": [0, 0]}
    gold = {"record": ["a", "b"], "entity": [1, 1]}
    assert value(tokenry.evaluate_links(clusters, gold, id=("person", "record")), "b-cubed") == [
        1,
        1,
    ]


def test_labelled_pairs_are_judged_pairs():
    found = {"left": [1, 2], "right": [1, 3]}
    labelled = {"left": [1, 2], "right": [1, 3], "label": ["yes", 0]}
    judged = {"left": [1, 2], "right": [1, 3], "match": [1, 0]}
    assert value(tokenry.evaluate_links(found, labelled)) == [0.5, 1]
    assert value(tokenry.evaluate_links(found, judged)) == [0.5, 1]
    named = {**labelled, "label": ["a city", "a river"]}  # no judgements: both are true pairs
    assert value(tokenry.evaluate_links(found, named)) == [1, 1]
