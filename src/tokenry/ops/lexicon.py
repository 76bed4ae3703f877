"""A list of units, the best first, and what reading a document does to it."""

from __future__ import annotations

import random
from math import ceil
from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Habits(Protocol):
    """How a lexicon reads; see `LessIsBetter`, which has them as settings."""

    @property
    def longest(self) -> int:
        """Characters of the longest unit."""

    @property
    def remember(self) -> float:
        """How likely two neighbours are noted."""

    @property
    def step(self) -> float:
        """Share of its place that a unit moves by."""

    @property
    def forget(self) -> float:
        """Share of the list that is on probation after a document."""

    @property
    def life(self) -> int:
        """Documents that a unit on probation has to prove itself."""

    @property
    def gap(self) -> int:
        """Most unknown characters in a row that become a unit."""


class Lexicon:
    """The list of units, and what one document does to it.

    `_order` holds numbers of units by place, with room behind for new ones; `_number` is what a
    text is matched against. Single characters are never forgotten, else text became unknown.

    Args:
        habits: How it reads.
        source: Of what is noted.
    """

    def __init__(self, habits: Habits, source: random.Random) -> None:
        self._rule, self._source = habits, source
        self._names: list[str] = []
        self._number: dict[str, int] = {}
        self._order = np.zeros(1024, dtype=np.int32)
        self._probation: dict[str, int] = {}

    @property
    def units(self) -> list[str]:
        """All units, the best first."""
        return [self._names[number] for number in self._order[: len(self._number)]]

    def begin(self, document: list[str]) -> None:
        """Take the characters of a document as units."""
        for character in sorted(set().union(*document)):
            self._append(character)

    def read(self, document: list[str]) -> None:
        """Read a document, then move and forget units."""
        self._place = {unit: place for place, unit in enumerate(self.units)}
        self._noted: set[str] = set()
        self._moves: list[tuple[str, int]] = []
        for line in document:
            self._read_line(line)
        self._expire()
        for unit, way in self._moves:
            if unit in self._number:
                self._move(unit, way)
        tail = ceil(self._rule.forget * len(self._number))
        for number in self._order[len(self._number) - tail : len(self._number)]:
            if len(self._names[number]) > 1:
                self._probation.setdefault(self._names[number], self._rule.life)

    def _read_line(self, line: str) -> None:
        self._line = line
        self._found: dict[int, tuple[int, int]] = {}
        before, known, at = "", False, 0
        while at < len(line):
            first, second = self._two(at)
            if not first:
                before, known = ("" if known else before) + line[at], False
                at += 1
                continue
            unit = line[at : at + first]
            if self._source.random() < self._rule.remember:
                self._note(before + unit if known else before, known)
            if second:
                self._test(unit, at, at + second)
            else:
                self._probation.pop(unit, None)
            before, known = unit, True
            at += first

    def _two(self, at: int) -> tuple[int, int]:
        """How long the two longest units are that begin the rest of the line; 0 for none."""
        found = self._found.get(at)
        if found is None:
            line, number, first = self._line, self._number, 0
            for length in range(min(self._rule.longest, len(line) - at), 0, -1):
                if line[at : at + length] in number:
                    if first:
                        found = (first, length)
                        break
                    first = length
            found = self._found[at] = found or (first, 0)
        return found

    def _note(self, text: str, known: bool) -> None:
        """Remember neighbours, or unknown characters; at the second time they are a unit."""
        if not 0 < len(text) <= (self._rule.longest if known else self._rule.gap):
            return
        if text in self._number:
            return
        if text in self._noted:
            self._noted.remove(text)
            self._place[text] = len(self._number)
            self._append(text)
            self._found.clear()
        else:
            self._noted.add(text)

    def _test(self, unit: str, start: int, second: int) -> None:
        """Whether going on after the second longest unit reads better, until both ways meet."""
        ends, ways = [start + len(unit), second], ([unit], [self._line[start:second]])
        while ends[0] != ends[1]:
            late = int(ends[1] < ends[0])
            at = ends[late]
            length = self._two(at)[0]
            ways[late].append(self._line[at : at + length])
            ends[late] += length or 1
        if self._cost(ways[1]) < self._cost(ways[0]):
            self._moves += [(unit, 1), (ways[1][0], -1)]
        else:
            self._moves.append((unit, -1))
            self._probation.pop(unit, None)

    def _cost(self, way: list[str]) -> tuple[int, int, int]:
        """Unknown characters, units, and the sum of their places."""
        known = [self._place[unit] for unit in way if unit]
        return len(way) - len(known), len(known), sum(known)

    def _expire(self) -> None:
        for unit, life in list(self._probation.items()):
            if life > 1:
                self._probation[unit] = life - 1
            else:
                self._forget(unit, self._where(unit))

    def _where(self, unit: str) -> int:
        return int((self._order[: len(self._number)] == self._number[unit]).argmax())

    def _move(self, unit: str, way: int) -> None:
        """Move a unit towards the tail (1) or the head (-1)."""
        place, order, last = self._where(unit), self._order, len(self._number) - 1
        if not place:
            return
        target = place + way * (int(place * self._rule.step) + 1)
        if target > last and len(unit) > 1:
            self._forget(unit, place)
            return
        target = min(target, last)
        number = order[place]
        if target < place:
            order[target + 1 : place + 1] = order[target:place]
        else:
            order[place:target] = order[place + 1 : target + 1]
        order[target] = number

    def _append(self, unit: str) -> None:
        place = len(self._number)
        if place == len(self._order):
            self._order = np.concatenate([self._order, np.zeros_like(self._order)])
        self._order[place] = self._number[unit] = len(self._names)
        self._names.append(unit)

    def _forget(self, unit: str, place: int) -> None:
        count = len(self._number)
        self._order[place : count - 1] = self._order[place + 1 : count]
        del self._number[unit]
        self._probation.pop(unit, None)
