"""Bars: who asks for them, and that one answer holds for all within."""

from __future__ import annotations

import inspect

import pytest
from tqdm import tqdm

import tokenry
from tokenry.progress import showing, shown, track
from tokenry.tables.settings import Settings

LASTING = {
    *("aggregate", "audit", "chunks", "classify_pairs", "compare", "dedupe", "evaluate", "link"),
    *("merge", "probe", "transform_rows", "tune", "tune_classifier"),
}


def arguments(verb):
    named = set(inspect.signature(getattr(tokenry, verb)).parameters)
    return named | set(Settings.__annotations__ if "settings" in named else ())


@pytest.mark.parametrize("verb", sorted(LASTING))
def test_a_verb_that_lasts_can_be_told_to_show_bars_or_none(verb):
    assert "progress" in arguments(verb)


def test_what_is_said_further_in_counts_and_none_says_nothing():
    assert not shown()  # a test has no terminal
    with showing(True):
        assert shown()
        with showing(None):
            assert shown()
        with showing(False):
            assert not shown()
        assert shown()
    assert not shown()


def test_an_error_leaves_it_as_it_was():
    with pytest.raises(KeyError), showing(True):
        raise KeyError
    assert not shown()


@pytest.mark.parametrize("progress", [True, False])
def test_bars_deep_inside_obey(progress, monkeypatch):
    given = []

    def noted(*over, **more):
        given.append(more)
        return tqdm(*over, **more)

    monkeypatch.setattr("tqdm.tqdm", noted)
    table = {"name": ["Ada L.", "Alan T.", "ada l"]}

    def own(text):
        return text.lower()

    tokenry.dedupe(table, on="name", method="exact", normalise=own, progress=progress)
    assert {one["disable"] for one in given} == {not progress}
    assert len(given) > 1


def test_a_bar_waits_and_goes(capsys):
    with showing(True):
        assert list(track(range(3), "counting")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
