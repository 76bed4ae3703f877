"""Linking: which records of two tables, or of one, are the same thing, how surely, at what cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tokenry.compare.blocked import Blocked, blocked
from tokenry.compare.linked import LEARN, Linkable, LinkingData, known
from tokenry.compare.linkers import Linked, Meter, cosine, counted, cubed, encoder, link
from tokenry.compare.records import Figure
from tokenry.compare.tasks.base import Pass, Scores, Subject, Task, whole_number
from tokenry.errors import UnknownNameError, UsageError
from tokenry.method import Linker, Method, Scored
from tokenry.ops.agreement import ratios
from tokenry.ops.assignment import ASSIGNMENTS

NEAR = 3
"""Wrong records that are learned from beside each true one: the nearest for the encoder."""
ALONE = 400
"""Pairs of a batch up to which each is asked for its own parts."""

PAIRWISE = (
    Figure("precision", "Precision", "number", "hits", over="found", span=True),
    Figure("recall", "Recall", "number", "hits", over="wanted", span=True),
    Figure("own_f1", "F1 at own threshold", "number", "own_hits", over="own_weight"),
)
CUBED = (
    Figure("b3_precision", "B\u00b3 precision", "number", span=True),
    Figure("b3_recall", "B\u00b3 recall", "number", span=True),
    Figure("b3_f1", "B\u00b3 F1", "number", "b3_precision", harmonic="b3_recall", span=True),
)
COSTS = (
    Figure("encoding_seconds", "Encoding", "seconds"),
    Figure("matching_seconds", "Matching", "seconds"),
)


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of some examples.

    Attributes:
        linked: What was found in the whole tables.
        examples: The examples.
    """

    linked: Linked
    examples: list[Linkable]


class Linking(Task):
    """Whether linkers find which records are the same thing.

    An example is a left record, or a labelled pair. The score is F1 over all of them; each counts
    by what was found and what is true of it, so that differences are paired. Thresholds are chosen
    on a part of the examples that is not scored. The untouched model is the encoder alone: the
    cosine of whole records. Of one table every record is looked up among the others, a link counts
    for both its records, and whatever reaches the threshold is one.

    Args:
        candidates: Right records that are kept for each left one before the assignment.
        assign: "one_to_one", "mutual", "best_left" or "greedy"; None for one to one where the known
            links are, else the best for each left record. Not for one table.
        learn: Whether linkers may learn from known pairs that are neither scored nor used for the
            threshold.
        block: Which records are compared, as `tokenry.link` reads it; all when not given.

    Raises:
        UsageError: If one is out of range.
        UnknownNameError: If there is no such assignment.
    """

    kind = "linker"
    slug = "linking"
    title = "Records linked"
    metric = "F1"
    explanation = (
        "F1 of links at a threshold that was chosen for each method on records that are not "
        "scored. The untouched model is the encoder alone: the cosine of whole records."
    )
    dial = False
    weight = "weight"

    def __init__(
        self,
        candidates: int = 5,
        assign: str | None = None,
        learn: bool = True,
        block: str | Sequence[str] | None = None,
    ) -> None:
        whole_number(self.slug, "candidates", candidates)
        allowed = [name for name in ASSIGNMENTS if name != "many"]
        if assign is not None and assign not in allowed:
            raise UnknownNameError("assignment", assign, allowed)
        self.candidates, self.assign, self.learn = candidates, assign, learn
        self.block = block if block is None or isinstance(block, str) else list(block)
        self._data: LinkingData | None = None
        self._pairs: Blocked | None = None
        self._meter: Meter | None = None
        self._known: Scored | None = None
        self._linker: Linker | None = None
        self._grown: dict[Linker | None, int] = {}

    def describe(self) -> str:
        """The task and its settings."""
        block = "" if self.block is None else f", block={self.block!r}"
        return (
            f"{self.slug}(candidates={self.candidates}, assign={self.assign}, learn={self.learn}"
            f"{block})"
        )

    def take(self, data: LinkingData) -> None:
        """Note the tables, and what is known of them."""
        self._data = data
        there = known(data.part(LEARN)) if self._learns(data) else None
        pairs = 0 if there is None else len(there.score)
        learned = f"{pairs} other known pairs are there to learn from." if pairs else ""
        if data.paired and self.block is not None:
            raise UsageError(
                f"{self.slug}: block={self.block!r} with labelled pairs; leave it out."
            )
        if data.alone and self.assign is not None:
            raise UsageError(f"{self.slug}: assign={self.assign!r} with one table; leave it out.")
        self._pairs = None if self.block is None else blocked(data, self.block)
        self.figures = (*PAIRWISE, *COSTS) if data.paired else (*PAIRWISE, *CUBED, *COSTS)
        told = "" if self._pairs is None else self._pairs.told
        parts = (self._what(data), told, type(self).explanation, learned)
        self.explanation = " ".join(part for part in parts if part)

    def _what(self, data: LinkingData) -> str:
        """What an example is."""
        if data.paired:
            return f"Each of {len(data.examples)} labelled pairs is a match or none."
        if data.alone:
            return (
                f"Each of {len(data.examples)} records finds those of the same thing among the "
                f"{data.left.count} of its table; a link counts for both. B\u00b3 averages over "
                "records."
            )
        return (
            f"Each of {len(data.examples)} left records finds its own among {data.right.count} "
            f"right ones, {self._assignment(data).replace('_', ' ')}; B\u00b3 averages over left "
            "records."
        )

    def prepare(self, subject: Subject, examples: Sequence[Linkable]) -> None:
        """Make the encoder; what may be learned from is made of what is near for it."""
        data = self._tables
        self._meter = Meter(
            encoder(subject.model, subject.processor),
            getattr(subject.processor, "sep_token", None),
        )
        hard = None
        if self._learns(data) and not data.paired:
            hard = cosine(data.left, data.right, self._meter).nearest(NEAR + 1)
        self._known = known(data.part(LEARN), hard) if self._learns(data) else None

    @contextmanager
    def switched(self, model: nn.Module, methods: Sequence[Method]) -> Iterator[Any]:
        """The linker that the next passes are of."""
        self._linker = methods[0] if methods else None  # type: ignore[assignment]
        yield None

    def batch(self, subject: Subject, examples: Sequence[Linkable]) -> list[Linkable]:
        """The examples themselves."""
        return list(examples)

    def run(self, model: nn.Module, batch: list[Linkable]) -> Decided:
        """Link the whole tables anew: a linker may look at all records to judge two."""
        if self._meter is None:
            raise UsageError(f"{self.slug}: was not prepared.")
        data = self._tables
        linked = link(
            data,
            self._linker,
            self._meter,
            self._known,
            self.candidates,
            self._assignment(data),
            self._pairs,
        )
        # Later passes find what the first one took from the system still there.
        self._grown[self._linker] = max(linked.bytes, self._grown.get(self._linker, 0))
        return Decided(linked, batch)

    def seconds(self, seen: Pass, measured: float) -> float:
        """The batch's share of the time for the whole tables, encoding included."""
        decided: Decided = seen.outputs
        return decided.linked.seconds * len(decided.examples) / len(self._tables.examples)

    def peak(self, seen: Pass, measured: int) -> int:
        """By how much the process grew, the most of all passes so far."""
        return self._grown[self._linker]

    def finite(self, outputs: Decided) -> list[bool]:
        """A pair without a score is no link, and no fault."""
        return [True] * len(outputs.examples)

    def score(self, seen: Pass, untouched: Pass, examples: Sequence[Linkable]) -> Scores:
        """F1 of each example, 1 where nothing is true and nothing was found."""
        data, linked = self._tables, seen.outputs.linked
        table: dict[str, Sequence[float]] = {}
        table |= counted(data, examples, linked, linked.threshold)
        hits, found, wanted = (np.array(table[n]) for n in ("hits", "found", "wanted"))
        weight = found + wanted
        own = counted(data, examples, linked, linked.matcher.threshold)
        unknown = np.nan if np.isnan(linked.matcher.threshold) else 0.0
        table |= {
            "weight": weight.tolist(),
            "threshold": [linked.threshold] * len(examples),
            "own_hits": (2 * np.array(own["hits"]) + unknown).tolist(),
            "own_weight": (np.array(own["found"]) + wanted).tolist(),
        }
        if not data.paired:
            table["b3_precision"], table["b3_recall"] = cubed(data, examples, linked)
        f1 = ratios(np.stack((hits, found, wanted), 1))[:, 2]
        return Scores(f1.tolist(), table)

    def costs(self, seen: Pass) -> dict[str, float]:
        """Seconds for the whole tables, of the encoder and of all else."""
        linked = seen.outputs.linked
        return {
            "encoding_seconds": linked.encoding,
            "matching_seconds": linked.seconds - linked.encoding,
        }

    def thumbnails(self, subject: Subject, batch: list[Linkable], untouched: Pass) -> list[bytes]:
        """The left record, and those that it truly belongs to, as JSON."""
        data = self._tables
        return [
            json.dumps(
                {
                    "left": data.record(0, one.left),
                    "keys": list(data.left.keys),
                    "right": {str(row): data.record(1, row) for row in self._rights(one)},
                    "wanted": list(one.wanted),
                }
            ).encode()
            for one in batch
        ]

    def groups(self, seen: Pass) -> list[NDArray[np.int16]]:
        """The pairs of each example as the linker saw them: the bytes of JSON, one row of them."""
        decided: Decided = seen.outputs
        return [
            np.frombuffer(json.dumps(one).encode(), dtype=np.uint8).astype(np.int16)[None]
            for one in self._seen(decided.linked, decided.examples)
        ]

    def _seen(self, linked: Linked, examples: Sequence[Linkable]) -> list[dict[str, Any]]:
        """For each example the pair that was chosen, and the true ones."""
        places: dict[int, list[int]] = {}
        for i, left in enumerate(linked.left.tolist()):
            places.setdefault(left, []).append(i)
        pairs: list[tuple[int, int]] = []
        owner: list[int] = []
        for number, one in enumerate(examples):
            mine = [int(linked.right[i]) for i in places.get(one.left, ())]
            rights = [one.right] if one.right is not None else dict.fromkeys([*mine, *one.wanted])
            pairs += [(one.left, right) for right in rights]
            owner += [number] * len(pairs[len(owner) :])
        table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        scores = linked.matcher.score(table[:, 0], table[:, 1])
        parts = _parts(linked, table)
        links = set(zip(linked.left.tolist(), linked.right.tolist(), strict=True))
        found: list[dict[str, Any]] = [
            {"threshold": linked.threshold, "pairs": []} for _ in examples
        ]
        for i, (pair, number) in enumerate(zip(pairs, owner, strict=True)):
            one, score = examples[number], float(scores[i])
            found[number]["pairs"].append(
                {
                    "row": pair[1],
                    "score": score if score == score else None,
                    "linked": pair in links and score >= linked.threshold,
                    "true": pair[1] in one.wanted,
                    "parts": parts[i],
                }
                | self._record(pair[1], one)
            )
        return found

    def _record(self, row: int, one: Linkable) -> dict[str, Any]:
        """The record itself, unless the example's picture holds it."""
        if row in self._rights(one):
            return {}
        return {"record": self._tables.record(1, row)}

    @staticmethod
    def _rights(one: Linkable) -> tuple[int, ...]:
        return one.wanted if one.right is None else (one.right,)

    def _learns(self, data: LinkingData) -> bool:
        return self.learn and any(one.wanted for one in data.part(LEARN))

    def _assignment(self, data: LinkingData) -> str:
        if data.alone:
            return "many"
        return self.assign or ("one_to_one" if data.one_to_one else "best_left")

    @property
    def _tables(self) -> LinkingData:
        if self._data is None:
            raise UsageError(f"{self.slug}: got no tables; see tokenry.data.load_linked.")
        return self._data


def _parts(linked: Linked, pairs: NDArray[np.int64]) -> list[dict[str, float]]:
    """What each pair's score is made of; one by one, so that what matters to it is named.

    Of very many pairs the report shows few: they are asked about together, which is faster.
    """
    step = 1 if len(pairs) <= ALONE else max(1, len(pairs))
    found: list[dict[str, float]] = []
    for start in range(0, len(pairs), step):
        some = pairs[start : start + step]
        parts = linked.matcher.parts(some[:, 0], some[:, 1])
        for i in range(len(some)):
            values = {name: float(column[i]) for name, column in parts.items()}
            found.append({name: value for name, value in values.items() if value})
    return found
