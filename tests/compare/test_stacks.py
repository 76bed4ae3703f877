"""A drafter over a cache policy, compared like one method."""

from __future__ import annotations

import pytest

from tokenry.cache import StreamingLLM
from tokenry.compare.results import Results
from tokenry.compare.run import compare
from tokenry.compare.tasks import Writing
from tokenry.decoding import PromptLookup
from tokenry.errors import UsageError
from tokenry.report.page import html

LOOKUP = PromptLookup(budget=6)
STACK = "prompt-lookup(budget=6)+streaming-llm"
HALF = f"{STACK}(keep=0.5)"


def run(language, texts, methods, **settings):
    settings = {"task": Writing(new_tokens=24), "progress": False, "keep": (1, 0.5), **settings}
    return compare(language(), methods, texts(3), **settings)


def test_a_stack_has_a_row_for_each_keep_of_its_policy(language, texts, tmp_path):
    results = run(language, texts, [[LOOKUP, StreamingLLM()], LOOKUP], folder=tmp_path)
    rows = {s.method: s for s in Results.open(tmp_path).summary()}
    assert rows.keys() == {"none", f"{STACK}(keep=1.0)", HALF, "prompt-lookup(budget=6)"}
    assert rows[HALF].keep == 0.5
    assert rows[HALF].figures["passes"] < 1
    assert rows[HALF].score.value < 1, "a cut cache changes what is written"
    assert rows[f"{STACK}(keep=1.0)"].verdict == "identical"
    assert "Prompt lookup(budget=6) + StreamingLLM(keep=0.5)" in html(results)


@pytest.mark.parametrize("stack", [HALF, ["prompt-lookup(budget=6)", "streaming-llm(keep=.5)"]])
def test_a_stack_may_name_its_keep(language, texts, stack):
    results = run(language, texts, [stack])
    assert results.methods == (HALF,)
    code = results.code(HALF)
    assert "attach(model, ['prompt-lookup(budget=6)', 'streaming-llm(keep=0.5)'])" in code


def test_what_cannot_lie_under_drafts_is_skipped_with_its_reason(language, texts):
    results = run(language, texts, [LOOKUP, [LOOKUP, "tokenselect(keep=.5)"]])
    (skipped,) = results.skipped
    assert "each is a pass of its own" in skipped.reason


@pytest.mark.parametrize(
    "stack",
    ["snapkv+h2o", "prompt-lookup+token-recycling", "prompt-lookup+pitome", "snapkv+h2o+dyspec"],
)
def test_what_is_no_drafter_over_one_policy_is_refused(language, texts, stack):
    with pytest.raises(UsageError, match=r"the stack of .* cannot be combined"):
        run(language, texts, [stack])
