"""Trees against loops."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from tokenry.ops.tree import chain, children, padded, reach

TREES = st.integers(0, 12).flatmap(
    lambda n: st.tuples(*(st.integers(-1, i - 1) for i in range(n))).map(list)
)


def above(parents, node):
    """The node and all that it stands under, by walking up."""
    found = []
    while node != -1:
        found.append(node)
        node = parents[node]
    return [*found, -1]


@given(st.lists(TREES, min_size=1, max_size=3))
def test_a_token_reaches_its_ancestors_and_nothing_else(trees):
    _, parents = padded([([0] * len(tree), tree) for tree in trees], [0] * len(trees))
    seen = reach(parents)
    for row, tree in enumerate(trees):
        for i in range(-1, len(tree)):
            expected = {j + 1 for j in above(tree, i)}
            assert set(seen[row, i + 1].nonzero().flatten().tolist()) == expected


@given(TREES)
def test_children_are_those_whose_parent_it_is(parents):
    found = children(parents)
    for node in range(-1, len(parents)):
        expected = [i for i, parent in enumerate(parents) if parent == node]
        assert found.get(node, []) == expected


def test_padding_hangs_under_the_root_and_leads_nowhere():
    tokens, parents = padded([([3, 4, 5], [-1, 0, 1]), ([6], [-1])], [8, 9])
    assert tokens.tolist() == [[3, 4, 5], [6, 9, 9]]
    seen = reach(parents)[1].int().tolist()
    assert seen == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]]


def test_a_chain_is_causal():
    assert torch.equal(reach(chain(5)[None])[0], torch.ones(6, 6).tril().bool())
