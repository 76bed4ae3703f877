"""What the classical linkers find in real tables with gold."""

import numpy as np
import pytest

from tokenry import catalog
from tokenry.data import load_linked
from tokenry.errors import MissingExtraError, UsageError
from tokenry.method import Aids, Side
from tokenry.ops.assignment import mutual, one_to_one
from tokenry.ops.thresholds import threshold_curve
from tokenry.plugs.text_encoder import text_encoder
from tokenry.tables.normalise import normalised


def given(name):
    """A set that another package carries; skipped where it is not there."""
    try:
        return load_linked(name)
    except (MissingExtraError, UsageError) as error:
        pytest.skip(str(error))


def side(table, on):
    columns = {c: [v and normalised(v) for v in table[c].to_pylist()] for c in on}
    return Side(columns=columns, keys=tuple(on), count=table.num_rows)


class Found:
    """The best pairs of a linker, those that an assignment keeps, and which of them are true."""

    def __init__(self, name, data, on, assign=mutual, embed=None):
        left, right = side(data.left, on), side(data.right, on)
        matcher = catalog.make(name).prepare(left, right, Aids(linker=catalog.make, embed=embed))
        every = matcher.nearest(10)
        gold = set(map(tuple, data.matches.tolist()))
        kept = assign(*every)
        self.score = every.score[kept]
        pairs = zip(every.left[kept].tolist(), every.right[kept].tolist(), strict=True)
        self.true = np.array([pair in gold for pair in pairs])
        self.wanted = len(gold)
        first = np.r_[True, every.left[1:] != every.left[:-1]]
        best = dict(zip(every.left[first].tolist(), every.right[first].tolist(), strict=True))
        self.top1 = np.mean([best.get(a) == b for a, b in gold])
        matches = self.true[self.score >= matcher.threshold]
        self.precision, self.recall = matches.mean(), matches.sum() / self.wanted

    @property
    def f1(self):
        """At the best threshold."""
        curve = threshold_curve(self.score, self.true, self.wanted - int(self.true.sum()))
        return curve.f1[curve.best]


def test_claim_rare_runs_find_more():
    data = load_linked("emoji-names")
    grams, edits, same = (Found(n, data, ["name"]).f1 for n in ("char-ngrams", "fuzzy", "exact"))
    assert grams > edits + 0.1 > same + 0.2
    assert (grams, edits, same) == pytest.approx((0.739, 0.596, 0.393), abs=0.001)


def test_claim_restaurants():
    data = given("fodors-zagats")
    alone, more = (Found("char-ngrams", data, on) for on in (["name"], ["name", "addr", "city"]))
    assert (alone.top1, more.top1) == pytest.approx((0.973, 1.0), abs=0.001)
    assert (alone.f1, more.f1) == pytest.approx((0.919, 0.973), abs=0.001)


def test_claim_persons():
    data = given("febrl4")
    found = Found("char-ngrams", data, data.on, one_to_one)
    assert found.precision == 1.0
    assert found.recall == pytest.approx(0.9986)
    assert found.f1 == 1.0


@pytest.mark.slow
def test_claim_two_find_more_than_one():
    encoder = text_encoder("zoo:minilm-l6", longest=32)
    data = load_linked("emoji-names")
    letters, meaning, both = (
        Found(name, data, ["name"], embed=encoder.encode).f1
        for name in ("char-ngrams", "linktransformer", "hybrid")
    )
    assert both > max(letters, meaning) + 0.01
