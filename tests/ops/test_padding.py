"""Padded rows hold what was given, and say where."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from tokenry.ops.padding import padded


@given(st.lists(st.lists(st.integers(0, 99), max_size=5), max_size=4), st.booleans())
def test_every_row_stands_whole_at_its_side(rows, left):
    ids, real = padded(rows, -1, left=left)
    width = max(map(len, rows), default=0)
    gaps = [[-1] * (width - len(row)) for row in rows]
    wanted = [gap + row if left else row + gap for row, gap in zip(rows, gaps, strict=True)]
    assert ids.tolist() == wanted
    assert ids.dtype == torch.int64
    assert torch.equal(real, ids >= 0)
