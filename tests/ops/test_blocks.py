"""What stands for a block, and how like a query it is, against loops."""

import numpy as np
import torch

from tokenry.ops.blocks import block_cosine, foremost_mean


def test_foremost_mean_equals_loops():
    source = torch.Generator().manual_seed(0)
    keys = torch.randn(2, 3, 12, 5, generator=source)
    mass = torch.rand(2, 3, 12, generator=source)
    valid = torch.ones(2, 3, 12, dtype=torch.bool)
    valid[0, :, :7] = False  # the first block empty, one slot left out of three in the second
    got = foremost_mean(keys, mass, size=4, members=3, valid=valid)
    for b, g, n in np.ndindex(2, 3, 3):
        slots = [s for s in range(4 * n, 4 * n + 4) if valid[b, g, s]]
        best = sorted(slots, key=lambda s: -mass[b, g, s])[:3]
        expected = keys[b, g, best].mean(0) if best else torch.zeros(5)
        torch.testing.assert_close(got[b, g, n], expected)


def test_fewer_slots_than_members():
    keys = torch.randn(1, 1, 6, 2, generator=torch.Generator().manual_seed(1))
    got = foremost_mean(keys, torch.rand(1, 1, 6), size=2, members=4)
    torch.testing.assert_close(got, keys.view(1, 1, 3, 2, 2).mean(3))


def test_block_cosine_repeats_keys_for_their_heads():
    source = torch.Generator().manual_seed(2)
    probe = torch.randn(2, 6, 5, generator=source)
    blocks = torch.randn(2, 3, 4, 5, generator=source)
    got = block_cosine(probe, blocks)
    for b, n in np.ndindex(2, 4):
        long = torch.cat([blocks[b, head // 2, n] for head in range(6)])
        expected = torch.cosine_similarity(probe[b].flatten(), long, dim=0)
        torch.testing.assert_close(got[b, n], expected)
