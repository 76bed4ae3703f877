"""`kill -9` at random moments, then the same call again: the same table, no row twice."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from tokenry.compare.results import Results
from tokenry.compare.store import FILE

# Starts once, then forks: each line of input is a folder to compare into, in a child of its own.
COMPARE = """
import os, sys
import numpy as np
import torch
from PIL import Image
from transformers import ViTImageProcessorPil
from tokenry.checks.models import tiny
from tokenry.compare.run import compare
from tokenry.compare.store import Store
from tokenry.zoo import Loaded

def commit(self, after=0.0, plain=Store.commit):
    plain(self, after=after)
    if after == 0:
        print("batch", flush=True)

Store.commit = commit
torch.set_num_threads(1)
model = Loaded(tiny("vit"), ViTImageProcessorPil(size={"height": 32, "width": 32}))
pixels = np.random.default_rng(0).integers(0, 256, (80, 32, 32, 3), dtype=np.uint8)
pictures = [(Image.fromarray(p), f"kind {i % 4}") for i, p in enumerate(pixels)]
for line in sys.stdin:
    child = os.fork()
    if not child:
        found = compare(model, ["tome", "random"], pictures, keep=(1, 0.5), batch_size=4,
                        task=["agreement", "probe"], folder=line.strip(), progress=False)
        os._exit(0 if found.complete else 1)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Children:
    """Comparisons in processes that may be killed."""

    def __init__(self):
        command = [sys.executable, "-c", COMPARE]
        pipe = subprocess.PIPE
        self._server = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def run(self, folder, batches=10**9, delay=0.0):
        """Exit status of a comparison that is killed some time after some batches."""
        print(folder, file=self._server.stdin, flush=True)
        child = int(self._server.stdout.readline())
        while (line := self._server.stdout.readline()) == "batch\n":
            batches -= 1
            if batches == 0:
                time.sleep(delay)
                with suppress(ProcessLookupError):  # it was done already
                    os.kill(child, signal.SIGKILL)
        return int(line)

    def close(self):
        self._server.stdin.close()
        self._server.wait(30)
        self._server.stdout.close()


@pytest.fixture
def children():
    children = Children()
    yield children
    children.close()


def clockless(folder):
    return {
        (r.task, r.method, r.keep, r.example): (r.score, r.scores, r.tokens)
        for r in Results.open(folder).rows()
    }


@pytest.mark.slow
def test_a_killed_comparison_goes_on_where_it_stopped(tmp_path, children):
    assert children.run(tmp_path / "whole") == 0
    whole = clockless(tmp_path / "whole")
    moment, kept, counts = random.Random(0), {}, []
    while status := children.run(tmp_path / "killed", moment.randint(1, 6), moment.random() / 10):
        assert status == -signal.SIGKILL
        rows = Results.open(tmp_path / "killed").rows()
        seconds = {(r.task, r.method, r.keep, r.example): r.seconds for r in rows}
        # What was there stays as it was measured: only gaps are computed.
        assert {key: seconds[key] for key in kept} == kept
        kept = seconds
        counts.append(len(rows))
    assert len([n for n in counts if 0 < n < len(whole)]) >= 3, counts
    assert clockless(tmp_path / "killed") == whole
    connection = sqlite3.connect(tmp_path / "killed" / FILE)
    assert connection.execute("SELECT count(*) FROM rows").fetchall() == [(len(whole),)]
    connection.close()
