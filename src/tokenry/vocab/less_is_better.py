"""Less is better: units that are kept because they make the reading of text shorter."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import ceil, inf
from typing import Annotated, ClassVar, final

import numpy as np
from tokenizers import Tokenizer, models
from tqdm import tqdm

from tokenry.card import Card, Claim
from tokenry.method import END, In, TokenizerTrainer
from tokenry.ops.alphabet import LETTERS, to_letters
from tokenry.ops.byte_level import by_lines


@final
@dataclass(frozen=True, kw_only=True)
class LessIsBetter(TokenizerTrainer):
    r"""Reads text again and again, and keeps the units that make it the fewest.

    The lexicon is a list, the best unit first. A line is read with the longest unit $c_1$ that
    begins what is left of it; $c_2$ is the second longest. Neighbours that are read twice in one
    document become a unit at the end of the list. Each $c_1$ is tested: if going on after $c_2$
    needs fewer unknown characters, or as many and fewer units, or as many and better ones, until
    both ways meet, then $c_1$ is punished and $c_2$ rewarded, else $c_1$ is rewarded. After the
    document a unit at place $i$ moves by $\lfloor i \delta \rfloor + 1$ places; one that passes
    the tail is forgotten, and so is one that was at the tail and did not prove itself in time.

    The tokenizer writes a line with the longest token that begins it, then the rest; tokens may
    hold spaces, and are in the order of the list, behind the end of a text and the 256 bytes.

    Args:
        size: Most tokens, special ones included; the best-placed units are taken.
        longest: Characters of the longest unit (the paper's code: max_len).
        remember: How likely two neighbours are noted (alpha, memory_in).
        step: Share of its place that a unit moves by (delta, update_rate).
        forget: Share of the list that is on probation after a document (omega, memory_out).
        life: Documents that a unit on probation has to prove itself.
        gap: Most unknown characters in a row that become a unit (mini_gap).
        lines: Lines of a document.
        documents: How many are read; when all were read, again in another order.
        seed: Of what is noted, and of the order of documents.

    Raises:
        UsageError: If a setting is out of range.

    Source: Yang 2024, section 5; Yang, Frank and van den Bosch 2020, section 2.
    """

    card: ClassVar[Card] = Card(
        slug="less-is-better",
        name="Less-is-Better",
        title="Rethinking Tokenization: Crafting Better Tokenizers for Large Language Models",
        summary="Learns units from parts of words to phrases by reading; keeps what shortens it.",
        family="vocab",
        have="texts",
        want="a vocabulary with phrases in it, that finds its own size",
        dial="none: there is no keep; `size` is a bound, and `forget` says how many units stay",
        year=2024,
        arxiv="2403.00417",
        venue="International Journal of Chinese Linguistics 2024",
        code="https://github.com/ray306/LiB",
        code_license="MIT",
        claims=(Claim(paper="x", effect="y", not_shown="z"),),
        differs=(),
    )

    longest: Annotated[int, In(2, 64), "characters of the longest unit"] = 12
    remember: Annotated[float, In(0, 1, open="left"), "how likely neighbours are noted"] = 0.25
    step: Annotated[float, In(0, 1), "share of its place that a unit moves by"] = 0.2
    forget: Annotated[float, In(0, 1), "share of the list that is on probation"] = 1e-4
    life: Annotated[int, In(1, 10_000), "documents that a unit on probation has"] = 10
    gap: Annotated[int, In(1, 64), "most unknown characters that become a unit"] = 2
    lines: Annotated[int, In(1, 1_000_000), "lines of a document"] = 200
    documents: Annotated[int, In(1, 10_000_000), "documents that are read"] = 1000
    seed: Annotated[int, In(0, 2**31 - 1), "of what is noted, and of the order"] = 0

    def train(self, texts: Iterable[str]) -> Tokenizer:
        """The tokenizer learned from texts; the same texts give the same one.

        Raises:
            UsageError: If `size` is below 257, or the texts hold nothing to learn from.
        """
        room = self.room(1 + len(LETTERS))
        units = (to_letters(unit.encode()) for unit in self.learn(texts))
        tokens = [END, *LETTERS, *islice((unit for unit in units if len(unit) > 1), room)]
        vocab = {token: place for place, token in enumerate(tokens)}
        model = models.WordPiece(
            vocab, unk_token=END, continuing_subword_prefix="", max_input_chars_per_word=10**9
        )
        tokenizer = by_lines(model)
        tokenizer.add_special_tokens([END])
        return tokenizer

    def learn(self, texts: Iterable[str]) -> list[str]:
        """The units learned from texts, the best first.

        Raises:
            UsageError: If the texts hold nothing to learn from.
        """
        split = by_lines(models.WordPiece({END: 0}, unk_token=END)).pre_tokenizer
        every = [
            text[start:stop]
            for text in self.some(texts)
            for _, (start, stop) in split.pre_tokenize_str(text)
        ]
        documents = [every[i : i + self.lines] for i in range(0, len(every), self.lines)]
        source = random.Random(self.seed)  # noqa: S311 - which neighbours are noted, no secret
        lexicon = _Lexicon(self, source)
        reading = islice(_shuffled(documents, source), self.documents)
        bar = tqdm(reading, self.card.slug, self.documents, delay=2, leave=False, disable=None)
        for number, document in enumerate(bar):
            if not number:
                lexicon.begin(document)
            lexicon.read(document)
        return lexicon.units


def parts(unit: str, places: Mapping[str, int]) -> tuple[str, ...]:
    """The two units that a unit falls into, if both have better places than it; else itself.

    Of several ways the one with the best first place is taken.

    Args:
        unit: A unit.
        places: The place of each unit, the best lowest.
    """
    cuts = ((unit[:i], unit[i:]) for i in range(1, len(unit)))
    better = [cut for cut in cuts if all(places.get(part, inf) < places[unit] for part in cut)]
    return min(better, key=lambda cut: (places[cut[0]], places[cut[1]]), default=(unit,))


def _shuffled(documents: list[list[str]], source: random.Random) -> Iterator[list[str]]:
    """All documents in some order, then in another, without end."""
    while True:
        yield from source.sample(documents, len(documents))


class _Lexicon:
    """The list of units, and what one document does to it.

    `_order` holds numbers of units by place, with room behind for new ones; `_number` is what a
    text is matched against. Single characters are never forgotten, else text became unknown.
    """

    def __init__(self, rule: LessIsBetter, source: random.Random) -> None:
        self._rule, self._source = rule, source
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
