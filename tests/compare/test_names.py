"""`tokenry.compare` is a verb, and a folder that can still be imported from."""

from __future__ import annotations

import subprocess
import sys

import pytest

LINES = [
    "import tokenry",
    "from tokenry.compare import stats; import tokenry.compare.pareto",
]
EACH = """
import os, sys
import scipy.stats, torch, transformers.modeling_utils

for lines in sys.argv[1:]:
    child = os.fork()  # what others provide is imported once, ours in each process anew
    if not child:
        exec(lines + "\\nimport tokenry")
        assert tokenry.compare.__name__ == "compare"
        try:
            tokenry.compare("zoo:x", [], [])
        except tokenry.TokenryError as error:
            os.write(1, f"{error}\\n".encode())
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_the_verb_stays_whatever_is_imported():
    command = [sys.executable, "-c", EACH, *LINES]
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stdout.splitlines()
    assert len(said) == len(LINES), done.stderr
    assert all(line.startswith("compare: methods is empty") for line in said)


def test_the_folder_offers_its_names():
    from tokenry import compare as verb
    from tokenry.compare import Results, Task, VisionTask, compare

    assert verb is compare
    assert issubclass(VisionTask, Task)
    assert Results.__module__ == "tokenry.compare.results"
    with pytest.raises(ImportError, match="nonsense"):
        from tokenry.compare import nonsense  # noqa: F401
