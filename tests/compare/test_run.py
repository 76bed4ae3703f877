"""Comparisons from one end to the other, on a tiny model."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path

import pytest
import torch
from tqdm import tqdm

from tokenry.compare import configurations, cost, runner
from tokenry.compare.results import Results
from tokenry.compare.tasks import Agreement, base
from tokenry.errors import UsageError
from tokenry.plugs.attach import attach
from tokenry.zoo import Loaded


@pytest.fixture
def passes(monkeypatch):
    """Counts timed passes."""
    count = Counter()
    timed = cost.timed

    def counted(run, device):
        count["timed"] += 1
        if count["timed"] == count["stop at"]:
            raise KeyboardInterrupt
        return timed(run, device)

    monkeypatch.setattr(cost, "timed", counted)
    return count


def test_one_row_per_task_configuration_and_example(run, data):
    results = run(methods=["random", "tome"], keep=(1, 0.5))
    assert (results.complete, results.skipped, results.examples) == (True, (), 12)
    assert (results.methods, results.keeps) == (("random", "tome"), (1.0, 0.5))
    count = Counter((r.method, r.keep) for r in results.rows())
    assert count == dict.fromkeys(
        [("none", 1.0), ("random", 1.0), ("random", 0.5), ("tome", 1.0), ("tome", 0.5)], 12
    )
    assert {r.example for r in results.rows()} == {e.id for e in data}


def test_keep_one_is_the_untouched_model(run):
    summaries = {(s.method, s.keep): s for s in run(methods=["tome"], keep=(1, 0.5)).summary()}
    assert summaries["tome", 1.0].verdict == "identical"
    assert summaries["tome", 0.5].verdict == "worse"
    assert summaries["none", 1.0].score.value == pytest.approx(1)
    assert summaries["tome", 0.5].tokens == pytest.approx(0.5, abs=0.01)
    assert summaries["tome", 0.5].flops < 0.6 * summaries["none", 1.0].flops


def test_profiles_say_where_tokens_and_time_went(run):
    results = run(methods=["tome"])
    none, tome = results.profiles()
    assert none.tokens == ((65, 65),) * 4
    assert tome.tokens[0][0] == 65
    assert tome.tokens[-1][1] < 30
    assert len(tome.layer_seconds) == 4
    assert all(s > 0 for s in tome.layer_seconds)
    assert tome.peak_bytes > 0
    assert {r.peak_bytes for r in results.rows() if r.method == "tome"} == {tome.peak_bytes}


def test_scores_do_not_depend_on_the_company(run, scores):
    alone = scores(run(methods=["tome"]))
    together = scores(run(methods=["random", "tome"], keep=(0.75, 0.5)))
    assert set(alone) <= set(together)


def test_a_second_call_measures_nothing(run, tmp_path, passes):
    first = run(folder=tmp_path)
    done = passes["timed"]
    second = run(folder=tmp_path)
    assert done > 0
    assert passes["timed"] == done
    assert second.rows() == first.rows()
    assert second.complete


def test_gaps_are_filled_and_nothing_else(run, tmp_path, passes, data):
    first = run(folder=tmp_path, limit=8)
    passes.clear()
    grown = run(folder=tmp_path)
    assert passes["timed"] == 2  # one batch more, of two configurations
    before = {(r.method, r.example): r for r in first.rows()}
    after = {(r.method, r.example): r for r in grown.rows()}
    assert {key: after[key] for key in before} == before
    assert len(after) == 24


def test_another_method_joins(run, tmp_path, passes):
    run(folder=tmp_path)
    passes.clear()
    both = run(folder=tmp_path, methods=["random", "tome"])
    profile = cost.PROFILE_REPEATS
    assert passes["timed"] == profile + 3
    (tome,) = [s for s in both.summary() if s.method == "tome"]
    assert tome.n == 12
    # Both were timed in the same batches, so seconds are paired batch by batch.
    assert len({r.batch for r in both.rows()}) == 3


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"batch_size": 3}, {"repeats": 2}, {"image_size": 32}]
)
def test_what_changes_figures_starts_anew(run, tmp_path, passes, change):
    run(folder=tmp_path)
    passes.clear()
    run(folder=tmp_path, **change)
    assert passes["timed"] > 0


def test_another_image_size(run, tiny, processor):
    model = Loaded(tiny("dinov2", num_hidden_layers=2), processor)
    small, usual = run(model, image_size=24), run(model)
    assert [p.tokens[0][0] for r in (small, usual) for p in r.profiles()] == [37, 37, 65, 65]
    assert "24" in small.environment["image_size"]
    assert "size={'height': 24, 'width': 24}" in small.code("random", 0.5)


def test_other_weights_start_anew(run, tmp_path, loaded, passes):
    run(folder=tmp_path)
    passes.clear()
    other = copy.deepcopy(loaded.model)
    with torch.no_grad():
        other.layers[0].mlp.fc1.bias[0] += 1e-3
    results = run(Loaded(other, loaded.processor), folder=tmp_path)
    assert passes["timed"] > 0
    assert len(results.rows()) == 24


def test_changed_code_starts_anew(run, tmp_path, passes, monkeypatch):
    run(folder=tmp_path)
    passes.clear()
    monkeypatch.setattr(configurations, "source_digest", lambda cls: "newer")
    run(folder=tmp_path)
    assert passes["timed"] > 0


def test_repeats_are_timed_in_turn(run, monkeypatch):
    order = []

    def note(model, methods):
        order.extend(method.card.slug for method in methods)
        return attach(model, methods)

    monkeypatch.setattr(base, "attach", note)
    results = run(methods=["random", "tome", "grid"], repeats=2, limit=4)
    assert len(results.rows()) == 4 * 4
    assert order == ["random", "tome", "grid"] * 3  # once to warm up, then twice


def test_the_median_of_the_repeats_counts(run, monkeypatch):
    spent = {"none": iter([9.0, 1.0, 2.0]), "random": iter([0.5, 0.1, 0.2])}
    timed = cost.timed

    def pretend(run, device):
        _, seen = timed(run, device)
        return next(spent["none" if seen.trace is None else "random"]), seen

    monkeypatch.setattr(runner.cost, "timed", pretend)
    monkeypatch.setattr(runner.Runner, "_warm_up", lambda *_: None)
    rows = {r.method: r.seconds for r in run(limit=4, repeats=3).rows()}
    assert rows == {"none": 2.0 / 4, "random": 0.2 / 4}


def test_the_order_is_rotated_from_batch_to_batch(run, monkeypatch):
    seen = []
    plain = runner.Runner._note

    def note(self, found, configuration, *args):
        seen.append(configuration.label)
        plain(self, found, configuration, *args)

    monkeypatch.setattr(runner.Runner, "_note", note)
    run(methods=["random", "tome"])
    assert [seen[i : i + 3] for i in range(0, 9, 3)] == [
        ["none", "random", "tome"],
        ["random", "tome", "none"],
        ["tome", "none", "random"],
    ]


def test_ctrl_c_keeps_what_is_done(run, tmp_path, passes, scores):
    whole = run(methods=["random", "tome"])
    per_profile = cost.PROFILE_REPEATS
    passes.clear()
    passes["stop at"] = 3 * per_profile + 3 + 2  # in the second batch, after one pass
    stopped = run(methods=["random", "tome"], folder=tmp_path)
    assert not stopped.complete
    assert len(stopped.rows()) == 3 * 4 + 4
    assert {s.n for s in stopped.summary()} == {4}
    passes.clear()
    again = run(methods=["random", "tome"], folder=tmp_path)
    assert again.complete
    assert passes["timed"] == 9 - 4
    assert scores(again) == scores(whole)


def test_ctrl_c_before_anything_is_done(run, passes):
    passes["stop at"] = 1
    results = run()
    assert (results.complete, results.rows(), results.summary()) == (False, [], [])
    with pytest.raises(UsageError, match="nothing was measured"):
        results.best()
    assert results.pictures() == []


def test_the_budget_stops_between_batches(run):
    results = run(methods=["random", "tome"], budget_seconds=1e-6)
    assert not results.complete
    assert Counter(r.method for r in results.rows()) == {"none": 4, "random": 4, "tome": 4}


def test_a_large_budget_stops_nothing(run):
    assert run(budget_seconds=1e6).complete


def test_limit_and_seed_choose_examples(run):
    one, same, other = ({r.example for r in run(limit=4, seed=seed).rows()} for seed in (0, 0, 1))
    assert len(one) == 4
    assert one == same
    assert one != other


def state(model):
    return {
        "training": [m.training for m in model.modules()],
        "classes": [type(m) for m in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        "weights": {k: v.clone() for k, v in model.state_dict().items()},
        "grads": [p.grad is None or p.grad.clone() for p in model.parameters()],
        "wanted": [p.requires_grad for p in model.parameters()],
    }


class Broken(Agreement):
    slug = "broken"

    def score(self, seen, untouched, examples):
        if seen.trace is not None:
            raise RuntimeError("on purpose")
        return super().score(seen, untouched, examples)


@pytest.mark.parametrize("task", ["agreement", Broken()])
def test_the_model_is_given_back_as_it_was(run, loaded, task):
    model = copy.deepcopy(loaded.model).train()
    model.layers[1].eval()
    model(torch.zeros(1, 3, 32, 32)).pooler_output.sum().backward()
    before = state(model)
    if task == "agreement":
        run(Loaded(model, loaded.processor), task=task)
    else:
        with pytest.raises(RuntimeError, match="on purpose"):
            run(Loaded(model, loaded.processor), task=task)
    after = state(model)
    for part in ("training", "classes", "hooks", "wanted"):
        assert after[part] == before[part]
    for part in ("weights", "grads"):
        torch.testing.assert_close(after[part], before[part], rtol=0, atol=0)
    assert torch.is_grad_enabled()


def test_an_error_keeps_the_rows_before_it(run, tmp_path, monkeypatch):
    batch = runner.Runner._batch

    def fail(self, index, examples):
        if index == 2:
            raise RuntimeError("on purpose")
        batch(self, index, examples)

    monkeypatch.setattr(runner.Runner, "_batch", fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        run(folder=tmp_path)
    results = Results.open(tmp_path)
    assert (len(results.rows()), results.complete) == (16, False)


def test_a_temporary_folder_lives_as_long_as_its_results(run):
    import gc

    results = run()
    folder = Path(results._pictures.__closure__[0].cell_contents)
    assert folder.is_dir()
    del results
    gc.collect()
    assert not folder.exists()


def test_a_temporary_folder_goes_after_an_error(run, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(RuntimeError, match="on purpose"):
        run(task=Broken())
    assert list(tmp_path.iterdir()) == []


def test_progress_goes_to_standard_error(run, capfd, monkeypatch):
    monkeypatch.setattr("tqdm.tqdm", _eager_bar)
    run(progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "comparing" in err
    run(progress=False)
    assert capfd.readouterr() == ("", "")


def _eager_bar(*given, **settings):
    return tqdm(*given, **{**settings, "delay": 0, "mininterval": 0})


def test_mixed_sizes_and_names_of_any_kind(run, dataset, example):
    from functools import partial

    from PIL import Image

    sizes = [(32, 32), (10, 50), (200, 40)]
    pictures = dataset(
        example(f"<b>{i}\u202e", "'; DROP TABLE rows; --", make=partial(Image.new, "RGB", size))
        for i, size in enumerate(sizes)
    )
    results = run(pictures=pictures)
    assert len(results.rows()) == 6
    assert set(results.labels.values()) == {"'; DROP TABLE rows; --"}
