"""Names in texts: offsets, the longest match, what is ambiguous; and windows around them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops.group_best import group_best
from tokenry.ops.mentions import Names, window

pytest.importorskip("ahocorasick")


def brute(names, text):
    """Every stretch that is a name and no part of a word, the longest first, none overlapping."""
    spans = [
        (start, end)
        for start in range(len(text))
        for end in range(start + 1, len(text) + 1)
        if text[start:end] in names
        and not (start and text[start - 1].isalnum() and text[start].isalnum())
        and not (end < len(text) and text[end].isalnum() and text[end - 1].isalnum())
    ]
    taken = []
    for start, end in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
        if all(end <= s or e <= start for s, e in taken):
            taken.append((start, end))
    return sorted(taken)


@given(
    st.lists(st.text(alphabet="ab -", min_size=1, max_size=5), max_size=8),
    st.text(alphabet="ab -", max_size=40),
)
@settings(deadline=None)
def test_what_is_found_by_brute_force(names, text):
    found = Names([[name] for name in names]).find(text)
    assert [(start, end) for start, end, _ in found] == brute(set(names), text)
    for start, end, meant in found:
        assert [names[entity] for entity in meant] == [text[start:end]] * len(meant)


def test_all_that_a_name_may_mean_is_named():
    names = Names([["Paris", "Lutetia"], ["Paris"], [""]])
    assert [one.entities for one in names.find("Lutetia is Paris")] == [(0,), (0, 1)]


def test_scripts_without_spaces_are_searched_within_runs():
    names = Names([["東京"], ["กรุงเทพ"], ["Rome"]])
    assert [one.entities for one in names.find("私は東京に住む")] == [(0,)]
    assert [one.entities for one in names.find("อยู่กรุงเทพนะ")] == [(1,)]
    assert names.find("Romeo") == names.find("aRome") == []
    assert [one[:2] for one in names.find("😀Rome")] == [(1, 5)]


def test_no_names_find_nothing():
    assert Names([]).find("anything") == Names([[""]]).find("anything") == []


@given(st.text(alphabet="ab \n", min_size=1, max_size=60), st.data())
@settings(deadline=None)
def test_a_window_never_cuts_the_mention(text, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    words = data.draw(st.integers(0, 5))
    before, mention, after = window(text, start, end, words)
    assert mention == text[start:end]
    assert text.find(before + mention + after) >= 0
    sides = ((before, text[:start]), (after, text[end:]))
    for part, whole in sides:
        assert len(re.findall(r"\S+", part)) == min(words, len(re.findall(r"\S+", whole)))


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (2, 2), (0, 9)])
def test_a_mention_lies_in_its_text(start, end):
    with pytest.raises(UsageError, match="lies in its text"):
        window("a text", start, end, 3)


@given(st.integers(0, 6), st.integers(1, 5), st.integers(0, 999))
@settings(deadline=None)
def test_the_best_of_a_group_by_brute_force(columns, count, seed):
    draw = np.random.default_rng(seed)
    owner = np.sort(draw.integers(0, count, columns))
    scores = draw.normal(size=(3, columns))
    best = group_best(scores, owner, count)
    for group in range(count):
        own = scores[:, owner == group]
        if own.shape[1]:
            assert np.array_equal(best[:, group], own.max(1))
        else:
            assert np.isnan(best[:, group]).all()
