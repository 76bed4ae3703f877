"""Cover arithmetic: the ways to write the beginning of a text in tokens, and what each weighs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from tokenry.ops.byte_trie import ByteTrie, Node

END = 256
"""The place of the end of text among the outcomes that may follow a text."""

Rows = Int[np.ndarray, " k"]


@dataclass(slots=True)
class Answer:
    r"""What a model says of the token behind a cover, restricted to canonical text.

    Attributes:
        mass: $P(t \mid t_1 \dots t_k)$ of each row of the trie; 0 where the token is known not to
            follow in canonical text.
        stop: Probability that the text ends here.
        tested: Of which rows it is known whether they follow.
        cut: Probability of all that was found not to follow.
    """

    mass: Float[np.ndarray, " n"]
    stop: float
    tested: Bool[np.ndarray, " n"]
    cut: float = 0.0

    def note(self, rows: Rows, follow: Bool[np.ndarray, " k"]) -> None:
        """Take note of which rows follow in canonical text; the others are taken out."""
        self.tested[rows] = True
        lost = rows[~follow]
        self.cut += float(self.mass[lost].sum())
        self.mass[lost] = 0.0

    def end(self, follows: bool) -> None:
        """Say whether the text may end here."""
        if not follows:
            self.cut, self.stop = self.cut + self.stop, 0.0


@dataclass(eq=False, slots=True)
class Cover:
    r"""Tokens that spell the first bytes of a text, as the beginning of a canonical writing.

    Attributes:
        parent: The same without the last token; None for the common beginning of all covers.
        row: The last token, as a row of the trie; -1 for the common beginning.
        end: How many bytes of the text they spell.
        weight: $\ln P(t_1 \dots t_k)$ relative to the common beginning. Where the model has not
            yet answered for the parent, the parent's, which is no less.
        answer: What the model says of the next token; None before it was asked.
        children: The covers with one token more, by row.
    """

    parent: Cover | None
    row: int
    end: int
    weight: float = 0.0
    answer: Answer | None = None
    children: dict[int, Cover] = field(default_factory=dict)

    def path(self, floor: Cover) -> tuple[int, ...]:
        """The rows behind those of an earlier cover on the way to this one."""
        rows: list[int] = []
        cover = self
        while cover is not floor and cover.parent is not None:
            rows.append(cover.row)
            cover = cover.parent
        return tuple(reversed(rows))

    def weigh(self) -> None:
        """Set the weight from what is known of the parent."""
        if self.parent is None:
            return
        self.weight, before = self.parent.weight, self.parent.answer
        if before is not None:
            share = float(before.mass[self.row]) / max(1 - before.cut, 1e-300)
            self.weight += math.log(share) if share > 0 else -math.inf


@dataclass(frozen=True, slots=True)
class Opening:
    """A cover, and the tokens that may follow it in the text.

    Attributes:
        cover: Tokens that spell the text up to a place.
        node: The tokens that begin with the rest of the text.
    """

    cover: Cover
    node: Node


def scales(openings: Sequence[Opening]) -> Float[np.ndarray, " m"]:
    """What one unit of each model answer weighs; the heaviest cover weighs about one.

    Args:
        openings: Some of them may wait for the model; theirs is at least what they weigh.
    """
    logs = np.array([one.cover.weight for one in openings])
    heaviest = logs.max() if np.isfinite(logs).any() else 0.0
    kept = [1 - one.cover.answer.cut if one.cover.answer else 1.0 for one in openings]
    found: np.ndarray = np.exp(logs - heaviest) / np.maximum(kept, 1e-300)
    return found


def unanswered(openings: Sequence[Opening], tolerance: float) -> list[Cover]:
    """The covers that the model has to run on; the others weigh next to nothing.

    Args:
        openings: All openings of a text.
        tolerance: The share of the total that may rest on covers the model has not run on.

    Returns:
        Parents before children.
    """
    units = scales(openings)
    known, waiting = 0.0, []
    for unit, one in zip(units, openings, strict=True):
        if one.cover.answer is None:
            waiting.append((float(unit), one.cover))
        else:
            known += float(unit * one.cover.answer.mass[one.node.rows].sum())
    waiting.sort(key=lambda pair: pair[0])
    allowed, light = tolerance * known, 0.0
    found: dict[int, Cover] = {}
    for unit, cover in waiting:
        light += unit
        if light > allowed:
            chain: Cover | None = cover
            while chain is not None and chain.answer is None:
                found[id(chain)] = chain
                chain = chain.parent
    return sorted(found.values(), key=lambda cover: cover.end)


def untested(
    openings: Sequence[Opening], fresh: Sequence[Cover], tolerance: float
) -> list[tuple[Cover, Rows]]:
    """The tokens whose canonicality has to be tested; the others weigh next to nothing.

    A token counts for what it adds to the text's weight. If its cover is new, it counts for what
    its loss would change too, since the rest of that cover's answer is scaled up.

    Args:
        openings: All openings of a text.
        fresh: Covers for which the model has just answered.
        tolerance: The share of the total that may rest on tokens that are not tested.

    Returns:
        Rows of the trie, for each cover that has such.
    """
    total, flow = 0.0, {id(cover): 0.0 for cover in fresh if cover.parent is not None}
    counts: dict[int, tuple[Cover, Float[np.ndarray, " n"]]] = {}
    for unit, one in zip(scales(openings), openings, strict=True):
        answer = one.cover.answer
        if answer is None:
            continue
        counts[id(one.cover)] = one.cover, np.zeros(len(answer.mass))
        counts[id(one.cover)][1][one.node.rows] = unit * answer.mass[one.node.rows]
        here = float(counts[id(one.cover)][1].sum())
        total += here
        chain: Cover | None = one.cover
        while chain is not None:
            if id(chain) in flow:
                flow[id(chain)] += here
            chain = chain.parent
    for cover in fresh:
        if cover.answer is not None and flow.get(id(cover)):
            whole = flow[id(cover)] * cover.answer.mass
            known = counts.get(id(cover), (cover, whole))[1]
            counts[id(cover)] = cover, np.maximum(known, whole)
    masses = [np.where(c.answer.tested, 0.0, m) for c, m in counts.values() if c.answer]
    least = _least(np.concatenate(masses), tolerance * total)
    rows = [np.flatnonzero(mass >= least) for mass in masses]
    return [(c, found) for (c, _), found in zip(counts.values(), rows, strict=True) if len(found)]


def _least(masses: Float[np.ndarray, " k"], allowed: float) -> float:
    """The least mass that is not light: all that is less comes to no more than what is allowed."""
    many = allowed / max(len(masses), 1)
    heavy = np.sort(masses[masses > many])
    light = float(masses[masses <= many].sum())
    below = int(np.searchsorted(light + heavy.cumsum(), allowed, side="right"))
    return float(heavy[below]) if below < len(heavy) else math.inf


def following(
    openings: Sequence[Opening], trie: ByteTrie, length: int
) -> Float[np.ndarray, " 257"]:
    r"""What each byte weighs that may follow a text, and its end.

    $\sum_{\text{covers of } xb} P(t_1 \dots t_k)$ for each byte $b$, up to a common factor: a
    cover that reaches beyond the text $x$ counts for its next byte, one that spells just $x$ for
    the first byte of each token behind it, and for the end.

    Args:
        openings: All openings of a text; those that wait for the model are left out.
        trie: Of the vocabulary.
        length: Bytes of the text.
    """
    found = np.zeros(END + 1)
    for unit, one in zip(scales(openings), openings, strict=True):
        answer = one.cover.answer
        if answer is not None:
            found[:END] += unit * trie.following(one.node, answer.mass)
            if one.cover.end == length:
                found[END] += unit * answer.stop
    return found


def at_border(openings: Sequence[Opening], length: int) -> float:
    """The share of covers that have a border between tokens where a text of `length` bytes ends."""
    units, masses = scales(openings), []
    for unit, one in zip(units, openings, strict=True):
        answer = one.cover.answer
        here = 0.0 if answer is None else float(answer.mass[one.node.rows].sum())
        stop = 0.0 if answer is None or one.cover.end < length else answer.stop
        masses.append(float(unit) * (here + stop))
    spelled = [m for m, one in zip(masses, openings, strict=True) if one.cover.end == length]
    return sum(spelled) / max(sum(masses), 1e-300)


def mixed(scores: Float[np.ndarray, "m 257"], rule: str) -> Float[np.ndarray, " 257"]:
    r"""One distribution over bytes from several, as log-probabilities.

    Args:
        scores: Log-probabilities, one row for each model.
        rule: `average`: $\frac1m \sum_i p_i$; `product`: $\propto \prod_i p_i^{1/m}$.

    >>> rows = np.log(np.full((2, 257), 1 / 257))
    >>> bool(np.allclose(mixed(rows, "product"), rows[0]))
    True
    """
    if rule == "average":
        return log_normalized(np.logaddexp.reduce(scores, axis=0))
    return log_normalized(scores.mean(axis=0))


def log_normalized(scores: Float[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
    """Log-probabilities that sum to one, from unnormalized ones; NaN when all are impossible."""
    with np.errstate(invalid="ignore"):
        found: np.ndarray = scores - np.logaddexp.reduce(scores)
    return found
