"""Edits found between two sequences rebuild the second; origins point at equal tokens."""

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.ops.edits import differences, origins, spliced

MANY = settings(deadline=None, max_examples=200)
IDS = st.lists(st.integers(0, 3), max_size=14)


@MANY
@given(IDS, IDS)
def test_differences_rebuild_the_new_sequence(old, new):
    edits = differences(old, new)
    assert spliced(old, edits) == tuple(new)
    assert not any(edit.is_empty for edit in edits)


@MANY
@given(IDS, IDS)
def test_origins_point_at_equal_tokens(old, new):
    edits = differences(old, new)
    places = origins(len(old), edits).tolist()
    assert len(places) == len(new)
    assert all(p < 0 or old[p] == token for p, token in zip(places, new, strict=True))
    kept = [p for p in places if p >= 0]
    assert kept == sorted(set(kept))
    assert len(new) - len(kept) == sum(len(edit.new) for edit in edits)


@given(IDS)
def test_equal_sequences_have_no_differences(ids):
    assert differences(ids, list(ids)) == ()


def test_one_edit_of_a_long_repetitive_text_is_found_at_once():
    """A matcher over the whole of it would need minutes: every token occurs 20,000 times."""
    old = [1, 2] * 20_000
    new = [*old[:20_000], 3, *old[20_000:]]
    start = time.perf_counter()
    (edit,) = differences(old, new)
    assert (edit.start, edit.stop, edit.new) == (20_000, 20_000, (3,))
    assert time.perf_counter() - start < 2
