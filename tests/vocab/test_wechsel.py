"""WECHSEL: the identity, a planted turn, neighbours, and what is missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tokenry.errors import UsageError
from tokenry.method import Origin
from tokenry.vocab import Wechsel


def planted(moves, seed=0, width=6):
    """Vectors of both languages, the target's turned and reflected; nothing else differs."""
    generator = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(generator.normal(size=(width, width)))
    if np.linalg.det(turn) > 0:
        turn[:, 0] *= -1
    old = moves.random_words(moves.old, width, seed)
    table = zip(moves.new, old.vectors(moves.old) @ turn, strict=True)
    return old, moves.Words(dict(table)), turn


def test_wechsel_with_one_tokenizer_and_one_neighbour_is_the_identity(moves):
    known = moves.random_words(moves.old)
    one = moves.move(
        moves.words(*moves.old), moves.words(*moves.old), source_words=known, target_words=known
    )
    made = Wechsel(k=1, align=False).rows(one)
    for table, old in zip(moves.tables(made), moves.given(one), strict=True):
        assert torch.equal(table, old[: len(moves.old)])


def test_wechsel_recovers_a_planted_turn_and_with_it_the_translations(moves):
    old, new, turn = planted(moves)
    pairs = list(zip(moves.old, moves.new, strict=True))
    order = torch.randperm(len(moves.new), generator=torch.Generator().manual_seed(0)).tolist()
    target = moves.words(*(moves.new[i] for i in order))
    one = moves.move(
        moves.words(*moves.old), target, source_words=old, target_words=new, dictionary=pairs
    )
    assert np.abs(Wechsel()._rotation(one, old, new) - turn).max() < 1e-6
    made = Wechsel(k=1).rows(one)
    assert torch.equal(made.embeddings.input, one.embeddings.input[order])


def test_wechsel_mixes_the_nearest_by_the_softmax_of_their_cosines(moves):
    known = moves.random_words(moves.old)
    new = moves.random_words(("neu",), seed=9)
    one = moves.move(
        moves.words(*moves.old), moves.words("neu"), source_words=known, target_words=new
    )
    made = Wechsel(k=3, temperature=0.2, align=False).rows(one)
    a = new.table["neu"]
    cosines = {
        token: float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        for token, b in enumerate(known.table.values())
    }
    nearest = sorted(cosines, key=cosines.get, reverse=True)[:3]
    weights = np.exp([cosines[token] / 0.2 for token in nearest])
    weights /= weights.sum()
    expected = sum(
        weight * one.embeddings.input[token]
        for weight, token in zip(weights.tolist(), nearest, strict=True)
    )
    assert torch.allclose(made.embeddings.input[0], expected, atol=1e-5)
    assert made.parents == [nearest]


def test_wechsel_draws_tokens_without_a_vector_and_never_takes_such_parents(moves):
    known = moves.random_words(moves.old[:4])
    one = moves.move(
        moves.words(*moves.old), moves.words("one", "neu"), source_words=known, target_words=known
    )
    made = Wechsel(align=False).rows(one)
    assert made.origin.tolist() == [Origin.MIXED, Origin.DRAWN]
    assert sorted(made.parents[0]) == [0, 1, 2, 3]


def test_wechsel_by_words_weighs_the_words_that_a_token_is_part_of(moves):
    target = moves.letters(("a", "b"))
    known = moves.Words(
        {"ab": np.array([1.0, 0.0]), "abc": np.array([0.0, 1.0])}, {"ab": 3, "abc": 1}
    )
    one = moves.move(target, target, source_words=known, target_words=known)
    made = Wechsel(by="words", k=2, align=False).rows(one)
    ab, c, space = (target.pieces.index(piece) for piece in ("ab", "c", "Ġ"))
    assert set(made.parents[ab]) == {ab, space}  # both (3, 1)
    assert made.parents[c][0] == c  # (0, 1)
    assert made.origin[target.pieces.index("z")] == Origin.DRAWN


def test_wechsel_tries_small_and_capital_letters(moves):
    old, new, _ = planted(moves)
    pairs = [(a.upper(), b.title()) for a, b in zip(moves.old, moves.new, strict=True)]
    one = moves.move(
        moves.words(*moves.old),
        moves.words(*moves.new),
        source_words=old,
        target_words=new,
        dictionary=pairs,
    )
    assert torch.equal(
        Wechsel(k=1).rows(one).embeddings.input, one.embeddings.input[: len(moves.old)]
    )


def test_wechsel_says_what_is_missing(moves):
    old, new, _ = planted(moves)
    vectors = {"source_words": old, "target_words": new}
    with pytest.raises(UsageError, match=r"none of 1 translations.*identical=True"):
        Wechsel().rows(
            moves.move(
                moves.words(*moves.old),
                moves.words(*moves.new),
                dictionary=[("cat", "Katze")],
                **vectors,
            )
        )
    vectors["target_words"] = moves.random_words(moves.new, 7)
    with pytest.raises(UsageError, match="6 numbers, the target's 7"):
        Wechsel().rows(moves.move(moves.words(*moves.old), moves.words(*moves.new), **vectors))
    with pytest.raises(UsageError, match="source_texts and source_words are both empty"):
        Wechsel().rows(moves.move(moves.words(*moves.old), moves.words(*moves.new)))
