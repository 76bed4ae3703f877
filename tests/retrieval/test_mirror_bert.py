"""Mirror-BERT: the loss in closed form, the span that is masked, and what tuning does."""

from __future__ import annotations

import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenry.method import Batch
from tokenry.retrieval import MirrorBert


@given(st.text(max_size=60), st.integers(0, 999))
@settings(deadline=None)
def test_one_span_of_a_long_string_is_masked(text, seed):
    left, right = MirrorBert().pair(text, text, random.Random(seed))
    assert left == text
    if len(text) < 30:
        assert right == text
    else:
        ways = {f"{text[:i]} [MASK] {text[i + 5 :]}" for i in range(len(text) - 5)}
        assert right in ways


def test_every_place_is_masked_at_times():
    text, draw = "".join(map(chr, range(65, 65 + 40))), random.Random(0)
    seen = {MirrorBert().pair(text, text, draw)[1].index(" [MASK] ") for _ in range(2000)}
    assert seen == set(range(35))


@pytest.mark.parametrize(
    "method", [MirrorBert(span=0), MirrorBert(span=50), MirrorBert(shortest=99)]
)
def test_nothing_is_masked_where_there_is_no_room(method):
    text = "a string of more than thirty letters"
    assert method.pair(text, text, random.Random(0)) == (text, text)


def test_the_drawn_place_is_masked_where_characters_repeat():
    draw = random.Random(3)
    start = random.Random(3).randrange(35)
    assert start
    assert MirrorBert().pair("", "a" * 40, draw)[1].index("[") == start + 1


@pytest.mark.parametrize("tau", [0.04, 0.2])
def test_loss_in_closed_form(tau):
    """Views agree, at right angles to all others: -ln(e / (e + 2B - 2)) with e = exp(1/tau)."""
    x = torch.eye(4)
    loss = MirrorBert(temperature=tau).loss(Batch(vectors={"left": x, "right": 3 * x}))
    wanted = math.log1p(6 * math.exp(-1 / tau))
    assert float(loss.total) == pytest.approx(wanted, abs=1e-6)
    same = torch.ones(4, 3)
    loss = MirrorBert(temperature=tau).loss(Batch(vectors={"left": same, "right": same}))
    assert float(loss.total) == pytest.approx(math.log(7), abs=1e-6)
