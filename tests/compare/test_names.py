"""`tokenry.compare` is a verb, and a folder that can still be imported from."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "lines",
    [
        "import tokenry",
        "from tokenry.compare import stats; import tokenry.compare.pareto",
    ],
)
def test_the_verb_stays_whatever_is_imported(lines):
    probe = f"{lines}\nimport tokenry\nassert tokenry.compare.__name__ == 'compare'\n"
    probe += "tokenry.compare('zoo:x', [], [])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert "UsageError: compare: methods is empty" in done.stderr.splitlines()[-1]


def test_the_folder_offers_its_names():
    from tokenry import compare as verb
    from tokenry.compare import Results, Task, VisionTask, compare

    assert verb is compare
    assert issubclass(VisionTask, Task)
    assert Results.__module__ == "tokenry.compare.results"
    with pytest.raises(ImportError, match="nonsense"):
        from tokenry.compare import nonsense  # noqa: F401
