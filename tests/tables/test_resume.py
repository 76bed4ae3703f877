"""A run that is stopped in any stage goes on there, and brings the same."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tokenry
from tokenry.errors import StoreError
from tokenry.method import Aids, Side
from tokenry.tables import pipeline
from tokenry.tables.stages import Stages, fingerprint

STAGES = ["normalise-left", "normalise-right", "candidates", "scored", "links"]
LEFT = {"name": [f"abc{i}" for i in range(6)], "city": ["x", "y"] * 3}
RIGHT = {"name": [f"bcd{i}" for i in range(5)], "city": ["y", "x", "y", None, "x"]}


@pytest.fixture
def run(letters, monkeypatch, tmp_path):
    """Link into a folder, with parts of two pairs."""
    monkeypatch.setattr(pipeline, "PART", 2)

    def run(folder="run", **settings):
        usual = {"block": "city", "assign": "many", "threshold": 0.1}
        where = None if folder is None else tmp_path / folder
        return tokenry.link(LEFT, RIGHT, "name", method=letters, folder=where, **usual | settings)

    return run


def pairs(links):
    return sorted(zip(*links.pairs.values(), strict=True))


def kept(links):
    return [one.name for one in links.stages if one.kept]


@pytest.mark.parametrize("at", STAGES)
def test_stopped_in_a_stage_it_goes_on(run, monkeypatch, at):
    whole = pairs(run(None))
    write = Stages._write

    def stop(self, name, number, part):
        if name == at and (name != "scored" or number == 2):
            raise KeyboardInterrupt
        write(self, name, number, part)

    monkeypatch.setattr(Stages, "_write", stop)
    with pytest.raises(KeyboardInterrupt):
        run()
    monkeypatch.setattr(Stages, "_write", write)
    again = run()
    assert pairs(again) == whole
    assert kept(again) == STAGES[: STAGES.index(at)]


def test_pairs_that_were_scored_are_not_scored_again(run, monkeypatch, calls):
    run(None)
    most = sum(calls)
    calls.clear()
    write = Stages._write

    def stop(self, name, number, part):
        write(self, name, number, part)
        if name == "scored" and number == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Stages, "_write", stop)
    with pytest.raises(KeyboardInterrupt):
        run()
    monkeypatch.setattr(Stages, "_write", write)
    run()
    assert sum(calls) == most


@pytest.mark.parametrize("verb", [tokenry.link, tokenry.dedupe])
def test_searched_rows_are_not_searched_again(verb, letters, monkeypatch, calls, tmp_path):
    def run(folder):
        tables = (LEFT, RIGHT) if verb is tokenry.link else (LEFT,)
        found = verb(*tables, "name", method=letters, threshold=0.1, k=2, folder=folder)
        return found if verb is tokenry.link else found.links

    whole = pairs(run(None))
    most = sum(calls)
    calls.clear()
    write = Stages._write

    def stop(self, name, number, part):
        write(self, name, number, part)
        if (name, number) == ("nearest", 1):  # of three: two rows each
            raise KeyboardInterrupt

    monkeypatch.setattr(Stages, "_write", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert 0 < sum(calls) < most
    monkeypatch.setattr(Stages, "_write", write)
    monkeypatch.setattr(letters_of(letters), "portion", 5)  # the parts that are there count
    assert pairs(run(tmp_path)) == whole
    assert sum(calls) == most


def letters_of(linker):
    """The class of the matcher that a linker prepares."""
    side = Side(columns={"name": ["a"]}, keys=("name",), count=1)
    return type(linker.prepare(side, side, Aids()))


def test_only_what_depends_on_a_change_is_done_again(run, letters):
    first = run()
    assert kept(first) == []
    assert kept(run()) == STAGES
    assert kept(run(assign="best_left")) == STAGES[:4]
    assert kept(run(threshold=0.2)) == STAGES[:3]
    assert kept(run(block="name:1")) == []  # another column is normalised
    assert kept(run()) == []


def test_another_table_in_the_same_folder_is_another_run(run, monkeypatch):
    run()
    monkeypatch.setitem(LEFT, "name", ["zzz"] * 6)
    assert kept(run()) == []


def test_rows_that_were_taken_away_are_made_again(run, tmp_path):
    whole = pairs(run())
    next((tmp_path / "run" / "candidates").glob("*.parquet")).unlink()
    again = run()
    assert pairs(again) == whole
    assert kept(again) == STAGES[:2]


def test_a_damaged_list_of_stages_says_what_to_do(run, tmp_path):
    run()
    (tmp_path / "run" / "stages.json").write_text("{")
    with pytest.raises(StoreError, match="remove it to begin again"):
        run()


def test_two_processes_do_not_write_to_one_folder(tmp_path):
    with Stages(tmp_path), pytest.raises(StoreError, match="another process"):
        Stages(tmp_path)


def test_a_folder_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Stages(tmp_path / "file" / "run")


def test_what_a_stage_cost_is_kept_too(run, tmp_path):
    links = run()
    assert all(one.seconds >= 0 and one.peak_bytes > 0 for one in links.stages)
    noted = json.loads((tmp_path / "run" / "stages.json").read_text())
    assert noted["candidates"]["rows"] == links.facts["candidates"]
    assert [one.seconds for one in run().stages] == [
        one.seconds for one in links.stages if one.name in STAGES
    ]


def test_a_stage_within_another_counts_for_itself(tmp_path):
    with Stages(tmp_path) as stages, stages.measured("outer"):
        time.sleep(0.02)
        with stages.measured("inner"):
            time.sleep(0.2)
    inner, outer = stages.done
    assert (inner.name, outer.name) == ("inner", "outer")
    assert inner.seconds >= 0.2 > outer.seconds >= 0.02
    assert outer.peak_bytes >= inner.peak_bytes


PROGRAM = """
import sys, time
from tests_tables import Letters, Sharing
import tokenry
score = Sharing.score
def slow(self, left, right):
    time.sleep(0.1)
    return score(self, left, right)
Sharing.score = slow
from tokenry.tables import pipeline
pipeline.PART = 2
table = {"name": [f"abc{i}" for i in range(12)], "city": ["x"] * 12}
links = tokenry.link(table, table, "name", method=Letters(), block="city", assign="many",
                     threshold=0.1, folder=sys.argv[1])
print(len(links), *(one.name for one in links.stages if one.kept))
"""


@pytest.mark.slow
def test_a_killed_process_goes_on(tmp_path):
    (tmp_path / "tests_tables.py").write_text(Path(__file__).with_name("conftest.py").read_text())
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", "run"]
    done = tmp_path / "run" / "scored"
    with subprocess.Popen(command, cwd=tmp_path) as running:
        for _ in range(600):
            time.sleep(0.1)
            if len(list(done.glob("*.parquet"))) >= 3:
                break
        running.kill()
    before = len(list(done.glob("*.parquet")))
    assert 3 <= before < 72
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert again.stdout.split() == ["144", "normalise-left", "normalise-right", "candidates"]


def test_a_print_depends_on_values_only():
    import pyarrow as pa

    one = pa.table({"a": ["x", "y", "z"]})
    split = pa.concat_tables([one.slice(0, 1), one.slice(1)])
    assert fingerprint(one.slice(1)) == fingerprint(pa.table({"a": ["y", "z"]}))
    assert fingerprint(one) != fingerprint(pa.table({"a": ["x", "y", "w"]}))
    assert fingerprint(split.combine_chunks()) == fingerprint(one)
