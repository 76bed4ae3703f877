"""Scores at a finer grain, against loops over the steps of the paper."""

from __future__ import annotations

import torch

from tokenry.ops.grains import grained, phrases, standardised
from tokenry.ops.transport import ipot

unit = torch.nn.functional.normalize


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def looped(tokens, nodes):
    """One text and one graph, without padding."""
    gathered = []
    for token in tokens:
        likeness = nodes @ token
        scaled = (likeness - likeness.min()) / (likeness.max() - likeness.min()) + 1e-6
        gathered.append(unit((scaled / scaled.sum()) @ nodes, dim=0))
    text = sum(unit(token, dim=0) for token in tokens)
    return standardised(text) @ standardised(torch.stack(gathered).sum(0))


def test_each_pair_is_scored_as_alone_whatever_the_padding():
    tokens, nodes = drawn(2, 4, 6), drawn(3, 5, 6, seed=1)
    real_tokens = torch.tensor([[True] * 4, [True, True, False, False]])
    real_nodes = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] * 2 + [False] * 3])
    found = grained(
        tokens[:, None].expand(2, 3, 4, 6), real_tokens[:, None].expand(2, 3, 4), nodes, real_nodes
    )
    for a in range(2):
        for c in range(3):
            wanted = looped(tokens[a][real_tokens[a]], nodes[c][real_nodes[c]])
            torch.testing.assert_close(found[a, c], wanted)


def test_order_of_tokens_and_nodes_does_not_matter():
    tokens, nodes = drawn(1, 1, 4, 6), drawn(1, 5, 6, seed=1)
    every = torch.ones(1, 1, 4, dtype=torch.bool), torch.ones(1, 5, dtype=torch.bool)
    found = grained(tokens, every[0], nodes, every[1])
    torch.testing.assert_close(found, grained(tokens.flip(2), every[0], nodes.flip(1), every[1]))


def test_tokens_go_where_transport_sends_most_of_them():
    tokens, motifs = drawn(1, 6, 8), drawn(1, 3, 8, seed=1)
    real = torch.tensor([[True] * 5 + [False]]), torch.tensor([[True, True, False]])
    found, given = phrases(tokens, real[0], motifs, real[1])
    plan = ipot((1 - unit(tokens[0, :5], dim=-1) @ unit(motifs[0, :2], dim=-1).T).float())
    home = plan.argmax(-1)
    assert given[0, 0].tolist() == [bool((home == 0).any()), bool((home == 1).any()), False]
    for motif in range(2):
        if (home == motif).any():
            torch.testing.assert_close(found[0, 0, motif], tokens[0, :5][home == motif].mean(0))
    assert not found[0, 0, 2].any()


def test_the_released_rule_is_that_of_a_loop():
    """Steps of transport as released, without padding: the least mass of each token says where."""
    tokens, motifs = drawn(1, 7, 8).float(), drawn(1, 3, 8, seed=1).float()
    cost = 1 - unit(tokens[0], dim=-1) @ unit(motifs[0], dim=-1).T
    kernel, plan, sigma = torch.exp(-cost / 0.5), torch.ones(7, 3), torch.full((3,), 1 / 3)
    for _ in range(50):
        moved = kernel * plan
        delta = 1 / (7 * moved @ sigma)
        sigma = 1 / (3 * moved.T @ delta)
        plan = delta[:, None] * moved * sigma
    home = plan.argmin(1)
    found, given = phrases(
        tokens, torch.ones(1, 7).bool(), motifs, torch.ones(1, 3).bool(), "least"
    )
    for motif in range(3):
        mine = tokens[0][home == motif]
        assert bool(given[0, 0, motif]) is bool(len(mine))
        if len(mine):
            torch.testing.assert_close(found[0, 0, motif], mine.mean(0))


def test_the_released_rule_sends_tokens_where_least_mass_goes():
    motifs = torch.eye(3)[None]
    tokens = motifs.repeat_interleave(2, 1)
    real = torch.ones(1, 6, dtype=torch.bool), torch.ones(1, 3, dtype=torch.bool)
    best, _ = phrases(tokens, *real[:1], motifs, real[1])
    worst, _ = phrases(tokens, *real[:1], motifs, real[1], "least")
    torch.testing.assert_close(best[0, 0], motifs[0])
    assert (worst[0, 0].diagonal() == 0).all()
