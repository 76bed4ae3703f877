"""The segments of our own against everything that can go wrong with files."""

import numpy as np
import torch

from tokenry.index.segments import SegmentStore
from tokenry.index.store import Shape
from tokenry.ops.ragged import Ragged

SHAPE = Shape(8, 4)


def documents(lengths, seed=0):
    source = torch.Generator().manual_seed(seed)
    lists = [torch.randn(n, 8, generator=source).half() for n in lengths]
    return Ragged.of(lists, 8), torch.randn(len(lengths), 4, generator=source).half()


def test_one_by_one_is_the_same_as_all_at_once(tmp_path):
    tokens, pooled = documents((3, 0, 1, 9, 5))
    with SegmentStore(tmp_path / "a", SHAPE, write=True) as once:
        once.add(np.arange(1, 6), tokens, pooled)
        once.commit()
    with SegmentStore(tmp_path / "b", SHAPE, write=True) as slowly:
        for i in range(5):
            slowly.add(np.array([i + 1]), tokens.take([i]), pooled[i : i + 1])
            slowly.commit()
    for name in ("tokens.f16", "ends.i64", "keys.i64", "pooled.f16"):
        assert (tmp_path / "a/000001" / name).read_bytes() == (
            tmp_path / "b/000001" / name
        ).read_bytes()
