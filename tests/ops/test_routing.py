"""The table of a router against loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.errors import UsageError
from tokenry.ops.routing import routing_table


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_table_equals_loops(data):
    n, k = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 4))
    right = data.draw(st.lists(st.lists(st.booleans(), min_size=k, max_size=k), min_size=n,
                               max_size=n))  # fmt: skip
    chosen = data.draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n))
    table = routing_table(torch.tensor(chosen), torch.tensor(right))
    single = max(sum(row[i] for row in right) / n for i in range(k))
    routed = sum(row[i] for row, i in zip(right, chosen, strict=True)) / n
    oracle = sum(any(row) for row in right) / n
    assert table.best_single == pytest.approx(single)
    assert table.chance == pytest.approx(sum(map(sum, right)) / n / k)
    assert (table.routed, table.oracle) == (pytest.approx(routed), pytest.approx(oracle))
    assert table.regret == pytest.approx(oracle - routed)
    if oracle > single:
        assert table.gain == pytest.approx((routed - single) / (oracle - single))
    else:
        assert math.isnan(table.gain)


@pytest.mark.parametrize("chosen", [[], [0], [0, 2], [0, -1]])
def test_what_is_no_choice_is_refused(chosen):
    with pytest.raises(UsageError, match="choices for 2 queries and 2 experts"):
        routing_table(torch.tensor(chosen, dtype=torch.long), torch.ones(2, 2) > 0)
