"""Aggressive decoding: where the source goes on, against loops."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tokenry.decoding import AggressiveDecoding
from tokenry.errors import UsageError
from tokenry.method import DraftView


def seen(text, source, count=1000):
    return DraftView(
        text=torch.tensor(text, dtype=torch.long),
        source=None if source is None else torch.tensor(source, dtype=torch.long),
        count=count,
        sampling=False,
        memory={},
        scratch={},
    )


def drafted(text, source, count=1000, **settings):
    tree = AggressiveDecoding(**settings).draft(seen(text, source, count))
    assert tree.parents.tolist() == list(range(-1, len(tree.tokens) - 1))
    assert tree.probs is None
    return tree.tokens.tolist()


def by_hand(text, source, longest):
    """What follows the first n-gram, from the shortest on, that something follows once only."""
    for n in range(1, longest + 1):
        if n > len(text):
            return []
        ends = [i + n for i in range(len(source) - n) if source[i : i + n] == text[-n:]]
        if len(ends) < 2:
            return source[ends[0] :] if ends else []
    return []


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=20),
    st.lists(st.integers(0, 3), max_size=30),
    st.integers(1, 4),
)
def test_lookup_is_that_of_loops(text, source, longest):
    tokens = torch.tensor(source, dtype=torch.long)
    start = AggressiveDecoding(longest=longest).rejoin(tokens, torch.tensor(text))
    assert source[start:] == by_hand(text, source, longest)


@given(st.lists(st.integers(1, 3), max_size=12), st.lists(st.integers(1, 3), max_size=12))
def test_a_text_goes_on_with_the_source_it_began_with(written, source):
    expected = by_hand([0, *written], source, 3)
    if source[: len(written)] == written:
        expected = source[len(written) :]
    assert drafted([0, *written], source) == expected


def test_cases_of_the_lookup():
    source = [5, 6, 7, 5, 8, 9]
    assert drafted([0, 6], source) == [7, 5, 8, 9]
    assert drafted([0, 5, 5], source) == []  # 5 twice, 5 5 never
    assert drafted([0, 7, 5], source) == [8, 9]
    assert drafted([0, 9], source) == []  # nothing follows
    assert drafted([0, 4], source) == []
    assert drafted([0, 6], source, count=2) == [7, 5]
    assert drafted([0, 1, 2, 3], [4, 1, 2, 3, 5, 4, 1, 2, 3, 6]) == []
    assert drafted([0, 7, 1], [1, 2, 7, 1, 3]) == [3]
    assert drafted([0, 7, 1], [1, 2, 7, 1, 3], longest=1) == []
    assert drafted([0, 4], []) == []


def test_a_prompt_is_its_own_source():
    """No place is sure where nothing is written; a marked span says where to begin."""
    prompt = [1, 2, 3, 10, 11, 12, 13, 4, 5]
    assert drafted(prompt, prompt) == []
    assert drafted([*prompt, 11], prompt) == [12, 13, 4, 5]
    assert drafted(prompt, prompt, span=(3, -2)) == [10, 11, 12, 13]
    assert drafted([*prompt, 10, 11], prompt, span=(3, -2)) == [12, 13]
    assert drafted([*prompt, 9, 11], prompt, span=(3, -2)) == [12, 13]
    assert drafted([*prompt, 9, 2], prompt, span=(3, -2)) == []


def test_no_source_is_refused():
    with pytest.raises(UsageError, match="reads no tokens of the vocabulary"):
        drafted([0], None)


@pytest.mark.parametrize("span", [(1,), (1, 2, 3)])
def test_a_span_is_two_numbers(span):
    with pytest.raises(UsageError, match=r"AggressiveDecoding: span=.* numbers; give two"):
        AggressiveDecoding(span=span)
