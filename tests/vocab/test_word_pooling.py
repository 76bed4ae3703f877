"""How text falls into words, and who sees whom, against loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tokenry.vocab import WordPooling

BLANK = b" \t\n\r\f\v"
LOSSLESS = st.binary(max_size=80) | st.text(alphabet="ab é雪\n\t", max_size=60).map(str.encode)


def words_by_hand(text, longest):
    """Byte by byte: does this one begin a new word?"""
    found = []
    for byte in text:
        word = found[-1] if found else b""
        blank, was_blank = byte in BLANK, bool(word) and word[-1] in BLANK
        joins = bool(word) and (word == b" " or was_blank == blank)
        if joins:
            found[-1] += bytes([byte])
        else:
            found.append(bytes([byte]))
    return [w[i : i + longest] for w in found for i in range(0, len(w), longest)]


@given(LOSSLESS, st.integers(1, 9))
def test_words_are_those_of_a_loop_over_bytes(text, longest):
    assert WordPooling(longest=longest).words(text) == words_by_hand(text, longest)


@given(LOSSLESS, st.integers(1, 9))
def test_nothing_is_lost(text, longest):
    words = WordPooling(longest=longest).words(text)
    assert b"".join(words) == text
    assert all(1 <= len(word) <= longest for word in words)


@given(LOSSLESS, LOSSLESS)
def test_what_follows_changes_no_word_but_the_last(text, more):
    """So a text can be read, and written, word by word."""
    words = WordPooling().words(text)
    assert WordPooling().words(text + more)[: max(0, len(words) - 1)] == words[:-1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", []),
        (b" ", [b" "]),
        (b"a b", [b"a", b" b"]),
        (b"a  b", [b"a", b"  ", b"b"]),
        (b"a\nb \n", [b"a", b"\n", b"b", b" \n"]),
        (b" abcdefgh", [b" abcd", b"efgh"]),
        (" 雪国".encode(), [b" \xe9\x9b\xaa\xe5", b"\x9b\xbd"]),
    ],
)
def test_words_of_known_texts(text, words):
    assert WordPooling(longest=5).words(text) == words


def test_encoder_mask_is_that_of_a_loop():
    method, real = WordPooling(prefix=2), torch.tensor([[1, 1, 0], [0, 0, 0]]).bool()
    mask = method.inside(real)
    for word in range(2):
        for q in range(5):
            for k in range(5):
                assert mask[word, q, k] == (k < 2 or real[word, k - 2])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_main_mask_is_that_of_a_loop(n):
    real = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]]).bool()
    mask = WordPooling(prefix=n).between(real)
    for row in range(2):
        for q in range(4 * n):
            for k in range(4 * n):
                own = q // n == k // n
                assert mask[row, q, k] == (own or (k // n < q // n and bool(real[row, k // n])))


def test_slots_of_a_word_stand_at_one_place():
    assert WordPooling(prefix=3).places(2, 4).tolist() == [2, 2, 2, 3, 3, 3]


def test_loss_is_the_mean_over_what_has_a_label():
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1, -100, 4], [0, 2, -100]])
    nats = []
    for i in range(2):
        for j in range(3):
            if labels[i, j] >= 0:
                row = [math.exp(x) for x in logits[i, j].tolist()]
                nats.append(math.log(sum(row) / row[labels[i, j]]))
    assert float(WordPooling().loss(logits, labels)) == pytest.approx(sum(nats) / 4, abs=1e-6)
