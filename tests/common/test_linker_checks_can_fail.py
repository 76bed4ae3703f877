"""Each check of linkers catches one that is broken in its way, and passes a sound one."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import pytest

from tokenry import checks
from tokenry.card import Card
from tokenry.linking import CharNgrams
from tokenry.method import Aids, Linker, Matcher, Scored

ALL = slice(None)
COUNTER = itertools.count()


class Sound(Matcher):
    """What character n-grams make of two tables, to be spoiled."""

    def __init__(self, left, right):
        self.inner = CharNgrams().prepare(left, right, Aids())
        self.threshold = self.inner.threshold
        self.left, self.right = left, right

    def score(self, left, right):
        return self.inner.score(left, right)

    def nearest(self, k, least=-np.inf, rows=ALL):
        return self.inner.nearest(k, least, rows)

    def parts(self, left, right):
        return self.inner.parts(left, right)


class NoThreshold(Sound):
    def __init__(self, left, right):
        super().__init__(left, right)
        self.threshold = float("nan")


class ZeroForNothing(Sound):
    def score(self, left, right):
        return np.nan_to_num(super().score(left, right))


class FillsUp(Sound):
    """As an index does that answers -1 where it has no more."""

    def nearest(self, k, least=-np.inf, rows=ALL):
        found = super().nearest(k, least, rows)
        if k <= self.right.count or not len(found.left):
            return found
        last = Scored(found.left[-1:], np.array([-1]), found.score[-1:])
        return Scored(*(np.concatenate(both) for both in zip(found, last, strict=True)))


class Twice(Sound):
    def nearest(self, k, least=-np.inf, rows=ALL):
        return Scored(*(np.repeat(column, 2) for column in super().nearest(k, least, rows)))


class OtherScores(Sound):
    def nearest(self, k, least=-np.inf, rows=ALL):
        found = super().nearest(k, least, rows)
        return found._replace(score=found.score + 0.01)


class NoFloor(Sound):
    def nearest(self, k, least=-np.inf, rows=ALL):
        return super().nearest(k, rows=rows)


class NotTheBest(Sound):
    def nearest(self, k, least=-np.inf, rows=ALL):
        found = super().nearest(1000, least, rows)
        rows = [np.flatnonzero(found.left == row)[-k:] for row in range(self.left.count)]
        return Scored(*(column[np.concatenate(rows)] for column in found))


class AllOfThem(Sound):
    def nearest(self, k, least=-np.inf, rows=ALL):
        return super().nearest(k, least)


class LaterFirst(Sound):
    def nearest(self, k, least=-np.inf, rows=ALL):
        found = super().nearest(1000, least, rows)
        order = np.lexsort((-found.right, -found.score, found.left))
        return Scored(*(column[order] for column in found))


class ByPlace(Sound):
    def score(self, left, right):
        return super().score(left, right) + np.asarray(right) / 100


class ByChance(Sound):
    def nearest(self, k, least=-np.inf, rows=ALL):
        found = super().nearest(k, least, rows)
        return found._replace(score=found.score + 1e-9 * next(COUNTER))


class WithItself(Sound):
    def __init__(self, left, right):
        twin = type(right)(columns=right.columns, keys=right.keys, count=right.count)
        super().__init__(left, twin)


class HalfParts(Sound):
    def parts(self, left, right):
        return {"half": super().score(left, right) / 2}


class Strips(Sound):
    def __init__(self, left, right):
        super().__init__(left, right)
        left.columns["name"][0] = "changed"


class Crashes(Sound):
    def __init__(self, left, right):
        if not left.count:
            raise ValueError("no rows")
        super().__init__(left, right)


def made(matcher):
    @final
    @dataclass(frozen=True, kw_only=True)
    class Some(Linker):
        """A linker for tests."""

        card: ClassVar[Card] = CharNgrams.card

        def prepare(self, left, right, aids):
            return matcher(left, right)

    return Some


BROKEN = [
    (NoThreshold, "scores", "always has one"),
    (ZeroForNothing, "scores", "empty side has a score"),
    (FillsUp, "nearest", "not there"),
    (Twice, "nearest", "a pair twice"),
    (OtherScores, "nearest", "otherwise than score"),
    (NoFloor, "nearest", "not what of nearest"),
    (NotTheBest, "nearest", "does not give the best three"),
    (AllOfThem, "portions", "other pairs than among all"),
    (LaterFirst, "ties", "4 comes first"),
    (ByPlace, "ties", "score differently"),
    (ByPlace, "order", "changes a score"),
    (ByChance, "repeat", "second run differs"),
    (WithItself, "itself", "with itself"),
    (HalfParts, "parts", "do not add up"),
    (Strips, "untouched", "column of a table changes"),
    (Crashes, "few", "no rows"),
]


@pytest.mark.parametrize("name", checks.LINKER)
def test_a_sound_linker_passes(name):
    assert checks.one(made(Sound), name).outcome == "passed"


@pytest.mark.parametrize(("matcher", "name", "message"), BROKEN)
def test_a_broken_one_is_caught(matcher, name, message):
    found = checks.one(made(matcher), name)
    assert found.outcome == "failed"
    assert message in found.message


def test_every_check_can_fail():
    assert {name for _, name, _ in BROKEN} == set(checks.LINKER)


def test_the_page_about_linkers_of_ones_own_lists_all_checks():
    page = Path(__file__).parents[2] / "docs" / "how-to" / "own-linker.md"
    rows = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in rows] == [*checks.LINKER]
