"""What one linker makes of two tables: candidates, links, a threshold, seconds and bytes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenry.compare.blocked import Blocked
from tokenry.compare.linked import CUT, Linkable, LinkingData
from tokenry.method import Aids, Embed, Linker, Matcher, Scored, Side
from tokenry.method.text_rows import TextRows, encode
from tokenry.ops.assignment import ASSIGNMENTS
from tokenry.ops.clusters import components, record_scores
from tokenry.ops.thresholds import best_threshold
from tokenry.plugs.token_windows import PlainReader, windows
from tokenry.tables.aids import linker as linker_by_name
from tokenry.tables.memory import peak, reset_peak

AT_ONCE = 512
"""Texts whose token states are held together."""

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


class Meter:
    """Gives texts vectors; a text is encoded once, and every run that asks for it pays for it.

    Args:
        encode: What encodes.
        separator: What its tokenizer puts between two texts, if it says.
    """

    def __init__(self, encode: Embed, separator: str | None = None) -> None:
        self._encode = encode
        self.separator = separator
        self._place: dict[str, int] = {}
        self._seconds: list[float] = []
        self._vectors: list[NDArray[np.float32]] = []
        self._asked: set[str] = set()
        self.spent = 0.0
        """Seconds that the encoder ran since the last reset."""

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of texts, one row each."""
        new = [text for text in dict.fromkeys(texts) if text not in self._place]
        if new:
            start = time.perf_counter()
            vectors = self._encode(new)
            spent = time.perf_counter() - start
            self.spent += spent
            # Long texts take longer: each pays by its characters.
            shares = np.array([len(text) + 8 for text in new], dtype=np.float64)
            self._place |= {text: len(self._place) + i for i, text in enumerate(new)}
            self._seconds += (spent * shares / shares.sum()).tolist()
            self._vectors += list(vectors)
        self._asked.update(texts)
        if not texts:
            return np.zeros((0, len(self._vectors[0]) if self._vectors else 1), np.float32)
        return np.stack([self._vectors[self._place[text]] for text in texts])

    @property
    def charged(self) -> float:
        """Seconds that the texts which were asked for since the last reset take to encode."""
        return sum(self._seconds[self._place[text]] for text in self._asked)

    def reset(self) -> None:
        """Begin a new bill."""
        self.spent, self._asked = 0.0, set()


def cosine(left: Side, right: Side, embed: Embed) -> TextRows:
    """The untouched encoder: the cosine of the vectors of whole records.

    It has no threshold of its own.

    Args:
        left: One table.
        right: The other one; the same object for one table.
        embed: Gives texts vectors.
    """
    (one, other), vectors = encode([side.texts() for side in (left, right)], embed, "compare")
    matcher = TextRows(vectors, one, other, left is right)
    matcher.threshold = float("nan")
    return matcher


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Linked:
    """What a linker found.

    Attributes:
        matcher: The linker, having read both tables.
        left: Left row of each pair: of every labelled pair, or of what the assignment left.
        right: Its right row.
        score: Its score; NaN where a side is empty.
        threshold: From where on a pair is a link.
        seconds: Of everything, encoding included.
        encoding: Of the encoding alone.
        bytes: By which the process grew at most.
    """

    matcher: Matcher
    left: Rows
    right: Rows
    score: Array
    threshold: float
    seconds: float
    encoding: float
    bytes: int

    def at(self, threshold: float) -> NDArray[np.bool_]:
        """Which pairs are links at a threshold."""
        return np.asarray(self.score >= threshold, dtype=bool)


def link(
    data: LinkingData,
    linker: Linker | None,
    meter: Meter,
    known: Scored | None,
    candidates: int,
    assignment: str,
    pairs: Blocked | None = None,
) -> Linked:
    """Let a linker read both tables, and choose its threshold on the part for that.

    Args:
        data: The tables, with what is known of them.
        linker: The linker; None for the untouched encoder.
        meter: Gives texts vectors.
        known: What it may learn from.
        candidates: Right rows that are kept for each left row before the assignment.
        assignment: Which of `tokenry.ops.assignment` decides between them.
        pairs: Those that blocking leaves, which are all compared; None for the nearest of each row.

    Raises:
        UsageError: If the linker needs what is not there.
    """
    meter.reset()
    reset_peak()
    before, start = peak(), time.perf_counter()
    matcher: Matcher
    if linker is None:
        matcher = cosine(data.left, data.right, meter)
    else:
        matcher = linker.prepare(
            data.left, data.right, Aids(embed=meter, known=known, linker=linker_by_name)
        )
    if data.paired:
        found = _paired(data, matcher)
    else:
        found = matcher.nearest(candidates) if pairs is None else _scored(matcher, pairs)
        found = _both_ways(found, data.left.count) if data.alone else found
        kept = ASSIGNMENTS[assignment](*found)
        found = Scored(*(column[kept] for column in found))
    measured = time.perf_counter() - start
    charged = meter.charged
    return Linked(
        matcher=matcher,
        left=found.left,
        right=found.right,
        score=np.asarray(found.score, dtype=np.float64),
        threshold=_threshold(data, found, matcher.threshold),
        seconds=measured - meter.spent + charged,
        encoding=charged,
        bytes=peak() - before,
    )


def _scored(matcher: Matcher, pairs: Blocked) -> Scored:
    """Blocked pairs that have a score."""
    score = np.asarray(matcher.score(pairs.left, pairs.right), dtype=np.float64)
    there = ~np.isnan(score)
    return Scored(pairs.left[there], pairs.right[there], score[there])


def _both_ways(found: Scored, count: int) -> Scored:
    """Pairs of one table, so that each of the two rows has the other one, each once."""
    left, right = np.concatenate((found.left, found.right)), np.concatenate(found[1::-1])
    _, first = np.unique(left * count + right, return_index=True)
    score = np.tile(np.asarray(found.score, dtype=np.float64), 2)
    return Scored(left[first], right[first], score[first])


def _paired(data: LinkingData, matcher: Matcher) -> Scored:
    """Every labelled pair with its score: those that are scored, then those that are fitted on."""
    every = [*data.examples, *(one for part, one in data.fit if part == CUT)]
    left = np.array([one.left for one in every], dtype=np.int64)
    right = np.array([one.right for one in every], dtype=np.int64)
    return Scored(left, right, matcher.score(left, right))


def _threshold(data: LinkingData, found: Scored, own: float) -> float:
    """The best F1 on the part that is there for it; the linker's own where it finds no true pair.

    Half way to the next lower score, so that it does not hang on the one pair.
    """
    if data.paired:
        same = np.array([bool(one.wanted) for one in data.part(CUT)])
        score = np.asarray(found.score)[len(data.examples) :]
        missed = 0
    else:
        wanted = {one.left: set(one.wanted) for one in data.part(CUT)}
        mine = np.array([row in wanted for row in found.left.tolist()], dtype=bool)
        left, right, score = (column[mine] for column in found)
        pairs = zip(left.tolist(), right.tolist(), strict=True)
        same = np.array([b in wanted[a] for a, b in pairs], dtype=bool)
        missed = sum(map(len, wanted.values())) - int(same.sum())
    every = np.asarray(found.score)[~np.isnan(found.score)]
    above = score > _floor(every)
    if not same[above].any():
        return own if own == own else np.inf
    best, _ = best_threshold(score[above], same[above], missed + int(same[~above].sum()))
    below = every[every < best]
    return float((best + below.max()) / 2) if len(below) else best


def _floor(scores: Array) -> float:
    """A lowest score that most pairs share tells nothing of any: it is no link."""
    if not len(scores):
        return -np.inf
    least = float(scores.min())
    return least if 2 * (scores == least).sum() > len(scores) else -np.inf


def counted(
    data: LinkingData, examples: Sequence[Linkable], linked: Linked, threshold: float
) -> dict[str, list[float]]:
    """For each example: links that are true, links, true pairs, score and truth of the best pair.

    Args:
        data: The tables.
        examples: Some of what is scored.
        linked: What was found.
        threshold: From where on a pair is a link.
    """
    places: dict[Any, list[int]] = {}
    for i, (a, b) in enumerate(zip(linked.left.tolist(), linked.right.tolist(), strict=True)):
        places.setdefault((a, b) if data.paired else a, []).append(i)
    kept = linked.at(threshold)
    table: dict[str, list[float]] = {n: [] for n in ("hits", "found", "wanted", "link", "right")}
    for one in examples:
        mine = places.get((one.left, one.right) if data.paired else one.left, [])
        mine = mine[:1] if data.paired else mine
        links = [i for i in mine if kept[i]]
        true = set(one.wanted)
        best = max(mine, key=lambda i: np.nan_to_num(linked.score[i], nan=-np.inf), default=None)
        table["hits"].append(sum(int(linked.right[i]) in true for i in links))
        table["found"].append(len(links))
        table["wanted"].append(len(true))
        table["link"].append(float("nan") if best is None else float(linked.score[best]))
        table["right"].append(float(best is not None and int(linked.right[best]) in true))
    return table


def cubed(
    data: LinkingData, examples: Sequence[Linkable], linked: Linked
) -> tuple[list[float], list[float]]:
    """B-cubed precision and recall of each left record, in the clusters that links make.

    Args:
        data: The tables, whose known links are taken for complete.
        examples: Left records.
        linked: What was found.
    """
    behind = 0 if data.alone else data.left.count
    count = data.right.count + behind
    kept = linked.at(linked.threshold)
    pairs = np.stack((linked.left[kept], linked.right[kept] + behind), 1)
    gold = np.array(data.gold, dtype=np.int64).reshape(-1, 2)
    gold = gold + np.array([0, behind])
    own, true = components(pairs, count), components(gold, count)
    precision, recall = record_scores(own, true)[[one.left for one in examples]].T
    return precision.tolist(), recall.tolist()


def encoder(model: Any, tokenizer: Any) -> Embed:
    """Texts to vectors of length one, by the mean over a model's tokens; nothing is cut off.

    Args:
        model: A text encoder of transformers, in evaluation mode.
        tokenizer: Its tokenizer.

    Raises:
        UnsupportedModelError: If the tokenizer does not know where tokens stand.
    """
    reader = PlainReader(model, tokenizer)

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        found = np.zeros((len(texts), reader.pooled), dtype=np.float32)
        for start in range(0, len(texts), AT_ONCE):
            some = list(texts[start : start + AT_ONCE])
            parts = windows(some, reader.tokenizer, reader.room)
            for part, state in zip(parts, reader.read(parts, "document"), strict=True):
                found[start + part.text] += state.total.numpy()
        length = np.linalg.norm(found, axis=1, keepdims=True)
        found /= np.maximum(length, np.finfo(np.float32).tiny)
        return found

    return embed
