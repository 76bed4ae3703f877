"""Rows of a column that are read from a large file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.index import columns
from tokenry.index.columns import Column


@pytest.fixture(scope="module")
def column(tmp_path_factory):
    held = Column(tmp_path_factory.mktemp("rows") / "x.u4", "<u4", 3, 0, write=True)
    held.append(np.arange(9000).reshape(3000, 3))
    yield held
    held.close()


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 2999), max_size=40), st.integers(1, 40_000))
def test_scattered_rows_of_a_large_file_are_those_of_the_whole(column, rows, window):
    chosen = np.array(rows, np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "WINDOW", window)
        plain = column[chosen]
        patch.setattr(columns, "KEPT", 0)
        read = column[chosen]
    assert read.tolist() == plain.tolist() == np.arange(9000).reshape(3000, 3)[chosen].tolist()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="counts peaks as Linux does")
def test_scattered_rows_bring_in_a_small_part_of_a_large_file(tmp_path):
    def peak():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) << 10

    held = Column(tmp_path / "x.u8", "u1", 64, 0, write=True)
    for _ in range(8):
        held.append(np.ones((1 << 17, 64), np.uint8))
    assert held.bytes > columns.KEPT
    rows = np.random.default_rng(0).permutation(held.rows)[:20_000]
    held[rows[:10]]
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    assert held[rows].all()
    assert peak() - before < held.bytes / 5
    held.close()
