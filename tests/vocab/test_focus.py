"""FOCUS: the identity, the projection of cosines, and what it learns from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tokenry.errors import UsageError
from tokenry.method import Origin
from tokenry.vocab import Focus


def test_focus_with_one_tokenizer_is_the_identity(moves):
    one = moves.move(
        moves.words(*moves.old), moves.words(*moves.old), target_words=moves.random_words(moves.old)
    )
    made = Focus().rows(one)
    for table, old in zip(moves.tables(made), moves.given(one), strict=True):
        assert torch.equal(table, old[: len(moves.old)])


def test_focus_mixes_shared_tokens_by_the_projection_of_their_cosines(moves):
    learned = moves.random_words(("one", "two", "four", "neu", "anders"), seed=3)
    target = moves.words("neu", "two", "one", "five", "anders", "selten")
    one = moves.move(moves.words(*moves.old), target, target_words=learned)
    made = Focus().rows(one)
    fixed = ["one", "two"]  # four is no token of the target, five has no vector
    for token, piece in ((0, "neu"), (4, "anders")):
        a = learned.table[piece]
        scores = []
        for other in fixed:
            b = learned.table[other]
            scores.append(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
        gap = scores[0] - scores[1]
        weight = min(max((1 + gap) / 2, 0), 1)  # the projection of two numbers
        expected = weight * one.embeddings.input[0] + (1 - weight) * one.embeddings.input[1]
        assert torch.allclose(made.embeddings.input[token], expected, atol=1e-5)
    assert torch.equal(made.embeddings.input[3], one.embeddings.input[4])
    assert made.origin[5] == Origin.DRAWN


def test_focus_learns_from_the_targets_tokens(moves):
    seen = {}

    def learn(sentences, **settings):
        seen.update(settings, sentences=sentences)
        return moves.random_words(("one", "neu"))

    texts = ["one neu", "neu neu"]
    one = moves.move(
        moves.words(*moves.old), moves.words("neu", "one"), target_texts=texts, learn=learn, seed=7
    )
    Focus(width=6, least=2).rows(one)
    assert seen["sentences"] == [["one", "neu"], ["neu", "neu"]]
    assert (seen["width"], seen["epochs"], seen["least"], seen["seed"]) == (6, 3, 2, 7)


def test_focus_says_what_is_missing(moves):
    with pytest.raises(UsageError, match="share no token"):
        Focus().rows(moves.move(moves.words(*moves.old), moves.words(*moves.new)))
    with pytest.raises(UsageError, match="none was given"):
        Focus().rows(moves.move(moves.words(*moves.old), moves.words(*moves.old)))
    with pytest.raises(UsageError, match="no `learn`"):
        Focus().rows(
            moves.move(moves.words(*moves.old), moves.words(*moves.old), target_texts=["one"])
        )
