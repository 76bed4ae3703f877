"""Key norm against loops."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenry.cache import KeyNorm

MANY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@MANY
@given(st.integers(0, 10_000), st.integers(8, 18), st.booleans())
def test_short_keys_stay(check_slots, seed, count, padded):
    def rule(view, i, head, real):
        return [-float(sum(x * x for x in key)) for key in view.keys[i, head].tolist()], 0, 4

    check_slots(KeyNorm(keep=0.5, recent=4), seed, count, padded, rule)
