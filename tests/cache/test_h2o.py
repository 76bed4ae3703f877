"""H2O against loops."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenry.cache import H2O

MANY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@MANY
@given(
    st.integers(0, 10_000),
    st.integers(8, 18),
    st.booleans(),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_heavy_slots_stay(check_slots, seed, count, padded, recent):
    def rule(view, i, head, real):
        score = view.mass[i, 2 * head].double() + view.mass[i, 2 * head + 1].double()
        return score.tolist(), 0, round(count * recent)

    check_slots(H2O(keep=0.5, recent=recent), seed, count, padded, rule)
