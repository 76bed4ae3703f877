from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops.windows import token_windows


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=9), min_size=1, max_size=5), st.data())
def test_every_token_is_scored_once_with_enough_before_it(texts, data):
    stream = [token for i, text in enumerate(texts) for token in ([99] if i else []) + text]
    if len(stream) < 2:
        return
    size = data.draw(st.integers(2, 12))
    stride = data.draw(st.integers(1, size - 1))
    windows = token_windows(texts, size, stride, separator=[99])
    width = min(size, len(stream))
    assert windows.ids.shape == windows.scored.shape == (len(windows.start), width)
    times = [0] * len(stream)
    for ids, scored, start in zip(*(part.tolist() for part in windows), strict=True):
        assert ids == stream[start : start + width]
        for i, counts in enumerate(scored):
            times[start + i] += counts
            assert not counts or start == 0 or i >= size - stride
    assert times == [0] + [1] * (len(stream) - 1)


def test_without_overlap_the_first_of_each_window_is_not_scored():
    windows = token_windows([range(7)], size=3, stride=3)
    assert windows.ids.tolist() == [[0, 1, 2], [3, 4, 5], [4, 5, 6]]
    assert windows.scored.int().tolist() == [[0, 1, 1], [0, 1, 1], [0, 0, 1]]


def test_a_stream_shorter_than_a_window_is_one():
    windows = token_windows([[5, 6], [7]], size=100)
    assert windows.ids.tolist() == [[5, 6, 7]]
    assert windows.scored.int().tolist() == [[0, 1, 1]]


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (4, 0), (4, 5), (0, None)])
def test_sizes_out_of_range(size, stride):
    with pytest.raises(UsageError, match="token_windows: size="):
        token_windows([range(9)], size, stride)


@pytest.mark.parametrize("texts", [[], [[]], [[1]]])
def test_too_few_tokens(texts):
    with pytest.raises(UsageError, match=r"tokens in all; give at least 2"):
        token_windows(texts, 4)
