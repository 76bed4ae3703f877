"""Prompt lookup against a search by hand."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from tokenry.decoding import PromptLookup
from tokenry.method import DraftView


def draft(text, count, ngram=3):
    view = DraftView(torch.tensor(text), torch.tensor(text), count, False, {}, {})
    return PromptLookup(ngram=ngram).draft(view)


def by_hand(text, count, ngram):
    """The longest match first, of these the latest; the copy may run into itself."""
    for n in range(ngram, 0, -1):
        for start in range(len(text) - n - 1, -1, -1):
            if text[start : start + n] == text[-n:]:
                copied = list(text)
                for i in range(count):
                    copied.append(copied[start + n + i])
                return copied[len(text) :]
    return []


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.integers(1, 9), st.integers(1, 4))
def test_it_copies_what_followed_the_last_match(text, count, ngram):
    tree = draft(text, count, ngram)
    expected = by_hand(text, count, ngram)
    assert tree.tokens.tolist() == expected
    assert tree.parents.tolist() == list(range(-1, len(expected) - 1))
    assert tree.probs is None


def test_a_longer_match_goes_before_a_later_one():
    assert draft([1, 2, 9, 5, 2, 7, 1, 2], 1).tokens.tolist() == [9]
