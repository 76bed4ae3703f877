"""Comparisons of drafters: the same text in fewer passes, and who proposed what."""

from __future__ import annotations

import numpy as np
import pytest

from tokenry.compare.run import compare
from tokenry.compare.tasks import Writing
from tokenry.decoding import PromptLookup
from tokenry.errors import UsageError
from tokenry.report.written import tokens_per_pass

LOOKUP = PromptLookup(budget=6)


@pytest.fixture
def results(language, texts):
    return compare(
        language(),
        [LOOKUP, "token-recycling(budget=4)"],
        texts(4),
        task=Writing(new_tokens=24),
        progress=False,
    )


def test_drafters_write_what_the_model_writes(results):
    whole, *drafted = results.summary()
    assert (whole.method, whole.figures["passes"], whole.figures["accepted"]) == ("none", 1, 0)
    assert {s.method for s in drafted} == {"prompt-lookup(budget=6)", "token-recycling(budget=4)"}
    for summary in drafted:
        assert summary.keep == 1
        assert summary.score.value == 1
        assert summary.verdict == "identical"
        assert 0 < summary.figures["passes"] < 1
        assert summary.figures["accepted"] > 0


def test_each_token_has_a_proposer_and_a_pass(results):
    for picture in results.pictures(worst=4):
        drafted, passes = picture.groups
        assert picture.groups.shape == (2, 24)
        assert passes[0] == 0
        assert not drafted[0]
        assert set(np.diff(passes)) <= {0, 1}
        # The model itself adds one token in each pass, unless the text ended inside a draft.
        own = np.bincount(passes[drafted == 0])
        assert (own[:-1] == 1).all()


def test_the_code_of_a_drafter_has_no_dial(results):
    code = results.code("token-recycling(budget=4)")
    assert "tokenry.attach(model, 'token-recycling', budget=4)" in code
    assert "keep" not in code


def test_drafters_and_caches_are_compared_apart(language, texts):
    with pytest.raises(UsageError, match=r"snapkv is a cache method, but .* language model that"):
        compare(language(), [LOOKUP, "snapkv"], texts(2), progress=False)
    with pytest.raises(UsageError, match="the tasks that fit it are writing"):
        compare(language(), [LOOKUP], texts(2), task="perplexity", progress=False)


def test_prompts_that_do_not_fit_are_refused(language, texts):
    with pytest.raises(UsageError, match=r"the shortest prompt has \d+ tokens, more than the 20"):
        compare(language(), [LOOKUP], texts(2), task=Writing(max_tokens=20), progress=False)


def test_tokens_per_pass_by_position():
    one = np.array([[0, 0, 1, 1, 0, 1], [0, 1, 1, 1, 2, 2]], dtype=np.int16)
    later = np.arange(10, dtype=np.int16)
    two = np.stack([np.zeros(10, np.int16), later])
    assert tokens_per_pass([one]) == [2.0]
    assert tokens_per_pass([one, two]) == [pytest.approx((1 + 3 + 2 + 8) / 11), 1.0]
