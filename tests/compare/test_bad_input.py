"""What cannot be compared is refused or skipped, in words that say what to do."""

from __future__ import annotations

import copy

import pytest
import torch

from tokenry import zoo
from tokenry.compare.run import compare
from tokenry.compare.tasks import Agreement, Scores
from tokenry.errors import (
    AttachError,
    StoreError,
    TokenryError,
    UnknownNameError,
    UnsupportedModelError,
    UsageError,
)
from tokenry.plugs.attach import attach
from tokenry.vision.random import Random
from tokenry.vision.tome import ToMe
from tokenry.zoo import Loaded


def test_keeps_that_cannot_be_reached_are_named(run):
    results = run(methods=["tome", "random"], keep=(0.5, 0.25))
    (skipped,) = results.skipped
    assert (skipped.method, skipped.keep) == ("tome", 0.25)
    assert "keep=0.25 cannot be reached with 65 tokens" in skipped.reason
    assert results.complete
    assert {(r.method, r.keep) for r in results.rows()} == {
        ("none", 1.0),
        ("tome", 0.5),
        ("random", 0.5),
        ("random", 0.25),
    }


def test_a_fixed_schedule_runs_at_keep_one_only(run):
    results = run(methods=[ToMe(schedule=(8, 8, 8, 8))], keep=(1, 0.5))
    assert results.methods == ("tome(schedule=(8, 8, 8, 8))",)
    (skipped,) = results.skipped
    assert "both say how many tokens go" in skipped.reason
    (row, *_) = [r for r in results.rows() if r.method != "none"]
    assert row.tokens < 0.8


def test_instances_are_told_apart_by_their_settings(run):
    results = run(methods=["random", Random(seed=1), ["random(seed=2)"]])
    assert results.methods == ("random", "random(seed=1)", "random(seed=2)")
    assert "'random', keep=0.5, seed=2" in results.code("random(seed=2)", 0.5)
    means = {s.score.value for s in results.summary() if s.method != "none"}
    assert len(means) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": 0}, r"keep=0 is outside \(0, 1\]"),
        ({"keep": 1.5}, r"keep=1.5 is outside"),
        ({"keep": float("nan")}, r"keep=nan is outside"),
        ({"keep": True}, r"keep=True is outside"),
        ({"keep": "0.5"}, r"keep='0.5' is outside"),
        ({"keep": []}, "keep is empty"),
        ({"batch_size": 0}, "batch_size=0 is not a whole number"),
        ({"repeats": 1.5}, "repeats=1.5 is not a whole number"),
        ({"limit": 0}, "limit=0 is not a whole number"),
        ({"budget_seconds": 0}, "budget_seconds=0 is not above 0"),
        ({"budget_seconds": float("nan")}, "budget_seconds=nan is not above 0"),
        ({"image_size": 30}, "image_size=30 is not a multiple of the patch size 4 .* 28 and 32"),
        ({"image_size": 0}, "image_size=0 is not a multiple"),
        ({"methods": []}, "methods is empty"),
        ({"methods": ["tome", "tome"]}, "'tome' is given twice"),
        ({"methods": ["tome", "tome(schedule=constant)"]}, "'tome' is given twice"),
        ({"methods": ["tome(keep=.5)"]}, r"'tome\(keep=.5\)' sets keep, .* leave it out"),
        ({"methods": ["none"]}, "always runs; leave it out"),
        ({"methods": [ToMe]}, "ToMe is a class; give 'tome' or an instance"),
        ({"methods": [3]}, "int is no reducer of image tokens, cache policy, drafter"),
        ({"methods": [["tome", "random"]]}, "stack of tome and random cannot be combined"),
        ({"methods": [[]]}, "stack of nothing cannot be combined"),
        ({"task": []}, "task is empty"),
        ({"task": 3}, "task=3 is not a task"),
        ({"task": ["agreement", Agreement()]}, "a task is given twice"),
        ({"model": 3}, "model is a int; give a name"),
        ({"model": torch.nn.Linear(2, 2)}, "Linear has no known image processor"),
    ],
)
def test_bad_arguments(run, settings, message):
    with pytest.raises(UsageError, match=message):
        run(**settings)


def test_unknown_names(run):
    with pytest.raises(UnknownNameError, match="method 'tomme' is unknown; nearest: tome"):
        run(methods=["tomme"])
    with pytest.raises(UnknownNameError, match="task 'agrement' is unknown; nearest: agreement"):
        run(task="agrement")
    with pytest.raises(UnknownNameError, match="data 'emojis' is unknown"):
        run(pictures="emojis")


@pytest.mark.parametrize(
    ("name", "methods", "data"),
    [
        ("zoo:minilm-l6", "maxsim", "absent"),
        ("zoo:minilm-l6", "exact", "absent"),
        ("zoo:smollm2-135m", "snapkv", "absent"),
        ("zoo:smollm2-135m", "prompt-lookup", "absent"),
        ("zoo:dinov2-small-saliency", "tome", "absent"),
        ("zoo:dinov2-small-saliency", "snapkv", "emoji"),
        ("zoo:dinov2-smal", "tome", "emoji"),
    ],
)
def test_what_fails_fast_fails_before_a_model_is_read_and_leaves_nothing(
    tmp_path, monkeypatch, name, methods, data
):
    monkeypatch.setattr(zoo, "load", lambda _: pytest.fail("a model was loaded"))
    with pytest.raises(TokenryError, match=data if data == "absent" else name):
        compare(name, methods, data, folder=tmp_path / "new" / "results")
    assert not [*tmp_path.iterdir()]


def test_what_was_measured_stays_where_a_later_call_fails(run, tmp_path):
    run(folder=tmp_path / "results")
    with pytest.raises(UsageError):
        run(folder=tmp_path / "results", methods=["snapkv"])
    assert run(folder=tmp_path / "results").complete


def test_a_model_without_encoder(run, loaded):
    with pytest.raises(UnsupportedModelError, match="Linear"):
        run(Loaded(torch.nn.Linear(2, 2), loaded.processor))


def test_a_model_that_carries_a_method(run, loaded):
    with attach(loaded.model, "tome", keep=0.5):
        with pytest.raises(AttachError, match="already carries"):
            run()
        assert loaded.model.training is False


def test_nan_weights(run, loaded):
    model = copy.deepcopy(loaded.model)
    with torch.no_grad():
        model.layernorm.weight[0] = float("nan")
    with pytest.raises(UsageError, match=r"the untouched model gives NaN .*example '\d+'"):
        run(Loaded(model, loaded.processor))


def test_a_method_that_gives_nan_is_named(run, monkeypatch):
    reduce = Random.reduce

    def poison(self, x, view):
        x.fill_(float("nan"))
        return reduce(self, x, view)

    monkeypatch.setattr(Random, "reduce", poison)
    with pytest.raises(UsageError, match=r"Random\(keep=0.5\) gives NaN .* example '\d+'"):
        run()


class Empty(Agreement):
    slug = "empty"

    def score(self, seen, untouched, examples):
        return Scores([float("nan")] * len(examples))


def test_a_score_that_is_nan_is_named(run):
    with pytest.raises(UsageError, match="gives NaN or infinite outputs for example"):
        run(task=Empty())


class Sums(Agreement):
    slug = "sums"

    def run(self, model, batch):
        return super().run(model, batch * 2)


def test_tasks_that_cannot_share_a_pass(run):
    with pytest.raises(UsageError, match="agreement and sums give the model different things"):
        run(task=["agreement", Sums()])


def test_out_in_the_way(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="another folder"):
        run(folder=tmp_path / "file")
