"""The zoo's real encoder on real drawings: all tasks that fit it, from the same passes."""

from __future__ import annotations

import pytest

from tokenry.compare.run import compare
from tokenry.compare.tasks import Probe
from tokenry.zoo import find

pytestmark = pytest.mark.slow

MODEL = "zoo:dinov2-small-saliency"
needs_model = pytest.mark.skipif(not find(MODEL).installed, reason=find(MODEL).install)


@pytest.fixture(scope="module")
def results():
    return compare(
        MODEL,
        ["tome", "random"],
        "emoji",
        keep=(1, 0.6),
        task=["agreement", "retrieval", Probe("group"), "dense"],
        limit=96,
        image_size=112,
        progress=False,
    )


@pytest.fixture(scope="module")
def means(results):
    return {(s.task, s.method, s.keep): s.score.value for s in results.summary()}


@needs_model
def test_the_untouched_model_is_far_above_chance(means):
    assert means["retrieval", "none", 1.0] > 0.2  # chance: 1 of 48
    assert means["probe", "none", 1.0] > 0.35  # the largest group is a fifth
    assert means["dense", "none", 1.0] == 1
    assert means["agreement", "none", 1.0] == pytest.approx(1)


@needs_model
def test_keep_one_changes_nothing(results):
    assert {s.verdict for s in results.summary() if s.keep == 1} == {"identical"}


@needs_model
@pytest.mark.parametrize("task", ["agreement", "dense"])
def test_merging_keeps_more_than_dropping(means, task):
    assert means[task, "random", 0.6] + 0.05 < means[task, "tome", 0.6] < 1


@needs_model
def test_fewer_tokens_are_fewer_operations(results):
    flops = {(p.method, p.keep): p.flops for p in results.profiles()}
    assert flops["none", 1.0] == pytest.approx(2.87e9, rel=0.01)
    assert flops["tome", 1.0] == flops["none", 1.0]
    assert 0.5 < flops["tome", 0.6] / flops["none", 1.0] < 0.65


def _examples(pictures):
    return list(dict.fromkeys(p.example for p in pictures))


@needs_model
def test_the_pictures_are_there(results):
    pictures = results.pictures(worst=2, task="dense")
    # Both methods side by side for each of the two examples that lose most.
    assert sorted(p.method for p in pictures[:2]) == ["random", "tome"]
    assert [p.example for p in pictures] == [e for e in _examples(pictures) for _ in range(2)]
    assert {p.grid for p in pictures} == {(8, 8)}
    dropped = {p.method: (p.groups == -1).sum() for p in pictures[:2]}
    assert dropped["random"] > 10
    assert dropped["tome"] == 0
