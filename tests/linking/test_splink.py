"""The linker splink, against the model that splink shows, and on records with typing errors."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

from tokenry.errors import MissingExtraError
from tokenry.linking.splink import Splink
from tokenry.method import Aids, Side

NAMES = ("anna", "berta", "carla", "dora", "emma", "frida", "greta", "hanna", "ida", "jana")
TOWNS = ("aachen", "berlin", "celle", "dresden", "essen")


def table(names, towns, codes):
    columns = {"name": names, "town": towns, "code": codes}
    return Side(columns=columns, keys=("name", "town", "code"), count=len(names))


@pytest.fixture(scope="module")
def both():
    """A table, and the same in another order with a slip in each name or code."""
    rng = np.random.default_rng(0)
    names = [f"{NAMES[i % 10]} {NAMES[i * 7 % 9]}" for i in range(60)]
    towns = [TOWNS[i % 5] for i in rng.permutation(60)]
    codes = [str(one) for one in rng.integers(1000, 9999, 60)]
    order = rng.permutation(60)
    slips = [
        table(
            [names[i][:-1] + "x" if i % 2 else names[i] for i in order],
            [None if i % 7 == 0 else towns[i] for i in order],
            [codes[i] if i % 2 else codes[i][:3] + "0" for i in order],
        )
    ]
    return table(names, towns, codes), slips[0], order


@pytest.fixture(scope="module")
def matcher(both):
    return Splink().prepare(both[0], both[1], Aids())


def test_records_with_slips_find_each_other(both, matcher):
    found = matcher.nearest(1, matcher.threshold)
    assert (both[2][found.right] == found.left).mean() > 0.95
    assert len(found.left) > 55


def test_given_pairs_score_as_the_nearest_do_in_any_order(matcher):
    found = matcher.nearest(3)
    order = np.random.default_rng(1).permutation(len(found.left))
    left, right, score = (column[order] for column in found)
    assert matcher.score(left, right) == pytest.approx(score, abs=1e-9)
    assert matcher.score(left[:5], right[:5]) == pytest.approx(score[:5], abs=1e-9)


def test_a_column_that_is_empty_adds_nothing_and_parts_add_up(both, matcher):
    left, right = (rows.ravel() for rows in np.indices((60, 60)))
    parts = matcher.parts(left, right)
    assert list(parts) == ["prior", "name", "town", "code"]
    gone = np.array([both[1].columns["town"][row] is None for row in right])
    assert (parts["town"][gone] == 0).all()
    assert sum(parts.values()) == pytest.approx(matcher.score(left, right))
    agree = np.array(
        [
            both[0].columns["code"][a] == both[1].columns["code"][b]
            for a, b in zip(left, right, strict=True)
        ]
    )
    assert parts["code"][agree].min() > 0 > np.median(parts["code"][~agree])


def test_columns_are_compared_by_what_is_in_them(both):
    from tokenry.linking.splink import _comparison, _table

    tables = [_table(side, side.texts()) for side in both[:2]]
    kinds = [type(_comparison(f"column{i}", tables)).__name__ for i in range(3)]
    assert kinds == ["JaroWinklerAtThresholds", "ExactMatch", "DamerauLevenshteinAtThresholds"]


def test_a_table_of_equal_rows_has_finite_weights():
    side = Side(columns={"name": ["ada"] * 15}, keys=("name",), count=15)
    found = Splink().prepare(side, side, Aids()).nearest(2)
    assert np.isfinite(found.score).all()
    assert len(found.score) == 30


def test_large_tables_are_blocked_on_their_columns(both, matcher, monkeypatch):
    every = matcher.nearest(60)
    monkeypatch.setattr("tokenry.linking.splink.WHOLE", 1)
    some = matcher.nearest(60)
    pairs = set(zip(some.left.tolist(), some.right.tolist(), strict=True))
    shared = {
        (a, b)
        for a, b in zip(every.left.tolist(), every.right.tolist(), strict=True)
        if any(
            both[0].columns[key][a] == both[1].columns[key][b] is not None
            for key in ("name", "town", "code")
        )
    }
    assert pairs == shared


def test_without_the_package_it_says_what_to_install(monkeypatch, both):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name == "splink":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r'pip install "tokenry\[linking\]"'):
        Splink().prepare(both[0], both[1], Aids())
