"""`tokenry compare` and `tokenry report`: files, figures, gates, Ctrl-C."""

import dataclasses
import json
import signal

import pytest

from tokenry.compare import subject
from tokenry.compare.results import Results
from tokenry.vision import Random


def test_it_writes_a_report_and_says_what_is_best(compare, tmp_path):
    done = compare()
    assert done.code == 0
    assert "untouched model" in done.out or "95 % confidence" in done.out
    assert "import" in done.out
    assert done.out.endswith("Report: report.html\n")
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert Results.open(tmp_path / "results").methods == ("random", "tome")


def test_json_is_all_that_standard_output_holds(compare):
    done = compare("--json", "--out", "other.html", "--folder", "measured")
    found = json.loads(done.out)
    assert done.code == 0
    assert found["complete"]
    assert found["examples"] == 6
    assert (found["report"], found["folder"]) == ("other.html", "measured")
    assert {(s["method"], s["keep"]) for s in found["summary"]} == {
        ("none", 1.0),
        ("random", 0.6),
        ("tome", 0.6),
    }
    assert {"method", "keep", "confidence", "code"} == found["best"].keys()


def test_arguments_reach_the_comparison(compare, tmp_path):
    words = ("--keep", "1,.75,.5", "--limit", 4, "--seed", 3, "--task", "agreement,probe")
    found = json.loads(compare("--json", *words).out)
    assert found["examples"] == 4
    results = Results.open(tmp_path / "results")
    assert results.keeps == (1.0, 0.75, 0.5)
    assert results.seed == 3
    assert [task.slug for task in results.tasks] == ["agreement", "probe"]


def test_two_configurations_of_a_method_stand_side_by_side(compare, tmp_path):
    words = ("--methods", "tome, tome(schedule=ratio, proportional=False)", "--limit", 4)
    found = json.loads(compare("--json", *words).out)
    labels = ("tome", "tome(schedule='ratio', proportional=False)")
    assert tuple(s["method"] for s in found["summary"]) == ("none", *labels)
    assert Results.open(tmp_path / "results").methods == labels
    assert "ToMe(schedule=" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_same_command_measures_nothing_twice(compare, monkeypatch):
    compare()
    monkeypatch.setattr(Random, "reduce", lambda *_: 1 / 0)
    assert compare().code == 0


def test_a_gate_that_no_method_meets_fails(compare, tmp_path):
    done = compare("--max-loss", "0")
    assert done.code == 1
    assert "Keep the untouched model" in done.out
    assert (tmp_path / "report.html").exists()


def test_a_gate_that_a_method_meets_holds(compare, monkeypatch):
    best = Results.best
    allowed = []

    def found(self, max_loss, task=None, by="seconds"):
        if task is not None:  # the report asks too
            return best(self, max_loss, task)
        allowed.append(max_loss)
        return dataclasses.replace(best(self, max_loss), method="tome")

    monkeypatch.setattr(Results, "best", found)
    assert compare("--max-loss", "0.25").code == 0
    assert set(allowed) == {0.25}


@pytest.fixture
def listening():
    """Ctrl-C as in a terminal; a shell makes its background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
def test_ctrl_c_keeps_what_is_measured(compare, tmp_path, monkeypatch):
    reduce, calls, stop = Random.reduce, [], None

    def counted(self, x, view):
        calls.append(view.layer)
        if len(calls) == stop:
            signal.raise_signal(signal.SIGINT)
        return reduce(self, x, view)

    monkeypatch.setattr(Random, "reduce", counted)
    compare("--repeats", 4, "--folder", "whole")
    stop = len(calls) + len(calls) * 2 // 3
    done = compare("--repeats", 4)
    assert done.code == 130
    assert "Stopped; what was measured is in results" in done.err
    kept = Results.open(tmp_path / "results")
    assert not kept.complete
    assert 0 < len(kept.rows()) < 18
    done = compare("--repeats", 4)
    assert done.code == 0
    assert "Stopped" not in done.err
    results = Results.open(tmp_path / "results")
    assert results.complete
    assert len(results.rows()) == 18
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_before_anything_is_measured(compare, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(subject, "find", interrupted)
    done = compare()
    assert (done.code, done.out) == (130, "")
    assert "stopped" in done.err


def test_a_spent_budget_is_said(compare):
    done = compare("--budget-seconds", "0.001")
    assert done.code == 0
    assert "The budget is spent" in done.err


def test_report_is_written_again_from_the_folder(compare, tokenry, tmp_path):
    compare()
    (tmp_path / "report.html").unlink()
    done = tokenry("report", "results", "--out", "again.html", "--picture", "again.png")
    assert (done.code, done.out) == (0, "Report: again.html\n")
    assert "<html" in (tmp_path / "again.html").read_text(encoding="utf-8")
    assert (tmp_path / "again.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--keep", "1,half"), "keep='1,half' is not numbers joined by commas"),
        (("--keep", "1.5"), "1.5"),
        (("--keep", ""), "keep"),
        (("--methods", "tomme"), "nearest: tome"),
        (("--methods", ","), "methods is empty"),
        (("--methods", "tome(schedul=ratio),random"), "tome: the setting 'schedul' is unknown"),
        (("--methods", "random,tome(schedule=ratio"), "the parentheses do not match"),
        (("--methods", "tome(keep=.5)"), "leave it out of the parentheses"),
        (("--task", "agrement"), "nearest: agreement"),
        (("--data", "nowhere"), "nowhere"),
        (("--out", "missing/report.html"), "the folder of missing/report.html does not exist"),
        (("--picture", "missing/a.png"), "the folder of missing/a.png does not exist"),
        (("--limit", "many"), "--limit"),
        (("--limit", "0"), "limit"),
        (("--max-loss", "-1"), "max_loss=-1.0 is negative"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(words, message, compare):
    done = compare(*words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.err.splitlines()[-1].startswith("tokenry: ")


@pytest.mark.parametrize("model", ["zoo:dinov3", "no/such-model", "empty"])
def test_unknown_models_are_refused(model, tokenry, pictures, tmp_path):
    (tmp_path / "empty").mkdir()
    done = tokenry("compare", model, "--data", pictures, "--methods", "tome")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("tokenry: ")
    assert model.removeprefix("zoo:") in done.err


def test_report_of_nothing_is_refused(tokenry):
    done = tokenry("report", "nowhere")
    assert (done.code, done.out) == (2, "")
    assert "nowhere" in done.err
