"""Checks of what a `VocabMap` makes of a model's rows, on tiny vocabularies."""

from __future__ import annotations

import torch
from torch import Tensor

from tokenry.checks.vocabularies import move
from tokenry.method import EmbeddingRows, Embeddings, Origin, VocabMap


def tables(rows: Embeddings) -> list[Tensor]:
    """The tables that there are."""
    return [one for one in (rows.input, rows.output, rows.bias) if one is not None]


def equal(one: EmbeddingRows, other: EmbeddingRows) -> bool:
    """Whether two results are the same, bit for bit."""
    pairs = zip(tables(one.embeddings), tables(other.embeddings), strict=True)
    same = all(torch.equal(a, b) for a, b in pairs) and torch.equal(one.origin, other.origin)
    return same and [[*p] for p in one.parents] == [[*p] for p in other.parents]


def shapes(cls: type[VocabMap]) -> str:
    """Every token of the target has a row in each table that the source has, and finite ones."""
    for tied in (False, True):
        given = move(tied)
        made, count = cls().rows(given), len(given.target)
        old, new = tables(given.embeddings), tables(made.embeddings)
        if len(old) != len(new):
            return f"it makes {len(new)} tables of {len(old)}; a tied model has one, no bias."
        for before, after in zip(old, new, strict=True):
            if after.shape != (count, *before.shape[1:]):
                return f"a table of {tuple(after.shape)} for {count} tokens."
            if not after.isfinite().all():
                return "a row is not finite."
        if len(made.origin) != count or len(made.parents) != count:
            return f"{len(made.origin)} origins and {len(made.parents)} parents for {count} tokens."
    return ""


def provenance(cls: type[VocabMap]) -> str:
    """Parents are source tokens, and a copied row is that of its one parent in every table."""
    given = move()
    made = cls().rows(given)
    known = {int(origin) for origin in Origin}
    for token, (origin, parents) in enumerate(zip(made.origin.tolist(), made.parents, strict=True)):
        if origin not in known:
            return f"the origin of token {token} is {origin}; it is no Origin."
        if any(not 0 <= parent < len(given.source) for parent in parents):
            return f"token {token} has a parent that the source does not have."
        if origin == Origin.MIXED and not parents:
            return f"token {token} is mixed, but has no parents."
        if origin == Origin.COPIED:
            if len(parents) != 1:
                return f"token {token} is copied, but has {len(parents)} parents."
            pairs = zip(tables(made.embeddings), tables(given.embeddings), strict=True)
            if not all(torch.equal(new[token], old[parents[0]]) for new, old in pairs):
                return f"token {token} is copied, but its row is not that of its parent."
    return ""


def repeat(cls: type[VocabMap]) -> str:
    """The same move gives the same rows, whatever was drawn before."""
    first = cls().rows(move())
    torch.rand(3)
    if not equal(first, cls().rows(move())):
        return "the same move gives different rows."
    return ""


def untouched(cls: type[VocabMap]) -> str:
    """The model's own rows and the method stay as they are."""
    given, method = move(), cls()
    before, said = [one.clone() for one in tables(given.embeddings)], repr(vars(method))
    made = method.rows(given)
    for one in tables(made.embeddings):
        one.zero_()
    if not all(map(torch.equal, before, tables(given.embeddings))):
        return "the rows of the source change, or are the rows that are made."
    if repr(vars(method)) != said:
        return f"the method changed while it ran: {said} became {vars(method)!r}."
    return ""


def precision(cls: type[VocabMap]) -> str:
    """Rows in bfloat16 become rows in bfloat16, finite ones."""
    made = cls().rows(move(dtype=torch.bfloat16))
    for one in tables(made.embeddings):
        if one.dtype != torch.bfloat16 or not one.isfinite().all():
            return f"rows in bfloat16 become {one.dtype}, or are not finite."
    return ""
