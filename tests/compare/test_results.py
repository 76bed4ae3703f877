"""What can be asked of results: the best, the code, frames, pictures; from a folder alone too."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import astuple, replace

import numpy as np
import pytest

from tokenry.compare.code import Source
from tokenry.compare.records import Interval, MethodInfo, Profile, Row, TaskInfo
from tokenry.compare.results import Results
from tokenry.compare.store import FILE
from tokenry.errors import MissingExtraError, StoreError, UnknownNameError, UsageError
from tokenry.vision.random import Random

COSINE = TaskInfo("agreement", "Agreement", "cosine", False, True, "How near.")
TOME = MethodInfo("tome", "ToMe", "tokenry.vision.tome", "", True, {"slug": "tome"})
MINE = MethodInfo("mine(a=1)", "Mine", "pkg.mine", "a=1", False, {"slug": "mine"})
ZOO = Source("zoo:dinov2-small-saliency", "Dinov2Model", {})


def rows(method, keep, losses, seconds, task="agreement", batch=4):
    """Rows of one configuration: what each example loses, and seconds of each batch."""
    return [
        Row(task, method, keep, str(i), 1 - loss, {}, seconds[i // batch], 10, keep, i // batch)
        for i, loss in enumerate(losses)
    ]


def results(found, tasks=(COSINE,), infos=(TOME,), **fields):
    """Results made of rows."""
    defaults = {
        "model": "m",
        "data": "d",
        "tasks": tasks,
        "infos": infos,
        "keeps": (0.5,),
        "labels": {row.example: f"label {row.example}" for row in found},
        "skipped": (),
        "environment": {},
        "complete": True,
        "seed": 0,
        "source": ZOO,
        "_rows": found,
        "_profiles": [],
        "_pictures": lambda *_: None,
    }
    return Results(**{**defaults, **fields})


NOISE = np.random.default_rng(0).standard_normal(40) * 0.001
PLAIN = rows("none", 1.0, [0.0] * 40, [1.0, 1.1, 0.9, 1.0, 1.05] * 2)
SAFE = rows("tome", 0.5, 0.005 + NOISE, [0.5, 0.56, 0.44, 0.5, 0.52] * 2)
RISKY = rows("tome", 0.25, 0.05 + NOISE, [0.25, 0.26, 0.24, 0.25, 0.25] * 2)
SLOW = rows("tome", 0.75, 0.001 + NOISE, [1.5, 1.6, 1.4, 1.5, 1.6] * 2)


def test_best_is_the_fastest_that_is_shown_to_lose_little():
    found = results(PLAIN + SLOW + SAFE + RISKY)
    best = found.best(max_loss=0.01)
    assert (best.method, best.keep) == ("tome", 0.5)
    assert best.summary in found.summary()
    assert "the loss in cosine is at most 0.005" in best.confidence
    assert "2.0" in best.confidence
    assert 'attach(model, "tome", keep=0.5)' in best.code.replace("'", '"')
    assert found.best(max_loss=0.1).keep == 0.25


def test_keep_one_is_never_the_answer():
    lucky = rows("tome", 1.0, [0.0] * 40, [0.8, 0.88, 0.72, 0.8, 0.84] * 2)
    found = results(PLAIN + lucky)
    assert [s.faster for s in found.summary() if s.method == "tome"] == ["faster"]
    assert found.best(max_loss=0.01).method == "none"
    drafting = replace(COSINE, dial=False)
    assert results(PLAIN + lucky, (drafting,)).best(max_loss=0.01).method == "tome"


def test_a_mean_loss_below_the_limit_is_not_enough():
    noisy = rows("tome", 0.5, 0.005 + 100 * NOISE, [0.5] * 10)
    best = results(PLAIN + noisy).best(max_loss=0.01)
    assert (best.method, best.keep) == ("none", 1.0)
    assert "no method is shown to lose at most 0.01 in cosine" in best.confidence
    assert "attach" not in best.code


def test_the_untouched_model_is_best_when_nothing_is_faster():
    best = results(PLAIN + SLOW).best(max_loss=0.01)
    assert best.method == "none"
    said = "one configuration loses at most 0.01 in cosine, but is not shown to be faster"
    assert said in best.confidence


def test_best_where_lower_is_better():
    lower = replace(COSINE, higher_is_better=False)
    worse = rows("tome", 0.5, [-0.05 + n for n in NOISE], [0.5] * 10)
    better = rows("tome", 0.5, [0.05 + n for n in NOISE], [0.5] * 10)
    assert results(PLAIN + worse, (lower,)).best(0.01).method == "none"
    assert results(PLAIN + better, (lower,)).best(0.01).method == "tome"
    (_, summary) = results(PLAIN + better, (lower,)).summary()
    assert summary.verdict == "better"


@pytest.mark.parametrize("bad", [-0.1, float("nan")])
def test_a_loss_is_not_negative(bad):
    with pytest.raises(UsageError, match="max_loss"):
        results(PLAIN).best(bad)


def test_summaries_compare_on_common_examples_only():
    none, tome = results(PLAIN + SAFE[:20]).summary()
    assert (none.n, tome.n) == (20, 20)
    assert none.score == Interval(1.0, 1.0, 1.0)
    assert none.difference == Interval(0.0, 0.0, 0.0)
    assert tome.difference.value == pytest.approx(tome.score.value - 1)
    assert tome.speedup.value == pytest.approx(none.seconds.value / tome.seconds.value)
    assert tome.speedup.low < 2 < tome.speedup.high
    assert (tome.verdict, tome.faster, tome.on_front) == ("worse", "faster", True)


def test_seconds_are_judged_by_batches_not_by_examples():
    # Two batches of 20: forty examples, but only two timings.
    none = rows("none", 1.0, [0.0] * 40, [1.0, 1.0], batch=20)
    tome = rows("tome", 0.5, [0.0] * 40, [0.9, 0.6], batch=20)
    _, summary = results(none + tome).summary()
    assert summary.faster == "not distinguishable"
    assert summary.speedup.low < 1 < summary.speedup.high


def test_a_single_batch_says_nothing_of_speed():
    none = rows("none", 1.0, [0.0] * 8, [1.0], batch=8)
    tome = rows("tome", 0.5, [0.0] * 8, [0.1], batch=8)
    _, summary = results(none + tome).summary()
    assert summary.faster == "not distinguishable"
    assert astuple(summary.speedup) == pytest.approx((10, 10, 10))
    assert summary.on_front


def test_rows_of_other_batches_are_paired_by_example():
    joined = [replace(row, batch=row.batch + 100) for row in SAFE[:20]] + SAFE[20:]
    assert results(PLAIN + joined).summary() == results(PLAIN + SAFE).summary()


def test_right_answers_alone_do_not_show_that_little_is_lost():
    right = replace(COSINE, binary=True)
    same = PLAIN + [replace(row, score=1.0) for row in SAFE]
    assert results(same, (right,)).best(0.05).method == "none"
    best = results(same, (right,)).best(0.1)
    assert best.method == "tome"
    assert "is at most 8.81 % (mean difference 0 % on 40 examples)" in best.confidence
    exact = replace(TOME, card={"slug": "tome", "exact": True})
    assert results(same, (right,), (exact,)).best(0).method == "tome"


def test_nothing_measured():
    assert results([]).summary() == []
    assert results(SAFE).summary() == []


def test_several_tasks():
    other = replace(COSINE, slug="probe", binary=True)
    right = [replace(row, task="probe", score=1.0) for row in PLAIN + SAFE]
    both = results(PLAIN + SAFE + right, (COSINE, other))
    assert [s.task for s in both.summary()] == ["agreement"] * 2 + ["probe"] * 2
    assert [s.p_value for s in both.summary("probe")] == [1.0, 1.0]
    assert both.best(0.1, task="probe").method == "tome"
    with pytest.raises(UnknownNameError, match="task 'prob' is unknown; nearest: probe"):
        both.summary("prob")


def test_titles_and_cards():
    found = results(PLAIN, infos=(TOME, MINE), complete=False)
    assert repr(found) == "Results(m on d: 2 methods x 1 keeps, 40 examples, not complete)"
    assert found.card("none") is None
    assert found.card("mine(a=1)") == {"slug": "mine"}
    with pytest.raises(UnknownNameError, match="method 'toma' is unknown; nearest: tome"):
        found.card("toma")


@pytest.mark.parametrize("backend", ["pandas", "polars", None])
def test_frames(backend):
    extra = [replace(SAFE[0], example="40", scores={"top1": 1.0})]
    frame = results(PLAIN + SAFE + extra).to_frame(backend)
    assert type(frame).__module__.split(".")[0] == (backend or "pandas")
    assert frame.shape == (81, 10)
    assert list(frame["method"])[-1] == "tome"
    assert list(frame["label"])[:2] == ["label 0", "label 1"]
    assert list(frame["top1"])[-1] == 1.0


def test_frames_without_a_library(monkeypatch):
    found = results(PLAIN)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install pandas"):
        found.to_frame()
    with pytest.raises(MissingExtraError, match="pip install polars"):
        found.to_frame("polars")
    with pytest.raises(UsageError, match="backend='numpy'; allowed"):
        found.to_frame("numpy")


def test_pictures_are_the_worst_of_each_configuration():
    full, half = ((9, 9), (9, 9)), ((9, 5), (5, 3))
    profile = Profile("none", 1.0, (0.1, 0.1), full, 1.0, 1, 0.0)
    profiles = [
        profile,
        replace(profile, method="tome", keep=0.75),
        replace(profile, method="tome", keep=0.5, tokens=half),
    ]
    groups = np.zeros((2, 3), np.int16)
    found = results(
        PLAIN + SLOW + SAFE, _profiles=profiles, _pictures=lambda *_: (groups, b"webp")
    ).pictures(worst=3)
    worst = sorted(SAFE, key=lambda row: row.score)[:3]
    assert [(p.method, p.keep, p.example) for p in found] == [
        ("tome", 0.5, row.example) for row in worst
    ]
    assert found[0].grid == (2, 3)
    assert found[0].label == f"label {found[0].example}"
    assert found[0].thumbnail == b"webp"


def script(source=ZOO, info=TOME, keep=0.6):
    return results([], infos=(info,), source=source).code(info.label, keep)


def test_code_for_the_zoo():
    assert script().splitlines() == [
        "import tokenry",
        "from PIL import Image",
        "from tokenry import zoo",
        "",
        "loaded = zoo.load('zoo:dinov2-small-saliency')",
        "model, processor = loaded.model, loaded.processor",
        'images = [Image.new("RGB", (224, 224))]  # put yours here: Image.open("picture.jpg")',
        "with tokenry.attach(model, 'tome', keep=0.6):",
        '    outputs = model(**processor(images=images, return_tensors="pt"))',
    ]


def test_code_for_a_class_that_is_in_no_catalog():
    lines = script(info=MINE)
    assert "from pkg.mine import Mine" in lines
    assert "tokenry.attach(model, Mine(keep=0.6, a=1))" in lines


def test_code_cannot_be_broken_out_of():
    name = "x'); import os; os.abort(); ('\n"
    lines = script(Source(name, "ViTModel", {}))
    assert f"from_pretrained({name!r})" in lines
    compile(lines, "code", "exec")


@pytest.fixture(scope="module")
def saved(tmp_path_factory, tiny, processor):
    """A folder with a tiny model, as `save_pretrained` leaves it."""
    folder = tmp_path_factory.mktemp("models") / "tiny-dinov2"
    tiny("dinov2", num_hidden_layers=2).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("method", ["random", "none", "random(seed=3)"])
def test_code_runs(run, saved, method):
    found = run(saved, methods=["random", Random(seed=3)], limit=4, image_size=24)
    names = {}
    exec(found.code(method, keep=0.6), names)  # noqa: S102
    assert names["outputs"].pooler_output.shape == (1, 32)
    left = names["outputs"].last_hidden_state.shape[1]
    assert (left == 37) == (method == "none")
    assert found.model == "tiny-dinov2"
    assert str(saved) in found.source.name


def test_everything_is_in_the_folder(run, tmp_path):
    found = run(methods=["tome"], keep=(1, 0.5), task=["agreement", "probe"], folder=tmp_path)
    again = Results.open(str(tmp_path))
    for part in ("model", "data", "tasks", "infos", "keeps", "labels", "environment", "source"):
        assert getattr(again, part) == getattr(found, part)
    assert again.rows() == found.rows()
    assert again.profiles() == found.profiles()
    assert again.summary() == found.summary()
    assert (again.complete, again.seed) == (True, 0)
    (first, *_) = again.pictures(worst=2)
    assert (first.method, first.keep, first.grid) == ("tome", 0.5, (8, 8))
    assert first.groups.dtype == np.int16
    assert len(np.unique(first.groups)) < 40
    assert first.thumbnail[8:12] == b"WEBP"
    assert len(again.pictures(worst=2)) == 2


def test_the_last_comparison_is_what_a_folder_shows(run, tmp_path):
    run(methods=["tome", "random"], folder=tmp_path)
    run(methods=["random"], folder=tmp_path)
    assert Results.open(tmp_path).methods == ("random",)


def test_a_request_that_makes_no_sense(run, tmp_path):
    run(folder=tmp_path)
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("UPDATE requests SET content = ?", (json.dumps({"study": 1}),))
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match=r"cannot be read .*give another folder"):
        Results.open(tmp_path)


def test_no_results_here(tmp_path):
    with pytest.raises(StoreError, match="holds no results"):
        Results.open(tmp_path / "nowhere")
