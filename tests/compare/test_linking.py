"""Comparing linkers: thresholds, F1 and B-cubed against counting by hand, and what it costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tokenry import catalog
from tokenry.compare.code import Source, _linking
from tokenry.compare.kinds import kind_of
from tokenry.compare.linked import CUT, LEARN, searched
from tokenry.compare.linkers import Meter, cosine, link
from tokenry.compare.results import Results
from tokenry.compare.rivals import rivals
from tokenry.compare.run import compare
from tokenry.compare.tasks import Linking
from tokenry.errors import DataError, UnknownNameError, UsageError
from tokenry.method import Aids, Side


@pytest.fixture(scope="module")
def encoder(text_encoder, linkers):
    return text_encoder(linkers.WORDS)


@pytest.fixture(scope="module")
def run(encoder, linkers):
    def run(data=None, methods=None, **settings):
        chosen = methods or [linkers.Overlap(), linkers.Learned(threshold=0.9)]
        return compare(encoder, chosen, data or linkers.records(), progress=False, **settings)

    return run


@pytest.fixture(scope="module")
def results(run):
    return run()


@pytest.fixture(scope="module")
def pairs(run, linkers):
    return run(linkers.labelled())


def test_linkers_make_a_text_encoder_one_for_linking(encoder, linkers):
    assert kind_of(encoder.model, [linkers.Overlap()]) == "linker"
    assert kind_of(encoder.model) == "text-encoder"


def test_examples_are_parted_and_stay_where_they_are(linkers):
    data = linkers.records()
    (left, right), links = linkers.tables()
    first = {name: values[:24] for name, values in left.items()}
    some = [(a, b) for a, b in links if a < 24]
    fewer = searched((first, right), linkers.ON, some, **linkers.ABOUT)
    assert len(data) + len(data.fit) == 48
    assert data.part(LEARN)
    assert data.part(CUT)
    assert {one.id for one in fewer.examples} <= {one.id for one in data.examples}
    assert {(p, one.id) for p, one in fewer.fit} <= {(p, one.id) for p, one in data.fit}
    assert data.one_to_one
    assert len(data.gold) == 36
    assert data.hash != fewer.hash


def test_f1_is_that_of_all_links_together(results, linkers):
    data = linkers.records()
    table = {m: [r for r in results.rows() if r.method == m] for m in ("none", "overlap")}
    summaries = {s.method: s for s in results.summary()}
    for method, rows in table.items():
        assert {r.example for r in rows} == {one.id for one in data.examples}
        hits, found, wanted = (sum(r.scores[n] for r in rows) for n in ("hits", "found", "wanted"))
        summary = summaries[method]
        assert summary.score.value == pytest.approx(2 * hits / (found + wanted))
        assert summary.figures["precision"] == pytest.approx(hits / found)
        assert summary.figures["recall"] == pytest.approx(hits / wanted)
        span = summary.spans["recall"]
        assert span.low <= span.value <= span.high
        assert summary.score.low < summary.score.value
    assert summaries["overlap"].score.value > 0.8
    apart = summaries["overlap"].difference
    assert apart.value == pytest.approx(
        summaries["overlap"].score.value - summaries["none"].score.value
    )


def test_counts_are_those_of_brute_force(results, linkers):
    (left, right), links = linkers.tables()
    data = linkers.records()
    threshold = next(r.scores["threshold"] for r in results.rows() if r.method == "overlap")
    matcher = linkers.Overlap().prepare(data.left, data.right, None)
    rows, columns = (x.ravel() for x in np.meshgrid(range(48), range(36), indexing="ij"))
    table = np.nan_to_num(matcher.score(rows, columns)).reshape(48, 36)
    true = dict(links)
    for row in results.rows():
        if row.method != "overlap":
            continue
        place = next(one.left for one in data.examples if one.id == row.example)
        assert row.scores["wanted"] == (place in true)
        assert row.scores["found"] <= 1
        if row.scores["found"]:
            assert table[place].max() >= threshold
            assert row.scores["link"] >= threshold
        if row.scores["hits"]:
            assert row.scores["link"] == pytest.approx(table[place, true[place]])
    assert len(left["name"]) == 48
    assert len(right["title"]) == 36


def test_b_cubed_is_that_of_the_records(results):
    for row in results.rows():
        hits, found, wanted = (row.scores[n] for n in ("hits", "found", "wanted"))
        # One to one: a cluster is the record and its partner.
        if not (found and not hits):
            assert row.scores["b3_precision"] == pytest.approx((1 + hits) / (1 + found))
        assert row.scores["b3_recall"] >= (1 + hits) / (1 + wanted) - 1e-9
    for summary in results.summary():
        figures = summary.figures
        p, r = figures["b3_precision"], figures["b3_recall"]
        assert figures["b3_f1"] == pytest.approx(2 * p * r / (p + r))
        assert summary.spans["b3_f1"].low <= figures["b3_f1"] <= summary.spans["b3_f1"].high


def test_thresholds_come_from_their_own_part_alone(encoder, linkers):
    data = linkers.records()
    meter = Meter(lambda texts: np.zeros((len(texts), 2), np.float32))
    linked = link(data, linkers.Overlap(), meter, None, 5, "one_to_one")
    cut = {one.left: set(one.wanted) for one in data.part(CUT)}
    pairs = list(zip(linked.left.tolist(), linked.right.tolist(), linked.score, strict=True))

    def f1(threshold):
        kept = [(a, b) for a, b, s in pairs if a in cut and s >= threshold]
        hits = sum(b in cut[a] for a, b in kept)
        return 2 * hits / (len(kept) + sum(map(len, cut.values())))

    assert f1(linked.threshold) == pytest.approx(max(f1(s) for *_, s in pairs))


def test_labelled_pairs_are_scored_on_the_part_for_it(pairs, linkers):
    data = linkers.labelled()
    assert data.paired
    assert pairs.examples == len(data) == len({r.example for r in pairs.rows()})
    assert [f.name for f in pairs.tasks[0].figures][:3] == ["precision", "recall", "own_f1"]
    for row in pairs.rows():
        right = row.scores["hits"] == row.scores["found"] == row.scores["wanted"]
        assert row.score == right
    unparted = linkers.labelled(parts=("",))
    assert {part for part, _ in unparted.fit} == {LEARN, CUT}


def test_own_thresholds_stand_beside_the_chosen_one(results):
    found = {s.method: s.figures["own_f1"] for s in results.summary()}
    assert np.isnan(found["none"])
    assert 0 < found["overlap"] <= 1


def test_a_text_is_encoded_once_and_paid_for_each_time():
    seen = []

    def encode(texts):
        seen.extend(texts)
        return np.ones((len(texts), 2), np.float32)

    meter = Meter(encode)
    meter(["a", "b", "a"])
    first = meter.charged
    assert meter.spent == pytest.approx(first)
    meter.reset()
    assert meter(["b", "a"]).shape == (2, 2)
    assert meter.spent == 0
    assert meter.charged == pytest.approx(first)
    assert seen == ["a", "b"]


def test_seconds_add_up_to_the_whole_tables(results):
    for summary in results.summary():
        rows = [r for r in results.rows() if r.method == summary.method]
        costs = summary.figures
        whole = costs["encoding_seconds"] + costs["matching_seconds"]
        assert sum(r.seconds for r in rows) == pytest.approx(whole, rel=0.2)
        assert len({r.batch for r in rows}) == 4
    assert next(s for s in results.summary() if s.method == "none").figures["encoding_seconds"] > 0


def test_an_empty_record_is_in_no_pair(linkers):
    (left, right), links = linkers.tables()
    left = {**left, "name": [None, *left["name"][1:]], "city": ["", *left["city"][1:]]}
    data = searched((left, right), linkers.ON, links, **linkers.ABOUT)
    meter = Meter(lambda texts: np.ones((len(texts), 2), np.float32) / np.sqrt(2))
    matcher = cosine(data.left, data.right, meter)
    assert 0 not in matcher.nearest(3).left
    assert np.isnan(matcher.score(np.array([0]), np.array([0]))).all()
    empty = searched(({"a": [None, ""]}, {"a": [None]}), [("a", "a")], [], **linkers.ABOUT)
    assert len(cosine(empty.left, empty.right, meter).nearest(3).left) == 0


def test_the_code_of_the_encoder_alone_scores_as_it_did():
    """With spaces between its columns linktransformer reads what the encoder alone reads."""
    letters = [chr(code) for code in range(32, 123)]

    def embed(texts):
        counts = np.array([[text.count(one) for one in letters] for text in texts], float)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    rows = {"name": ["ada l", "alan t"], "city": ["london", "wilmslow"]}
    side = Side(columns=rows, keys=("name", "city"), count=2)
    everything = np.repeat([0, 1], 2), np.tile([0, 1], 2)
    named = catalog.make("linktransformer(separator=' ')")
    found = named.prepare(side, side, Aids(embed=embed)).score(*everything)
    assert found == pytest.approx(cosine(side, side, embed).score(*everything))
    assert "linktransformer(separator=' ')" in _linking(Source("zoo:minilm-l6", "", {}), None)


def test_a_second_run_links_nothing(run, linkers, tmp_path, monkeypatch):
    one = [linkers.Overlap()]
    first = run(methods=one, folder=tmp_path)
    monkeypatch.setattr(Linking, "run", None)
    again = run(methods=one, folder=tmp_path)
    assert [r.score for r in again.rows()] == [r.score for r in first.rows()]
    assert Results.open(tmp_path).tasks[0].weight == "weight"


def test_what_cannot_be_linked_is_refused_with_the_reason(run, linkers):
    found = run(methods=[linkers.Overlap(), linkers.Learned()], task=Linking(learn=False), limit=20)
    assert [s.method for s in found.skipped] == ["learned"]
    assert "needs known pairs" in found.skipped[0].reason
    assert {r.method for r in found.rows()} == {"none", "overlap"}


def test_pictures_hold_the_choice_and_the_truth(results, linkers):
    import json

    data = linkers.records()
    for picture in results.pictures(worst=40, untouched=True):
        held = json.loads(picture.groups.astype(np.uint8).tobytes())
        shown = json.loads(picture.thumbnail)
        one = next(e for e in data.examples if e.id == picture.example)
        assert shown["wanted"] == list(one.wanted)
        assert {p["row"] for p in held["pairs"]} >= set(one.wanted)
        for pair in held["pairs"]:
            assert ("record" in pair) == (str(pair["row"]) not in shown["right"])
            if pair["parts"]:
                assert sum(pair["parts"].values()) == pytest.approx(pair["score"])


def test_curves_hold_the_chosen_threshold(results, pairs):
    for found in (results, pairs):
        curves = {one.method: one for one in found.curves()}
        assert set(curves) == {s.method for s in found.summary()}
        for summary in found.summary():
            curve = curves[summary.method]
            assert list(curve.thresholds) == sorted(curve.thresholds)
            above = [i for i, t in enumerate(curve.thresholds) if t >= curve.chosen]
            assert max(curve.f1) >= summary.score.value - 1e-9
            if above and len(curve.thresholds) < 60:
                assert curve.f1[above[0]] == pytest.approx(summary.score.value)


def test_rivals_are_those_that_are_not_shown_to_be_worse(results):
    info, rows = results.tasks[0], results.rows()
    best, even = rivals(rows, info, 0)
    scores = {s.method: s.score.value for s in results.summary()}
    assert scores[best] == max(scores.values())
    assert {m for m, value in scores.items() if value == scores[best]} - {best} <= set(even)
    worse = [replace(r, score=0.0) if r.method != best else r for r in rows]
    assert rivals(worse, info, 0) == (best, [])


def test_wrong_use(run, linkers, encoder):
    with pytest.raises(UsageError, match="is a text encoder for linking"):
        run(methods=[linkers.Overlap(), "bm25"])
    with pytest.raises(UnknownNameError, match="assignment 'many' is unknown"):
        Linking(assign="many")
    with pytest.raises(UsageError, match="candidates=0"):
        Linking(candidates=0)
    both, _ = linkers.tables()
    with pytest.raises(DataError, match="link 0, 99 names a row that is not there"):
        searched(both, linkers.ON, [(0, 99)], **linkers.ABOUT)
