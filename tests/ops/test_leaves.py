"""Leaves: every row once, with its nearest mean; all leaves searched are brute force."""

from __future__ import annotations

import pytest
import torch

from tokenry.errors import UsageError
from tokenry.ops.leaves import leaves


def rows(n=400, d=6, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, d) * torch.rand(n, 1)


def test_every_row_is_in_one_leaf_and_means_are_theirs():
    given = rows()
    found = leaves(given, 20)
    assert sorted(found.owners.tolist()) == list(range(400))
    assert torch.equal(found.rows, given[found.owners])
    assert (found.starts[0], found.starts[-1], len(found.starts)) == (0, 400, 21)
    for leaf in range(20):
        inside = found.rows[found.starts[leaf] : found.starts[leaf + 1]]
        assert torch.allclose(inside.mean(0), found.means[leaf], atol=1e-6)
    assert found.size == 4 * 400 * 6 + 8 * 400 + 4 * 20 * 6


def test_leaves_are_nearer_together_than_chance():
    given = rows()
    found = leaves(given, 20)
    sizes = torch.tensor(found.starts).diff()
    spread = (found.rows - found.means.repeat_interleave(sizes, 0)).square().sum()
    assert spread < 0.5 * (given - given.mean(0)).square().sum()


@pytest.mark.parametrize("count", [1, 7, 400])
def test_all_leaves_searched_are_brute_force(count):
    given, asked = rows(), rows(30, seed=1)
    found = leaves(given, 20)
    for query in asked:
        best = (given @ query).topk(count)
        made = found.best(query, count, searched=20)
        assert torch.allclose(given[made] @ query, best.values, atol=1e-6)


def test_more_leaves_find_more_and_enough_rows_are_always_found():
    given, asked = rows(), rows(60, seed=1)
    found, held = leaves(given, 20), {}
    best = (asked @ given.T).argmax(1)
    for many in (1, 3, 20):
        top = torch.stack([found.best(query, 5, many) for query in asked])
        held[many] = int((top == best[:, None]).any(1).sum())
    assert held[1] < held[20] == 60
    assert held[1] <= held[3]
    assert len(set(found.best(asked[0], 399, 1).tolist())) == 399


def test_the_same_twice_and_wrong_counts_are_refused():
    given = torch.ones(5, 2)  # all the same: most leaves stay empty
    one, two = leaves(given, 5), leaves(given, 5)
    assert one.starts == two.starts
    assert sorted(one.best(torch.ones(2), 5, 1).tolist()) == [0, 1, 2, 3, 4]
    for count in (0, 6):
        with pytest.raises(UsageError, match=f"count={count}; allowed is 1 to 5"):
            leaves(given, count)
