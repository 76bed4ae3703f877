"""An index after kills, on a full disk, in two hands, from the future, and damaged."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tokenry import Index
from tokenry.errors import StoreError
from tokenry.index import catalogue, columns, store

HERE = Path(__file__).parent


def text(number, version=0):
    return f"document {number} says word{number} and word{number % 7} in version{version}"


def records(numbers, version=0):
    return [{"id": str(number), "text": text(number, version)} for number in numbers]


def assert_sound(path, encoder):
    """All that the catalogue knows has its tokens, is found, and the index takes more."""
    with Index.open(path, encoder) as index:
        found = sorted(index.ids(), key=int)
        for name in found:
            hit = index.search(f"word{name}", k=len(found) + 1, rankers="maxsim")
            assert name in {one.id for one in hit}
            assert len(hit) == len({one.id for one in hit}) == len(found)
    with Index(path, encoder) as index:
        assert sorted(index.ids(), key=int) == found
        if found:
            rows = index._store.gather(index._store.keys())
            assert sum(len(one) > 0 for one in rows) == len(found)
        index.add(records([9999]))
        index.compact()
        assert index.search("word9999", rankers="maxsim")[0].id == "9999"
        assert len(index) == index.size().documents == len(found) + 1
    return found


def test_every_moment_of_every_change_leaves_a_committed_state(tmp_path, encoder, monkeypatch):
    """What a kill would leave is copied at each write, sync and replacement, and opened."""
    images = []
    live = tmp_path / "live"

    def watched(owner, name):
        original = getattr(owner, name)

        def also(*arguments, **named):
            done = original(*arguments, **named)
            images.append(shutil.copytree(live, tmp_path / f"image{len(images)}"))
            return done

        monkeypatch.setattr(owner, name, also)

    with monkeypatch.context() as monkeypatch:
        for owner, name in (
            (columns.Column, "append"),
            (columns, "replace"),
            (catalogue.Catalogue, "_prepare"),
            (catalogue.Catalogue, "put"),
            (catalogue.Catalogue, "drop"),
        ):
            watched(owner, name)
        with Index(live, encoder) as index:
            index.add(records(range(4)))
            index.add(records(range(3, 6), version=1))
            index.delete(["0"])
            index.compact()
            index.compress(4)
    states = set()
    for image in images:
        (image / "write.lock").unlink()
        if not (image / "index.json").is_file():  # killed before it was an index
            with pytest.raises(StoreError, match="holds no index"):
                Index.open(image, encoder)
            Index(image, encoder).close()
        states.add(tuple(assert_sound(image, encoder)))
    before, added, deleted = list("0123"), list("012345"), list("12345")
    assert states == {(), tuple(before), tuple(added), tuple(deleted)}


# Starts once, then forks: a child for each way to write, which goes on until it is killed.
WRITERS = """
import os, sys
sys.path.insert(0, {here!r})
from conftest import Words
from test_faults import records
from tokenry import Index

def say(line):
    os.write(1, (line + "\\n").encode())  # at once, so that lines of several processes stay whole

def write(path, mode):
    with Index(path, Words()) as index:
        index.add(records(range(1 if mode == "build" else 30)))
        say(f"{{mode}} {{os.getpid()}}")
        for version in range(1000):
            index.add(records(range(30), version) if mode == "add" else records([100 + version]))
            if mode == "compact":
                index.delete([str(version % 30)])
                index.compact()

for path in sys.argv[1:]:
    if not os.fork():
        write(path, os.path.basename(path))
        os._exit(0)
for path in sys.argv[1:]:
    say(f"ended by {{os.waitstatus_to_exitcode(os.wait()[1])}}")
"""


def test_a_killed_process_leaves_a_sound_index(tmp_path, encoder):
    modes = ("build", "add", "compact")
    code = WRITERS.format(here=str(HERE))
    command = [sys.executable, "-c", code, *(tmp_path / mode for mode in modes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        processes = dict(running.stdout.readline().split() for _ in modes)
        for mode in modes:
            with pytest.raises(StoreError, match="another process is writing"):
                Index(tmp_path / mode, encoder)
            time.sleep(0.5)
            os.kill(int(processes[mode]), signal.SIGKILL)
            assert running.stdout.readline() == f"ended by {-signal.SIGKILL}\n"
    for mode in modes:  # when all are dead: looking takes longer than some of them would write
        assert assert_sound(tmp_path / mode, encoder)


@pytest.mark.parametrize(
    ("store", "manifest"), [("segments", "manifest.json"), ("graph", "graph.json")]
)
def test_a_reader_opens_while_another_compacts(tmp_path, encoder, monkeypatch, store, manifest):
    """What it read of the manifest is removed before it is opened."""
    with Index(tmp_path, encoder, store=store) as index:
        index.add(records(range(6)))
        index.compact()
        index.delete(["0"])
        read, late = columns.read, []

        def slow(path):
            content = read(path)
            if path.name == manifest and not late:
                late.append(path)
                index.compact()
            return content

        monkeypatch.setattr(columns, "read", slow)
        with Index.open(tmp_path, encoder) as reading:
            assert late
            assert reading.search("word3", rankers="maxsim")[0].id == "3"
            assert reading.size().documents == 5


def test_bytes_are_counted_while_another_removes_files(tmp_path, monkeypatch):
    (tmp_path / "stays").write_bytes(b"four")
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda top: [(r, d, [*n, "gone"]) for r, d, n in walk(top)])
    assert columns.size_of(tmp_path) == 4


@contextlib.contextmanager
def full_disk(limit):
    """No file may grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("extra", [0, 3000, 30_000])
def test_a_full_disk_leaves_the_last_commit(tmp_path, encoder, extra):
    with Index(tmp_path / "idx", encoder) as index:
        index.add(records(range(20)))
        held = max(path.stat().st_size for path in index.path.rglob("*"))
        with full_disk(held + extra), pytest.raises(StoreError, match="last committed"):
            index.add(records(range(100, 3000)))
        known = set(index.ids())
        assert {str(number) for number in range(20)} <= known
        assert index.search("word3", rankers="maxsim")[0].id == "3"
        assert index.add(records([5000])).added == 1
    assert "5000" in assert_sound(tmp_path / "idx", encoder)


@pytest.mark.parametrize(
    ("before", "change"), [("size", "compact"), ("size", "compress"), ("compress", "compact")]
)
def test_a_disk_too_full_to_write_anew_leaves_all_as_it_was(tmp_path, encoder, before, change):
    with Index(tmp_path / "idx", encoder) as index:
        index.add(records(range(30)))
        getattr(index, before)()
        index.delete(["0"])
        with full_disk(4000), pytest.raises(StoreError, match="last committed"):
            getattr(index, change)()
        assert index.search("word3", rankers="maxsim")[0].id == "3"
        assert index.add(records([5000])).added == 1
    assert set(assert_sound(tmp_path / "idx", encoder)) == {*map(str, range(1, 30)), "5000"}


def test_an_index_of_a_newer_version_is_refused(tmp_path, encoder):
    with Index(tmp_path, encoder) as index:
        index.add(records(range(3)))
    for name in ("index.json", "tokens/manifest.json"):
        path = tmp_path / name
        before = path.read_text()
        path.write_text(json.dumps({**json.loads(before), "format": 99}))
        with pytest.raises(StoreError, match=f"{name}: has format 99.*update tokenry"):
            Index.open(tmp_path, encoder)
        path.write_text(before)
    assert_sound(tmp_path, encoder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokens/000001/tokens.f16", b"short", "holds 5 bytes"),
        ("tokens/manifest.json", b"{", "is damaged"),
        ("tokens/manifest.json", b'{"format": 1}', "is damaged"),
        ("index.json", b"[]", "is damaged"),
        ("documents.sqlite3", b"no database at all" * 100, r"damaged \(.*not a database"),
        ("tokens/manifest.json", None, "No such file .* is damaged; take it from a backup"),
    ],
)
def test_damage_is_named(tmp_path, encoder, name, content, message):
    with Index(tmp_path, encoder) as index:
        index.add(records(range(3)))
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(StoreError, match=message):
        Index.open(tmp_path, encoder)


def test_lost_tokens_are_named(tmp_path, encoder):
    with Index(tmp_path, encoder) as index:
        index.add(records(range(3)))
    shutil.rmtree(tmp_path / "tokens")
    with pytest.raises(StoreError, match="the tokens of 3 documents are lost"):
        Index(tmp_path, encoder)


@pytest.mark.skipif(os.name == "nt", reason="has no users that may only read")
def test_a_folder_that_cannot_be_written_is_searched(encoder, not_root):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        path = Path(folder) / "idx"
        with Index(path, encoder) as index:
            index.add(records(range(3)))
        for one in (*path.rglob("*"), path, path.parent):
            one.chmod(0o555 if one.is_dir() else 0o444)
        with not_root():
            with Index.open(path, encoder) as index:
                assert index.search("word2")[0].id == "2"
            with pytest.raises(StoreError, match="Permission denied"):
                Index(path, encoder)
        for one in (path.parent, path, *path.rglob("*")):
            one.chmod(0o700)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="counts peaks as Linux does")
def test_a_search_holds_a_small_part_of_a_large_index(tmp_path):
    import numpy as np
    import torch

    from tokenry.index.segments import SegmentStore
    from tokenry.ops.ragged import Ragged, offsets

    def peak():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

    shape = store.Shape(128)
    with SegmentStore(tmp_path, shape, write=True) as held:
        rows = torch.randn(1 << 15, 128).half()
        block = Ragged(rows, offsets([128] * 256))
        for part in range(8):
            held.add(np.arange(part * 256 + 1, part * 256 + 257), block)
        held.commit()
        query = torch.randn(16, 128)
        held.maxsim(query, 10, np.arange(1, 200))
        megabytes = held.size().bytes / 2**20
        Path("/proc/self/clear_refs").write_text("5")
        before = peak()
        assert len(held.maxsim(query, 10)) == 10
        assert megabytes > 60
        assert peak() - before < megabytes / 2
