"""The results folder: nothing lost, nothing twice, and clear words when it cannot be used."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

from tokenry.compare.store import FILE, Record, Store
from tokenry.errors import StoreError

KEY = ("tokenry.vision.tome:ToMe()", 0.5)


def record(example, score=0.1, task="agreement"):
    return Record(task, str(example), 7, score, {"top1": 1.0}, 0.01, 0.5)


@pytest.fixture
def folder(tmp_path):
    """A folder with four rows."""
    with Store(tmp_path / "results", write=True) as store:
        study = store.study({"model": "abc"})
        store.add(study, KEY, [record(i) for i in range(4)])
        store.add_request({"study": study})
    return tmp_path / "results"


def examples(folder):
    with Store(folder, write=False) as store:
        return [r.example for r in store.records(1, KEY)]


def test_everything_comes_back(tmp_path):
    groups = np.arange(12, dtype=np.int16).reshape(3, 4) - 1
    with Store(tmp_path, write=True) as store:
        study = store.study({"seed": 0})
        store.add(study, KEY, [record("a", 0.1 + 0.2)], [("a", groups)])
        store.add_profile(study, KEY, {"flops": 1.5})
        store.add_thumbnails(study, [("a", b"webp")])
        number = store.add_request({"study": study, "complete": False})
        store.change_request(number, {"study": study, "complete": True})
    with Store(tmp_path, write=False) as store:
        assert store.records(study, KEY) == [record("a", 0.1 + 0.2)]
        assert store.profiles(study) == {KEY: {"flops": 1.5}}
        assert store.thumbnail(study, "a") == b"webp"
        np.testing.assert_array_equal(store.groups(study, KEY, "a"), groups)
        assert store.groups(study, KEY, "b") is None
        assert store.thumbnail(study, "b") is None
        assert store.request() == {"study": study, "complete": True}
        assert store.done(study) == {KEY: {("agreement", "a")}}


def test_a_closed_folder_holds_one_file(folder):
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_other_facts_are_another_study(folder):
    with Store(folder, write=True) as store:
        assert store.study({"model": "abc"}) == 1
        assert store.study({"model": "other"}) == 2
        assert store.done(2) == {}


def test_no_row_twice_and_the_first_one_stays(folder):
    with Store(folder, write=True) as store:
        store.add(1, KEY, [record(3, score=0.9), record(4)])
    with Store(folder, write=False) as store:
        assert [(r.example, r.score) for r in store.records(1, KEY)] == [
            (str(i), 0.1) for i in range(5)
        ]


def test_a_batch_is_added_whole_or_not_at_all(folder):
    def groups():
        yield "5", np.zeros((1, 1), np.int16)
        raise KeyboardInterrupt

    with Store(folder, write=True) as store:
        store.add(1, KEY, [record(4)])
        with pytest.raises(KeyboardInterrupt):
            store.add(1, KEY, [record(5)], groups())
    assert examples(folder) == ["0", "1", "2", "3", "4"]


def test_a_change_that_fails_halfway_leaves_nothing(folder):
    with Store(folder, write=True) as store:
        store.add(1, KEY, [record(4)])
        with pytest.raises(StoreError, match="damaged"):  # NOT NULL refuses the second row
            store.add(1, KEY, [record(5), record(6, score=None)])
    assert examples(folder) == ["0", "1", "2", "3", "4"]


def test_commit_waits_when_told_to(tmp_path):
    with Store(tmp_path, write=True) as store:
        store.study({})
        store.commit(after=1000)
        assert store._connection.in_transaction
        store.commit()
        assert not store._connection.in_transaction


def test_nothing_there(tmp_path):
    with pytest.raises(StoreError, match="holds no results"):
        Store(tmp_path / "absent", write=False)
    with (
        Store(tmp_path, write=True) as store,
        pytest.raises(StoreError, match="holds no comparison yet"),
    ):
        store.request()


@pytest.mark.parametrize("bad", ["file", "file/below", "/proc/tokenry"])
def test_a_folder_that_cannot_be_written(tmp_path, bad):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be used for results .*another folder"):
        Store(tmp_path / bad, write=True)


def test_a_folder_that_cannot_hold_the_file(tmp_path):
    (tmp_path / FILE).mkdir()
    with pytest.raises(StoreError, match=r"unable to open .*another folder"):
        Store(tmp_path, write=True)


def pragma(folder, text):
    connection = sqlite3.connect(folder / FILE)
    connection.execute(text)
    connection.commit()
    connection.close()


@pytest.mark.parametrize("write", [True, False])
def test_another_version_says_which_and_what_to_do(folder, write):
    pragma(folder, "PRAGMA user_version=99")
    with pytest.raises(StoreError, match=r"version 99.*version 2; give another folder"):
        Store(folder, write=write)


def test_a_database_of_something_else(tmp_path):
    pragma(tmp_path, "CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(StoreError, match="something else"):
        Store(tmp_path, write=True)
    assert sqlite3.connect(tmp_path / FILE).execute("SELECT * FROM bookmarks").fetchall() == []


@pytest.mark.parametrize("write", [True, False])
def test_a_file_that_is_no_database(tmp_path, write):
    (tmp_path / FILE).write_bytes(b"hello " * 1000)
    with pytest.raises(StoreError, match=r"damaged .*restore a copy, or delete it"):
        Store(tmp_path, write=write)


def test_damage_inside_is_found_on_opening(tmp_path):
    with Store(tmp_path, write=True) as store:
        store.add(store.study({}), KEY, [record(i) for i in range(500)])
    raw = bytearray((tmp_path / FILE).read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 4096] = bytes(4096)
    (tmp_path / FILE).write_bytes(raw)
    with pytest.raises(StoreError, match="damaged"):
        Store(tmp_path, write=True)


def test_a_full_disk_keeps_what_was_there(folder):
    with Store(folder, write=True) as store:
        store.add(1, KEY, [record(4)])
        store.commit()
        ((pages,),) = store._run("PRAGMA page_count")
        store._run(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StoreError, match="disk is full; what was measured before is kept"):
            store.add(1, KEY, [record(f"{i:0200d}") for i in range(5, 500)])
    assert examples(folder) == ["0", "1", "2", "3", "4"]
    with Store(folder, write=True) as store:  # and room makes it work again
        store.add(1, KEY, [record(5)])
    assert len(examples(folder)) == 6


def test_two_writers_in_one_process(folder):
    with Store(folder, write=True), pytest.raises(StoreError, match="another process is using"):
        Store(folder, write=True)


def test_no_reader_beside_a_writer(folder):
    with Store(folder, write=True), pytest.raises(StoreError, match="another process is using"):
        Store(folder, write=False)


HOLD = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("PRAGMA locking_mode=EXCLUSIVE"); c.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_on_the_same_folder(folder):
    command = [sys.executable, "-c", HOLD, str(folder / FILE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(StoreError, match=r"another process is using .*wait"):
            Store(folder, write=True)
        other.stdin.close()
        assert other.wait(10) == 0
    Store(folder, write=True).__exit__(None, None, None)


WRITE = """
import sys
from pathlib import Path
from tokenry.compare.store import Record, Store
with Store(Path(sys.argv[1]), write=True) as store:
    study = store.study({})
    print("ready", flush=True)
    for batch in range(100_000):
        rows = [Record("t", f"{batch:06}/{i}", batch, 0.5, {}, 0.1, 1.0) for i in range(8)]
        store.add(study, ("m", 0.5), rows)
        store.commit(after=0.002)
"""


@pytest.mark.parametrize("seed", range(3))
def test_killed_while_writing(tmp_path, seed):
    command = [sys.executable, "-c", WRITE, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(random.Random(seed).uniform(0.1, 0.5))
        writer.kill()
    assert writer.returncode == -signal.SIGKILL
    with Store(tmp_path, write=True) as store:
        names = [r.example for r in store.records(1, ("m", 0.5))]
    assert names == [f"{i // 8:06}/{i % 8}" for i in range(len(names))]
    assert len(names) % 8 == 0
    assert len(names) > 0


def test_the_store_needs_no_torch():
    probe = (
        "import sys, tokenry.compare.store, tokenry.compare.results; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
