"""Labelling by hand: which pairs to ask about, answers that stay, and what they say of links."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tokenry.counted import counted
from tokenry.errors import DataError, StoreError, UsageError
from tokenry.method import Scored
from tokenry.ops.assignment import ASSIGNMENTS
from tokenry.ops.strata import NAMES, Estimates, asked, estimated, strata, tuned_threshold
from tokenry.tables.frames import Frame
from tokenry.tables.links import Links

Answer = Literal["y", "n", "skip"]
"""The same, not the same, or left open."""

_BEGIN = '{"key": "'


@dataclass(frozen=True, slots=True)
class Pair:
    """One question.

    Attributes:
        left: Columns of the left row.
        right: Columns of the right row.
        rows: Their numbers.
        score: What the linker made of them.
        stratum: Why it is asked: near the threshold, or drawn from above or below.
        key: A digest of both rows' contents.
    """

    left: dict[str, Any]
    right: dict[str, Any]
    rows: tuple[int, int]
    score: float
    stratum: str
    key: str


@dataclass(frozen=True, slots=True)
class Labelled:
    """What the answers say.

    Attributes:
        yes: Pairs that are the same.
        no: Pairs that are not.
        skipped: Pairs that were left open.
        threshold: The linker's own threshold.
        before: How good links from there on are.
        tuned: The threshold at which the estimated F1 is greatest.
        after: How good links from there on are; a little flattered, since the same answers chose
            it.
        compared: How many pairs the estimates are about.
    """

    yes: int
    no: int
    skipped: int
    threshold: float
    before: Estimates
    tuned: float
    after: Estimates
    compared: int

    def __str__(self) -> str:
        lines = [
            f"{counted(self.yes, 'pair is', 'pairs are')} the same, {self.no:,} not, "
            f"{self.skipped:,} left open.",
            f"Of the {counted(self.compared, 'pair that was', 'pairs that were')} compared, with "
            "95 % intervals:",
        ]
        for name, threshold, found in (
            ("the method's own threshold", self.threshold, self.before),
            ("the best threshold", self.tuned, self.after),
        ):
            lines.append(
                f"{name}, {threshold:.4g}: precision {found.precision}, recall {found.recall}, "
                f"F1 {found.f1}"
            )
        return "\n".join(lines)


class Labelling:
    """Questions about scored pairs, in a good order, and the answers.

    `tokenry.ops.strata` says which pairs are asked about, and why the estimates are unbiased.

    Args:
        links: All pairs that were compared with their scores, from `tokenry.link` with
            `assign="many"` and a threshold below all scores.
        count: How many questions there may be.
        path: A .jsonl file that keeps each answer as it comes. Answers that it holds count, for
            whatever tables and linkers the same two rows come up again.
        assign: How many links a row will have. A pair that loses its row to a better one is no link
            at any threshold, so the estimates are of what will be linked.
        threshold: The score from which on a pair is a link; the linker's own when not given.
        share: The share of questions that is not near the threshold.

    Raises:
        UsageError: If there is nothing to ask about, or a setting is out of range.
        DataError: If the file is no file of answers.
        StoreError: If it cannot be written.
    """

    def __init__(
        self,
        links: Links,
        count: int,
        path: str | PathLike[str] | None = None,
        *,
        assign: str = "best_left",
        threshold: float | None = None,
        share: float = 0.5,
    ) -> None:
        if count < 1 or not 0 <= share <= 1:
            raise UsageError(
                f"label: count={count}, share={share}; ask at least one question, and a share of "
                "0 to 1 that is not near the threshold."
            )
        if not len(links):
            raise UsageError("label: no two rows were compared, so there is nothing to ask about.")
        self.threshold = links.matcher().threshold if threshold is None else threshold
        if assign not in ASSIGNMENTS:
            raise UsageError(f"label: assign={assign!r} is unknown; give {', '.join(ASSIGNMENTS)}.")
        self._links, self._assign = links, assign
        self._scores = self._standing(links.scores)
        self._answers = Answers(None if path is None else Path(path))
        # Many pairs near the threshold, so that twice as many questions still find some there.
        near = max(2 * count, 20)
        # Pairs that lose their row come last, in the order of their scores.
        lost = links.scores - (
            np.ptp(links.scores) + 1 + max(0, links.scores.max() - self.threshold)
        )
        ranks = np.where(np.isfinite(self._scores), links.scores, lost)
        self._strata = strata(ranks, self.threshold, near)
        sides = self._digest("left"), self._digest("right")
        self._keys = [f"{left}{right}" for left, right in zip(*sides, strict=True)]
        self._asked = asked(self._strata, _order(self._keys), count, share)

    def __len__(self) -> int:
        return len(self._asked)

    def pair(self, number: int) -> Pair:
        """The question of this number, from 0 on."""
        at = int(self._asked[number])
        left, right = self._rows(at)
        sides = self._record(self._links.left, left), self._record(self._links.right, right)
        stratum = NAMES[self._strata[at]]
        score = float(self._links.scores[at])
        return Pair(*sides, (left, right), score, stratum, self._keys[at])

    def open(self) -> Iterator[tuple[int, Pair]]:
        """The questions that have no answer yet, in order."""
        for number in range(len(self)):
            if self.answered(number) is None:
                yield number, self.pair(number)

    def answered(self, number: int) -> Answer | None:
        """The answer to a question, if there is one."""
        return self._answers.get(self._keys[int(self._asked[number])])

    def answer(self, number: int, answer: Answer) -> None:
        """Take an answer, in the place of an earlier one.

        Raises:
            UsageError: If it is none.
            StoreError: If it cannot be written.
        """
        pair = self.pair(number)
        self._answers.add(pair.key, answer, pair)

    def known(self) -> Scored:
        """The answered pairs, scored 1 and 0, for a linker to learn from; not those left open.

        Raises:
            UsageError: If none was answered.
        """
        labels = self._labels()
        there = np.flatnonzero(~np.isnan(labels))
        self._refuse_nothing(len(there))
        left, right = self._links.rows("left")[there], self._links.rows("right")[there]
        return Scored(left, right, labels[there])

    def findings(self, links: Links | None = None) -> Labelled:
        """What the answers say of all pairs that were compared.

        Args:
            links: What another linker, or this one after it has learned, made of the same tables;
                its scores are judged in the place of the first ones. A linker that has learned from
                these answers looks better here than it is.

        Raises:
            UsageError: If none was answered.
        """
        labels = self._labels()
        known = ~np.isnan(labels)
        self._refuse_nothing(int(known.sum()))
        scores, threshold = self._scores, self.threshold
        if links is not None:
            matcher = links.matcher()
            scores = matcher.score(self._links.rows("left"), self._links.rows("right"))
            scores, threshold = self._standing(scores), matcher.threshold
        tuned = threshold  # answers that are all alike say nothing of where to cut
        if len(np.unique(labels[known])) == 2 and np.isfinite(scores[known]).any():
            tuned = tuned_threshold(self._strata, scores, labels)
        given = [self.answered(number) for number in range(len(self))]
        return Labelled(
            yes=given.count("y"),
            no=given.count("n"),
            skipped=given.count("skip"),
            threshold=threshold,
            before=estimated(self._strata, scores, labels, threshold),
            tuned=tuned,
            after=estimated(self._strata, scores, labels, tuned),
            compared=len(scores),
        )

    def _standing(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """The scores of pairs that could become links; -inf of those that lose their row."""
        there = np.flatnonzero(~np.isnan(scores))
        left, right = self._links.rows("left")[there], self._links.rows("right")[there]
        found = np.full(len(scores), -np.inf)
        kept = there[ASSIGNMENTS[self._assign](left, right, scores[there])]
        found[kept] = scores[kept]
        return found

    def _labels(self) -> NDArray[np.float64]:
        """The answers to what was asked, for each pair; NaN where there is none."""
        found = np.full(len(self._scores), np.nan)
        for at in self._asked.tolist():
            answer = self._answers.get(self._keys[at])
            if answer in ("y", "n"):
                found[at] = float(answer == "y")
        return found

    def _refuse_nothing(self, count: int) -> None:
        if not count:
            raise UsageError("label: no pair was answered with yes or no, so nothing is known.")

    def _rows(self, at: int) -> tuple[int, int]:
        return int(self._links.rows("left")[at]), int(self._links.rows("right")[at])

    def _record(self, frame: Frame, row: int) -> dict[str, Any]:
        found: dict[str, Any] = frame.table.slice(row, 1).to_pylist()[0]
        return found

    def _digest(self, side: Literal["left", "right"]) -> list[str]:
        """A digest of the contents of this side of each pair."""
        frame = self._links.left if side == "left" else self._links.right
        rows, place = np.unique(self._links.rows(side), return_inverse=True)
        found = [_digest(row) for row in frame.table.take(rows).to_pylist()]
        return [found[at] for at in place.tolist()]


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _order(keys: Sequence[str]) -> NDArray[np.uint64]:
    """A number for each key, as if by chance."""
    return np.array([zlib.crc32(key.encode()) for key in keys], dtype=np.uint64)


class Answers:
    """Answers by the digest of their pair, each on a line of a file as it comes.

    The last answer to a pair counts. A last line that was cut off is left out.

    Args:
        path: The file; None keeps them in memory alone.

    Raises:
        DataError: If the file is no file of answers.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._held: dict[str, Answer] = {}
        self._torn = False
        if path is not None and path.exists():
            try:
                content = path.read_text(encoding="utf-8")
            except (OSError, UnicodeError) as error:
                raise DataError(f"{path}: cannot be read ({error}).") from error
            self._torn = bool(content) and not content.endswith("\n")
            for number, line in enumerate(content.split("\n"), 1):
                self._take(line, f"{path}: line {number}")

    def get(self, key: str) -> Answer | None:
        """The answer to a pair, if there is one."""
        return self._held.get(key)

    def add(self, key: str, answer: Answer, pair: Pair) -> None:
        """Take an answer, and write it before it counts.

        Raises:
            UsageError: If it is none.
            StoreError: If it cannot be written.
        """
        if answer not in get_args(Answer):
            allowed = ", ".join(get_args(Answer))
            raise UsageError(f"label: answer={answer!r}; answers are {allowed}.")
        if self._path is not None:
            line: dict[str, Any] = {
                "key": key,
                "answer": answer,
                "left": pair.left,
                "right": pair.right,
            }
            line |= {"score": pair.score, "stratum": pair.stratum}
            text = json.dumps(line, default=str, ensure_ascii=False)
            try:
                with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(("\n" if self._torn else "") + text + "\n")
            except OSError as error:
                raise StoreError(f"{self._path}: cannot be written ({error}).") from error
            self._torn = False
        self._held[key] = answer

    def _take(self, line: str, where: str) -> None:
        try:
            held = json.loads(line)
            key, answer = held["key"], held["answer"]
        except (ValueError, KeyError, TypeError):
            key, answer = None, None
        if isinstance(key, str) and answer in get_args(Answer):
            self._held[key] = answer
        elif line.strip() and not line.startswith(_BEGIN):  # what begins so was cut off
            raise DataError(
                f"{where} is no answer; name the file that --label wrote, or one that does not "
                "exist."
            )
