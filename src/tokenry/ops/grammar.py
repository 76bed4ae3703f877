"""Probabilistic context-free grammars that are learned from token sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

PRIOR = 0.1
"""What every rule counts beyond how often it was used, so that none becomes impossible."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """A grammar in Chomsky's normal form, as logarithms of probabilities.

    Symbols are `s` of them: first those that branch, then those that write a token.

    Attributes:
        root: Of each branching symbol to stand for a whole sequence.
        rules: Of each branching symbol to become two symbols.
        words: Of each writing symbol to write a token.
    """

    root: Float[Tensor, "n"]
    rules: Float[Tensor, "n s s"]
    words: Float[Tensor, "p v"]


def likelihoods(grammar: Grammar, rows: Int[Tensor, "b t"]) -> Float[Tensor, " b"]:
    """Logarithm of the probability of sequences of one length: the sum over all their trees.

    Args:
        grammar: What may have written them.
        rows: Sequences of two tokens or more.
    """
    branching, length = len(grammar.root), rows.shape[1]
    words = grammar.words.T[rows]  # b t p
    absent = words.new_full((*rows.shape, branching), -torch.inf)
    # spans[w] holds, for each place, the symbols that w + 1 tokens from there may come from.
    spans = [torch.cat([absent, words], 2)]
    rules = grammar.rules.exp().flatten(1)
    for width in range(2, length + 1):
        starts = length - width + 1
        pairs = [
            (spans[left - 1][:, :starts], spans[width - left - 1][:, left : left + starts])
            for left in range(1, width)
        ]
        # Products of probabilities, each side scaled by its largest: no logarithm of a sum of s^2.
        tops = [(a.amax(2, True), b.amax(2, True)) for a, b in pairs]
        scale = torch.stack([a + b for a, b in tops]).amax(0).detach()
        both = sum(
            torch.einsum("bis,bit->bist", (a - x).exp(), (b - y).exp())
            * (x + y - scale).exp()[..., None]
            for (a, b), (x, y) in zip(pairs, tops, strict=True)
        )
        found = torch.as_tensor(both).flatten(2) @ rules.T
        spans.append(_wide(found.clamp(min=1e-30).log() + scale, grammar))
    return (spans[-1][:, 0, :branching] + grammar.root).logsumexp(1)


def _of_length(grammar: Grammar, length: int) -> Float[Tensor, ""]:
    """Logarithm of the probability of any sequence of this length."""
    anything = grammar.words.new_zeros(len(grammar.words), 1)
    row = torch.zeros(1, length, dtype=torch.long)
    return likelihoods(Grammar(grammar.root, grammar.rules, anything), row)[0]


def _wide(found: Float[Tensor, "b i n"], grammar: Grammar) -> Float[Tensor, "b i s"]:
    """With the symbols that write one token and so stand for no longer span."""
    absent = found.new_full((*found.shape[:2], len(grammar.words)), -torch.inf)
    return torch.cat([found, absent], 2)


def learn(
    rows: Sequence[Int[Tensor, "b t"]],
    tokens: int,
    *,
    branching: int = 6,
    writing: int = 12,
    rounds: int = 15,
    seed: int = 0,
) -> Grammar:
    """Learn a grammar by expectation and maximisation, from a random beginning.

    The derivative of the log-likelihood by the logarithm of a rule's probability is how often the
    rule is expected to have been used, which saves an outside pass of its own.

    Args:
        rows: Sequences, those of each length together.
        tokens: Different tokens.
        branching: Symbols that become two.
        writing: Symbols that write a token.
        rounds: How often all sequences are read.
        seed: Of the beginning.

    Returns:
        The grammar after the last round: each makes the sequences likelier, together with the
        Dirichlet prior that `PRIOR` stands for.
    """
    source = torch.Generator().manual_seed(seed)
    symbols = branching + writing
    shapes = ((branching,), (branching, symbols, symbols), (writing, tokens))
    # Draws as uneven as this leave the saddle at which all symbols are alike.
    parts = [torch.randn(shape, generator=source).mul(2).exp() for shape in shapes]
    for _ in range(rounds):
        logs = [_normal(part).log().requires_grad_() for part in parts]
        for some in rows:
            likelihoods(Grammar(*logs), some).sum().backward()  # type: ignore[no-untyped-call]
        parts = [PRIOR + torch.as_tensor(part.grad) for part in logs]
    return Grammar(*(_normal(part).log() for part in parts))


def _normal(part: Tensor) -> Tensor:
    """Shares of each row, of whatever shape."""
    if part.ndim == 1:
        return part / part.sum()
    return part / part.flatten(1).sum(1).view(-1, *[1] * (part.ndim - 1))


def bits_of_order(
    sequences: Sequence[Int[np.ndarray, "_"]],
    *,
    length: int = 8,
    kinds: int = 64,
    most: int = 600,
    branching: int = 6,
    rounds: int = 15,
    seed: int = 0,
) -> tuple[float, float]:
    """Bits per token under a learned grammar, of pieces of sequences and of the same shuffled.

    Half of the pieces is learned from, the other half is measured, given how long they are. What
    is rarer than the most frequent kinds of tokens is one kind together.

    Args:
        sequences: Ids of tokens.
        length: Tokens of a piece.
        kinds: Kinds of tokens.
        most: Most pieces.
        branching: Symbols that become two; twice as many write tokens.
        rounds: How often pieces are read.
        seed: Of the choice of pieces, the shuffling, and the grammar's beginning.

    Returns:
        Both, or NaN twice if there are less than two pieces.
    """
    ids = np.concatenate([np.asarray(row, dtype=np.int64) for row in sequences])
    known, counts = np.unique(ids, return_counts=True)
    frequent = known[np.argsort(-counts, kind="stable")[: kinds - 1]].tolist()
    table = {int(token): place for place, token in enumerate(frequent)}
    pieces = np.array(
        [
            [table.get(int(token), len(table)) for token in row[start : start + length]]
            for row in sequences
            for start in range(0, len(row) - length + 1, length)
        ],
        dtype=np.int64,
    ).reshape(-1, length)
    rng = np.random.default_rng(seed)
    pieces = rng.permutation(pieces)[:most]
    if len(pieces) < 2:
        return math.nan, math.nan
    found = []
    for some in (pieces, rng.permuted(pieces, axis=1)):
        rows = torch.from_numpy(some)
        settings = {"branching": branching, "writing": 2 * branching, "rounds": rounds}
        grammar = learn([rows[::2]], len(table) + 1, **settings, seed=seed)
        fit = likelihoods(grammar, rows[1::2]).mean() - _of_length(grammar, length)
        found.append(-float(fit) / length / math.log(2))
    return found[0], found[1]
