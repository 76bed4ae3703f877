"""StreamingLLM against loops."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenry.cache import StreamingLLM

MANY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@MANY
@given(st.integers(0, 10_000), st.integers(8, 18), st.booleans())
def test_first_and_last_slots_stay(check_slots, seed, count, padded):
    method = StreamingLLM(keep=0.5, sinks=3)
    check_slots(method, seed, count, padded, lambda *_: (range(24), 3, 0))
