"""SnapKV against loops, and what it does not listen to."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenry.cache import SnapKV
from tokenry.errors import UsageError

METHOD = SnapKV(keep=0.5, last=6)

MANY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@MANY
@given(st.integers(0, 10_000), st.integers(8, 18), st.booleans(), st.sampled_from([1, 3, 5]))
def test_what_the_window_looks_at_stays(check_slots, seed, count, padded, pool):
    """The weights of the window's rows, added up, then averaged over real neighbours."""

    def rule(view, i, head, real):
        total = np.zeros(24)
        for h in (2 * head, 2 * head + 1):
            for row, token in enumerate(view.query_tokens[i].tolist()):
                power = np.zeros(24)
                for j in real:
                    if j <= token:
                        power[j] = np.exp(
                            float(view.queries[i, h, row] @ view.keys[i, head, j]) / 2
                        )
                total += power / power.sum()
        near = [[k for k in real if abs(k - j) <= pool // 2] for j in range(24)]
        return [sum(total[k] for k in ks) / max(1, len(ks)) for ks in near], 0, 6

    check_slots(SnapKV(keep=0.5, last=6, pool=pool), seed, count, padded, rule)


def test_snapkv_does_not_listen_to_padding(view):
    """Queries of padding have no say, and a text shorter than the window is no accident."""
    made = view(count=12)
    tokens = made.query_tokens.clone()
    tokens[1, :4] = -1
    made.asked["query_tokens"] = tokens
    before = METHOD.evict(made).keep[1].tolist()
    made.queries[1, :, :4] = 100.0
    assert METHOD.evict(made).keep[1].tolist() == before
    made.queries[1, :, 4:] *= -3.0
    assert METHOD.evict(made).keep[1].tolist() != before


def test_an_even_pool_has_no_middle():
    with pytest.raises(UsageError, match="SnapKV: pool=4 is even"):
        SnapKV(pool=4)
