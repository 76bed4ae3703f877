"""`tokenry.compare` is a verb, and a folder that can still be imported from."""

from __future__ import annotations

import pytest

VERB = """
import tokenry
assert tokenry.compare.__name__ == "compare"
try:
    tokenry.compare("zoo:x", [], [])
except tokenry.TokenryError as error:
    print(error)
"""


@pytest.mark.parametrize(
    "line",
    ["import tokenry", "from tokenry.compare import stats; import tokenry.compare.pareto"],
)
def test_the_verb_stays_whatever_is_imported(line, program, tmp_path):
    done = program(line + VERB, tmp_path)
    assert done.out.startswith("compare: methods is empty"), done.err


def test_the_folder_offers_its_names():
    from tokenry import compare as verb
    from tokenry.compare import Results, Task, VisionTask, compare

    assert verb is compare
    assert issubclass(VisionTask, Task)
    assert Results.__module__ == "tokenry.compare.results"
    with pytest.raises(ImportError, match="nonsense"):
        from tokenry.compare import nonsense  # noqa: F401
