"""The byte trie against loops over the tokens."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.ops.byte_trie import ByteTrie

MANY = settings(deadline=None, max_examples=60)
TOKENS = st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=12)
FEW = st.lists(st.text("ab", min_size=1, max_size=3).map(str.encode), min_size=1, max_size=5)


def walked(trie, text):
    node = trie.root
    for byte in text:
        node = trie.child(node, byte)
        if not node:
            break
    return node


@MANY
@given(TOKENS, st.binary(max_size=4))
def test_a_node_holds_the_tokens_that_begin_with_its_bytes(tokens, text):
    trie = ByteTrie(dict(enumerate(tokens)))
    node = walked(trie, text)
    ids = sorted(trie.ids[node.rows].tolist())
    assert ids == [i for i, token in enumerate(tokens) if token.startswith(text)]
    if node:
        assert [trie.spelled[row] for row in trie.ends(node)] == [text] * tokens.count(text)


@MANY
@given(TOKENS, st.binary(max_size=2))
def test_following_sums_by_the_next_byte(tokens, text):
    trie = ByteTrie(dict(enumerate(tokens)))
    mass = np.random.default_rng(0).random(len(tokens))
    expected = np.zeros(256)
    for row, spelled in enumerate(trie.spelled):
        if spelled.startswith(text) and len(spelled) > len(text):
            expected[spelled[len(text)]] += mass[row]
    node = walked(trie, text)
    if node:
        np.testing.assert_allclose(trie.following(node, mass), expected)


@MANY
@given(TOKENS)
def test_apart_is_what_no_token_has_inside(tokens):
    trie = ByteTrie(dict(enumerate(tokens)))
    rows = np.arange(len(tokens))
    for byte in {b for token in tokens for b in token}:
        expected = [
            not any(bytes([byte, spelled[0]]) in token for token in tokens)
            for spelled in trie.spelled
        ]
        assert trie.apart(byte, rows).tolist() == expected


def crossed(tokens, text):
    """Places inside a text, or at its end, that some token may stand across."""
    found = set()
    for start in range(len(text)):
        for token in tokens:
            rest = text[start:]
            if token.startswith(rest) and len(token) > len(rest):
                found |= set(range(start + 1, len(text) + 1))
            elif rest.startswith(token):
                found |= set(range(start + 1, start + len(token)))
    return found


@MANY
@given(FEW, st.text("ab", max_size=8).map(str.encode))
def test_boundary_is_the_last_place_that_no_token_crosses(tokens, text):
    trie = ByteTrie(dict(enumerate(tokens)))
    for last in range(len(text) + 1):
        free = [p for p in range(last + 1) if p not in crossed(tokens, text)]
        assert trie.boundary(text, last) == max(free)


def test_tokens_that_are_spelled_alike_are_all_there():
    trie = ByteTrie({5: b"a", 3: b"a", 4: b"ab"})
    assert trie.ids[list(trie.ends(trie.child(trie.root, ord("a"))))].tolist() == [3, 5]


def test_a_byte_that_begins_no_token_leads_nowhere():
    assert not ByteTrie({0: b"a"}).child(ByteTrie({0: b"a"}).root, ord("b"))


def test_tokens_without_bytes_have_no_row():
    assert len(ByteTrie({0: b"", 1: b"a"}).ids) == 1


@pytest.mark.parametrize("byte", [0, 255])
def test_the_outermost_bytes_are_found(byte):
    trie = ByteTrie({0: bytes([byte]), 1: b"a"})
    assert trie.ids[trie.child(trie.root, byte).rows].tolist() == [0]
