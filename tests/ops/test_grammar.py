"""Grammars: likelihoods against every tree, and a planted grammar that is learned again."""

import itertools

import numpy as np
import pytest
import torch

from tokenry.ops.grammar import PRIOR, Grammar, bits_of_order, learn, likelihoods


def drawn(branching=2, writing=2, tokens=3, seed=0):
    source = torch.Generator().manual_seed(seed)
    symbols = branching + writing
    return Grammar(
        torch.rand(branching, generator=source).softmax(0).log(),
        torch.rand(branching, symbols * symbols, generator=source)
        .softmax(1)
        .log()
        .view(branching, symbols, symbols),
        torch.rand(writing, tokens, generator=source).softmax(1).log(),
    )


def by_trees(grammar, symbol, row):
    """The probability of a row under a symbol, tree by tree."""
    branching = len(grammar.root)
    if len(row) == 1:
        return 0.0 if symbol < branching else float(grammar.words[symbol - branching, row[0]].exp())
    if symbol >= branching:
        return 0.0
    symbols = range(grammar.rules.shape[1])
    return sum(
        float(grammar.rules[symbol, a, b].exp())
        * by_trees(grammar, a, row[:cut])
        * by_trees(grammar, b, row[cut:])
        for cut in range(1, len(row))
        for a, b in itertools.product(symbols, symbols)
    )


@pytest.mark.parametrize("row", [(0, 1), (2, 2, 0), (1, 0, 2, 1)])
def test_a_likelihood_is_the_sum_over_all_trees(row):
    grammar = drawn()
    expected = sum(float(p.exp()) * by_trees(grammar, s, row) for s, p in enumerate(grammar.root))
    found = likelihoods(grammar, torch.tensor([row, row]))
    assert found.exp() == pytest.approx([expected] * 2, rel=1e-5)


def test_every_round_of_learning_fits_better():
    rows = [torch.randint(0, 4, (20, 5), generator=torch.Generator().manual_seed(1))]
    fits = []
    for rounds in range(6):
        grammar = learn(rows, 4, branching=2, writing=3, rounds=rounds)
        prior = PRIOR * sum(part.sum() for part in (grammar.root, grammar.rules, grammar.words))
        fits.append(float(likelihoods(grammar, rows[0]).sum() + prior))
    assert fits == sorted(fits)
    assert fits[-1] > fits[0] + 1


def test_bits_are_given_the_length_and_no_less_than_the_entropy():
    rows = np.random.default_rng(0).integers(0, 2, (60, 8))
    own, shuffled = bits_of_order(list(rows), branching=2, rounds=5)
    assert 1 - 0.02 < own < 1.15
    assert own == pytest.approx(shuffled, abs=0.1)
