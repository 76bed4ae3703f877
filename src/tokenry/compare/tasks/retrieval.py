"""Retrieval across domains: find the same thing, drawn by somebody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tokenry.compare.tasks.base import Pass, Scores, Subject
from tokenry.compare.tasks.vision import VisionTask, require_labels
from tokenry.errors import UnknownNameError, UsageError


class Retrieval(VisionTask):
    """Whether the nearest image of the other domain shows the same thing.

    Queries go through the method, the gallery through the untouched model: an index that exists
    already is searched by a cheaper encoder. Similarity is the cosine of the embeddings. The
    secondary score is one over the rank of the first right answer.

    Args:
        query: Domain of the queries; the second in sorted order when not given.
        gallery: Domain that is searched; the first of the others when not given.
    """

    slug = "retrieval"
    title = "Right answer in retrieval across domains"
    metric = "top-1 accuracy"
    binary = True
    explanation = (
        "Whether the nearest image of another domain (such as another vendor's drawings), embedded "
        "by the untouched model, has the same label as the query."
    )

    def __init__(self, query: str | None = None, gallery: str | None = None) -> None:
        self.query, self.gallery = query, gallery
        self._seen: list[Tensor] = []
        self._labels: list[str] = []

    def describe(self) -> str:
        """The task and its domains."""
        return f"retrieval(query={self.query!r}, gallery={self.gallery!r})"

    def prepare(self, subject: Subject, examples: Sequence[Any]) -> None:
        """Check that there are labels and two domains.

        Raises:
            UsageError: If there are not.
        """
        super().prepare(subject, examples)
        self._seen, self._labels = [], []
        require_labels("retrieval", examples)

    def split(self, examples: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """The gallery, and the queries whose label it holds.

        Raises:
            UsageError: If no query has an answer.
            UnknownNameError: If a domain that was named is not in the data.
        """
        query, gallery = self._domains(examples)
        stored = [e for e in examples if e.domain == gallery and e.label is not None]
        labels = {e.label for e in stored}
        asked = [e for e in examples if e.domain == query and e.label in labels]
        if not asked:
            raise UsageError(
                f"retrieval: no image of domain {query!r} has a label that domain {gallery!r} "
                "has too; both must show the same things."
            )
        return stored, asked

    def observe(self, seen: Pass, examples: Sequence[Any]) -> None:
        """Put images into the gallery."""
        self._seen.append(normalize(seen.outputs.pooled.double(), dim=1))
        self._labels += [str(e.label) for e in examples]

    def score(self, seen: Pass, untouched: Pass, examples: Sequence[Any]) -> Scores:
        """1 where the nearest image has the query's label, else 0."""
        cosine = normalize(seen.outputs.pooled.double(), dim=1) @ torch.cat(self._seen).T
        right, reciprocal = [], []
        for row, example in zip(cosine, examples, strict=True):
            match = torch.tensor([label == str(example.label) for label in self._labels])
            # An equally near wrong image counts as nearer: ties must not look like successes.
            best = row[match.to(row.device)].max() if bool(match.any()) else row.new_tensor(-2.0)
            nearer = int((row[~match.to(row.device)] >= best).sum())
            right.append(float(nearer == 0))
            reciprocal.append(1 / (1 + nearer))
        return Scores(right, {"reciprocal_rank": reciprocal})

    def _domains(self, examples: Sequence[Any]) -> tuple[str, str]:
        known = sorted({e.domain for e in examples if e.domain is not None})
        for name in (self.query, self.gallery):
            if name is not None and name not in known:
                raise UnknownNameError("domain", name, known)
        if len(known) < 2:
            raise UsageError(
                f"retrieval: needs images of two domains, got {len(known)}; for example two "
                "vendors' drawings of the same things, as in data='emoji'."
            )
        query = self.query or next(d for d in known[1:] + known[:1] if d != self.gallery)
        gallery = self.gallery or next(d for d in known if d != query)
        if query == gallery:
            raise UsageError(f"retrieval: query and gallery are both {query!r}; give two domains.")
        return query, gallery
