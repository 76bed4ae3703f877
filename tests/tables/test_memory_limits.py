"""A process that runs out of memory says where, and loses nothing that was finished."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

import tokenry

pytest.importorskip("resource")
MARGIN = 100 << 20  # bytes: enough to read and to block, too few to weigh 4.8 million grams
PROGRAM = """
import resource
import sys
from tokenry.cli import main

words = ["--on", "name", "--block", "code", "--method", "char-ngrams", "--memory", "100MB"]
main(["link", "small.csv", "small.csv", *words])  # loads all packages
if len(sys.argv) > 1:
    lines = open("/proc/self/status").read().splitlines()
    held = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:"))
    most = held + int(sys.argv[1]), resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_DATA, most)
print("begins", flush=True)
files = ["--folder", "run", "--pairs", "pairs.csv", "--json"]
sys.exit(main(["link", "left.csv", "right.csv", *words, *files]))
"""


@pytest.fixture
def files(tmp_path):
    """Two tables of 40,000 rows with long names, and a program that links them."""
    draw = Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz "
    names = ["".join(draw.choices(letters, k=60)) for _ in range(40_000)]
    rows = {
        "left": [f"{name},{i // 2}" for i, name in enumerate(names)],
        "right": [f"{name[:-3]},{i // 2}" for i, name in enumerate(names)],
        "small": ["abc,1", "abd,1"],
    }
    for name, lines in rows.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(["name,code", *lines, ""]))
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def run(files, *words):
    command = [sys.executable, "program.py", *map(str, words)]
    return subprocess.run(command, cwd=files, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the limit counts on Linux")
def test_a_limit_of_the_process_is_said_and_nothing_finished_is_lost(files):
    stopped = run(files, MARGIN)
    assert stopped.returncode == 2
    assert "memory of this process does not suffice for the stage 'scored'" in stopped.stderr
    assert "what is finished stays in run" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not (files / "pairs.csv").exists()
    again = run(files)
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout.partition("begins\n")[2])
    kept = [one["name"] for one in found["stages"] if one["kept"]]
    assert kept == ["normalise-left", "normalise-right", "candidates"]
    both = files / "left.csv", files / "right.csv"
    whole = tokenry.link(*both, "name", block="code", method="char-ngrams")
    whole.write_pairs(files / "whole.csv")
    assert found["links"] == len(whole) == 40_000
    assert (files / "pairs.csv").read_text() == (files / "whole.csv").read_text()
