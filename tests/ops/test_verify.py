"""Acceptance-rejection by enumeration: over all draws the output is the model's distribution."""

import itertools

import numpy as np
import pytest
import torch

from tokenry.ops.verify import choose


class Coin:
    """Stands for a number from [0, 1): each comparison branches, and is weighed."""

    def __init__(self, script):
        self.script, self.weight, self.asked = list(script), 1.0, 0

    def __call__(self):
        return self

    def __lt__(self, chance):
        passes = self.script[self.asked]
        self.asked += 1
        self.weight *= chance if passes else 1 - chance
        return passes


def outcomes(p, candidates, r):
    """Every way that `choose` can go, with its probability."""
    for refused in range(len(candidates) + 1):
        coin = Coin([False] * refused + [True])
        passed, rest = choose(p, candidates, r, coin)
        if coin.weight > 0:
            yield coin.weight, passed, rest


def draws(r, k):
    """Every ordered draw of `k` tokens without putting back, with its probability."""
    for tokens in itertools.permutations(range(len(r)), k):
        weight, rest = 1.0, r.clone()
        for y in tokens:
            if rest.sum() <= 0:
                weight = 0.0
                break
            weight *= float(rest[y] / rest.sum())
            rest[y] = 0
        if weight > 0:
            yield weight, tokens


def distribution(seed, zeros=0, v=4):
    made = torch.rand(v, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) ** 3
    made[:zeros] = 0
    return made / made.sum()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("k", [1, 2, 3])
def test_drawn_candidates_leave_the_distribution_as_it_is(seed, k):
    p, r = distribution(seed, zeros=seed % 2), distribution(seed + 50, zeros=seed % 3)
    out = np.zeros(4)
    for drawn, tokens in draws(r, min(k, int((r > 0).sum()))):
        for weight, passed, rest in outcomes(p, list(tokens), r):
            if passed is None:
                out += drawn * weight * rest.numpy()
            else:
                out[tokens[passed]] += drawn * weight
    assert out == pytest.approx(p.numpy(), abs=1e-9)


@pytest.mark.parametrize("tokens", [(0,), (2, 1), (0, 1, 2, 3), (1, 1, 3)])
def test_chosen_candidates_leave_the_distribution_as_it_is(tokens):
    """Two equal ones among them: the second has no chance left."""
    for seed in range(12):
        p, out = distribution(seed, zeros=seed % 3), np.zeros(4)
        for weight, passed, rest in outcomes(p, list(tokens), None):
            if passed is None:
                out += weight * rest.numpy()
            else:
                out[tokens[passed]] += weight
        assert out == pytest.approx(p.numpy(), abs=1e-9)


def test_two_levels_of_a_tree_leave_the_distribution_of_pairs_as_it_is():
    """Two drawn children of the root, two drawn children under each, every draw enumerated."""
    v = 3
    first, draft = distribution(1, v=v), distribution(2, v=v)
    second = [distribution(10 + y, v=v) for y in range(v)]
    guess = [distribution(20 + y, v=v) for y in range(v)]
    out = np.zeros((v, v))

    def below(y, weight):
        for drawn, tokens in draws(guess[y], 2):
            for chance, passed, rest in outcomes(second[y], list(tokens), guess[y]):
                if passed is None:
                    out[y] += weight * drawn * chance * rest.numpy()
                else:
                    out[y, tokens[passed]] += weight * drawn * chance

    for drawn, tokens in draws(draft, 2):
        for chance, passed, rest in outcomes(first, list(tokens), draft):
            if passed is not None:
                below(tokens[passed], drawn * chance)
                continue
            for y in range(v):
                out[y] += drawn * chance * float(rest[y]) * second[y].numpy()
    expected = np.array([float(first[y]) * second[y].numpy() for y in range(v)])
    assert out == pytest.approx(expected, abs=1e-9)


def test_a_candidate_that_was_never_drawn_does_not_pass():
    p = torch.tensor([0.5, 0.5])
    passed, rest = choose(p, [0], torch.tensor([0.0, 1.0]), lambda: 0.0)
    assert passed is None
    assert rest.tolist() == [1.0, 0.0]
