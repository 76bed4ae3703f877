"""Rows as weighted sums, shared tokens, and the plain baselines."""

from __future__ import annotations

import torch

from tokenry.method import Embeddings, Origin
from tokenry.method.blends import blended, shared
from tokenry.vocab import LexicalCopy, MeanRows, RandomRows


def test_blends_are_weighted_sums_in_input_output_and_bias(moves):
    one = moves.move(moves.words(*moves.old), moves.words(*moves.new[:4]))
    made = blended(one, [[(3, 1.0)], [(0, 0.25), (5, 0.75)], (), [(2, 0.5)]])
    for table, old in zip(moves.tables(made), moves.given(one), strict=True):
        assert torch.equal(table[0], old[3])
        assert torch.allclose(table[1], 0.25 * old[0] + 0.75 * old[5])
        assert torch.allclose(table[3], 0.5 * old[2])
    assert made.origin.tolist() == [Origin.COPIED, Origin.MIXED, Origin.DRAWN, Origin.MIXED]
    assert made.parents == [[3], [0, 5], [], [2]]


def test_drawn_rows_have_the_moments_of_the_real_rows(moves):
    one = moves.move(moves.words(*moves.old), moves.words(*map(str, range(20_000))))
    made = RandomRows().rows(one)
    for table, old in zip(moves.tables(made), moves.given(one), strict=True):
        real = old[: len(moves.old)]  # the last two rows belong to no token
        assert torch.allclose(table.mean(0), real.mean(0), atol=0.05)
        assert torch.allclose(table.std(0), real.std(0, correction=0), atol=0.05)
    again = RandomRows().rows(one)
    assert torch.equal(made.embeddings.input, again.embeddings.input)
    other = RandomRows().rows(moves.move(one.source, one.target, seed=1))
    assert not torch.equal(made.embeddings.input, other.embeddings.input)


def test_tied_rows_stay_tied_and_keep_their_precision(moves):
    tied = Embeddings(input=moves.rows(8).bfloat16())
    made = blended(
        moves.move(moves.words(*moves.old), moves.words("one"), embeddings=tied), [[(1, 1.0)]]
    )
    assert made.embeddings.output is None
    assert made.embeddings.bias is None
    assert torch.equal(made.embeddings.input[0], tied.input[1])


def test_shared_tokens_spell_the_same_the_space_included(moves):
    old, new = moves.letters(("a", "b"), ("Ġ", "a")), moves.letters(("Ġ", "a"), ("c", "d"))
    ids = {piece: token for token, piece in enumerate(new.pieces)}
    found = shared(old, new)
    assert old.pieces[found[ids["Ġa"]]] == "Ġa"
    assert ids["cd"] not in found
    assert len(found) == 257


def test_mean_rows_are_the_mean_of_the_real_rows(moves):
    one = moves.move(moves.words(*moves.old), moves.words(*moves.new))
    for table, old in zip(moves.tables(MeanRows().rows(one)), moves.given(one), strict=True):
        assert torch.allclose(table, old[: len(moves.old)].mean(0).expand_as(table))


def test_lexical_copy_copies_what_is_shared_and_draws_the_rest(moves):
    one = moves.move(moves.words(*moves.old), moves.words("zwei", "two", "one"))
    made = LexicalCopy().rows(one)
    assert torch.equal(made.embeddings.input[1:], one.embeddings.input[[1, 0]])
    assert made.origin.tolist() == [Origin.DRAWN, Origin.COPIED, Origin.COPIED]
