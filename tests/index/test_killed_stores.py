"""Indexes with other stores than segments after kill -9, in real processes."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tokenry import Index

CHILD = """
import sys
sys.path.insert(0, {here!r})
from conftest import Words
from tokenry import Index
from tokenry.index import graph
graph.TAIL = 50  # nearly every commit takes tokens into the graph
path, store = sys.argv[1:]
with Index(path, Words(), store=store) as index:
    index.add([{{"id": str(i), "text": f"first word{{i}}"}} for i in range(20)])
    print("ready", flush=True)
    for version in range(10_000):
        index.add([{{"id": str(version % 20), "text": f"version{{version}} word{{version % 20}}"}}])
        if version % 3 == 2:
            index.compact()
"""


@pytest.mark.slow
@pytest.mark.parametrize("store", ["lance", "graph"])
def test_a_killed_process_leaves_a_sound_index(store, tmp_path, encoder):
    code = CHILD.format(here=str(Path(__file__).parent))
    for moment in (0.2, 0.7):
        process = subprocess.Popen(
            [sys.executable, "-c", code, tmp_path, store], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "ready\n"
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with Index.open(tmp_path, encoder) as index:  # as it was left
            assert index.search("word7", rankers="maxsim")[0].id == "7"
        with Index(tmp_path, encoder) as index:
            assert sorted(index.ids(), key=int) == [str(i) for i in range(20)]
            for i in range(20):
                hits = index.search(f"word{i}", k=30, rankers="maxsim")
                assert hits[0].id == str(i)
                assert len({hit.id for hit in hits}) == len(hits)
            index.compact()
            assert index.size().documents == len(index) == 20
            assert index.search("word7", rankers="xtr")[0].id == "7"
