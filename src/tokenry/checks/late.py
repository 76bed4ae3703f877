"""Checks of how a scorer by tokens ranks documents, on random vectors or words."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tokenry.checks.declaration import variants
from tokenry.method import LateScorer
from tokenry.ops.ragged import Ragged
from tokenry.ops.similarity import unit

WIDTH = 16
QUERIES = (3, 1, 6)
DOCUMENTS = (5, 1, 9, 0, 14, 7, 30, 2)


def texts(cls: type[LateScorer], lengths: tuple[int, ...], seed: int = 0) -> Ragged:
    """Random tokens, the same on every run: vectors of length one, or numbers of words."""
    source = torch.Generator().manual_seed(seed)
    if cls.reads == "words":
        return Ragged.of([torch.randint(0, 40, (n,), generator=source) for n in lengths])
    return Ragged.of([unit(torch.randn(n, WIDTH, generator=source)) for n in lengths], WIDTH)


def shape(cls: type[LateScorer]) -> str:
    """One score per query and document, numbers all, also where there is nothing."""
    some = texts(cls, QUERIES), texts(cls, DOCUMENTS, 1)
    none = texts(cls, ())
    for method in variants(cls):
        for q, d in (some, (some[0], none), (none, some[1])):
            scores = method.score(q, d)
            if scores.shape != (len(q), len(d)):
                return f"{method.describe()}: scores {tuple(scores.shape)}, not {len(q), len(d)}."
            if bool(scores.isnan().any() | scores.isposinf().any()):
                return f"{method.describe()}: a score is NaN or infinite."
    return ""


def nothing(cls: type[LateScorer]) -> str:
    """A document without tokens never stands before one that has some."""
    q, d = texts(cls, QUERIES), texts(cls, DOCUMENTS, 1)
    empty = DOCUMENTS.index(0)
    for method in variants(cls):
        scores = method.score(q, d)
        allowed = 0.0 if cls.reads == "words" else -torch.inf
        if not bool((scores[:, empty] == allowed).all()):
            return f"{method.describe()}: a document without tokens scores {scores[0, empty]:g}."
    return ""


def queries(cls: type[LateScorer]) -> str:
    """A query scores the same alone as among others."""
    q, d = texts(cls, QUERIES), texts(cls, DOCUMENTS, 1)
    for method in variants(cls):
        scores = method.score(q, d)
        for number in range(len(q)):
            if not _close(method.score(q.take([number]), d), scores[number : number + 1]):
                return f"{method.describe()}: query {number} scores otherwise when it is alone."
    return ""


def documents(cls: type[LateScorer]) -> str:
    """A pairwise score does not depend on the other documents."""
    q, d = texts(cls, QUERIES), texts(cls, DOCUMENTS, 1)
    some = [6, 0, 2]
    for method in variants(cls):
        if cls.pairwise and not _close(method.score(q, d.take(some)), method.score(q, d)[:, some]):
            return f"{method.describe()}: is pairwise, yet other documents change a score."
    return ""


def repeat(cls: type[LateScorer]) -> str:
    """Two runs give the same scores."""
    q, d = texts(cls, QUERIES), texts(cls, DOCUMENTS, 1)
    for method in variants(cls):
        if not torch.equal(method.score(q, d), method.score(q, d)):
            return f"{method.describe()}: the second run differs."
    return ""


def precision(cls: type[LateScorer]) -> str:
    """Vectors in half precision give nearly the scores of full precision."""
    if cls.reads == "words":
        return ""
    q, d = texts(cls, QUERIES), texts(cls, DOCUMENTS, 1)
    halves = [Ragged(one.values.half(), one.offsets) for one in (q, d)]
    for method in variants(cls):
        if not _close(method.score(*halves), method.score(q, d), 1e-2):
            return f"{method.describe()}: half precision changes scores by more than 0.01."
    return ""


def _close(a: Float[Tensor, "q d"], b: Any, tolerance: float = 1e-4) -> bool:
    return torch.allclose(a, b, atol=tolerance)
