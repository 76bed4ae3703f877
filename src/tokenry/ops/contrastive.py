"""Contrastive losses: what belongs together scores higher than what does not.

Scores and vectors of a batch in, losses out. `softmax_loss` and `hinge_loss` take scores of any
kind; `in_batch`, `supervised` and `pairwise` take vectors and compare them by cosine.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tokenry.errors import UsageError
from tokenry.ops.similarity import unit

Form = Literal["softmax", "hinge"]
Against = Literal["right", "both", "views"]


def softmax_loss(
    scores: Float[Tensor, "b c"],
    positives: Int[Tensor, " b"] | None = None,
    left_out: Bool[Tensor, "b c"] | None = None,
) -> Float[Tensor, " b"]:
    r"""The cross-entropy of the positive among all candidates, $-\ln e^{s_p} / \sum_c e^{s_c}$.

    Args:
        scores: Of each row with each candidate, divided by the temperature already.
        positives: The candidate that belongs to each row; by default that of the same number.
        left_out: Candidates that are no negatives of a row. Its positive always counts.

    >>> softmax_loss(torch.zeros(1, 4)).exp().tolist()
    [4.0...]
    """
    positives = _diagonal(scores) if positives is None else positives
    if left_out is not None:
        kept = left_out.scatter(1, positives[:, None], False)
        scores = scores.masked_fill(kept, -torch.inf)
    return torch.nn.functional.cross_entropy(scores, positives, reduction="none")


def hinge_loss(
    scores: Float[Tensor, "b c"],
    margin: float,
    positives: Int[Tensor, " b"] | None = None,
    left_out: Bool[Tensor, "b c"] | None = None,
) -> Float[Tensor, " b"]:
    r"""The mean over negatives of $\max(0, s_c - s_p + m)$; 0 for a row that has none.

    Args:
        scores: Of each row with each candidate.
        margin: By how much the positive shall lead.
        positives: The candidate that belongs to each row; by default that of the same number.
        left_out: Candidates that are no negatives of a row.

    >>> hinge_loss(torch.tensor([[0.5, 0.4, 0.1]]), margin=0.2).tolist()
    [0.05...]
    """
    positives = _diagonal(scores) if positives is None else positives
    negative = torch.ones_like(scores, dtype=torch.bool).scatter(1, positives[:, None], False)
    if left_out is not None:
        negative = negative & ~left_out
    lead = scores.gather(1, positives[:, None])
    over = (scores - lead + margin).clamp(min=0).masked_fill(~negative, 0.0)
    return over.sum(1) / negative.sum(1).clamp(min=1)


def in_batch(
    left: Float[Tensor, "b d"],
    right: Float[Tensor, "b d"],
    *,
    temperature: float = 0.05,
    against: Against = "right",
    form: Form = "softmax",
    margin: float = 0.2,
    groups: Int[Tensor, " b"] | None = None,
    hard: Float[Tensor, "h d"] | None = None,
) -> Float[Tensor, ""]:
    """The mean loss of pairs, each told from the other pairs of the batch.

    Args:
        left: One side of each pair.
        right: The other side.
        temperature: Divides the cosines before the softmax; the hinge does without.
        against: What a vector is told from. "right": each left from the rights of others. "both":
            that, and each right from the lefts of others. "views": each vector from both sides of
            all other pairs (NT-Xent).
        form: Cross-entropy, or hinge with `margin`.
        margin: Of the hinge.
        groups: Rows of one group are not negatives of each other.
        hard: Further negatives of all lefts.

    Raises:
        UsageError: If `hard` is given with another `against` than "right".

    >>> same = torch.ones(3, 2)
    >>> loss = in_batch(same, same, against="views")  # of 5 candidates no one stands out
    >>> round(float(loss), 4) == round(float(torch.tensor(5.0).log()), 4)
    True
    """
    if hard is not None and against != "right":
        raise UsageError(
            f"in_batch: hard negatives belong to the lefts alone; against={against!r}, "
            'take against="right".'
        )
    a, b = unit(left), unit(right)
    others = None if groups is None else groups[:, None] == groups
    if against == "views":
        rows = torch.cat([a, b])
        partner = torch.arange(len(rows), device=rows.device).roll(len(a))
        out = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
        out = out if others is None else out | others.repeat(2, 2)
        return _of_scores(rows @ rows.mT, form, temperature, margin, partner, out).mean()
    candidates = b if hard is None else torch.cat([b, unit(hard)])
    extra = len(candidates) - len(b)
    out_right = None if others is None else torch.nn.functional.pad(others, (0, extra))
    loss = _of_scores(a @ candidates.mT, form, temperature, margin, None, out_right).mean()
    if against == "both":
        loss = (loss + _of_scores(b @ a.mT, form, temperature, margin, None, others).mean()) / 2
    return loss


def supervised(
    x: Float[Tensor, "b d"], labels: Int[Tensor, " b"], *, temperature: float = 0.1
) -> Float[Tensor, ""]:
    r"""The supervised contrastive loss: all rows of one label belong together.

    The mean over rows $i$ that have a mate of
    $-\frac{1}{|P_i|} \sum_{p \in P_i} \ln e^{s_{ip}} / \sum_{a \ne i} e^{s_{ia}}$;
    0 where no row has one.

    Args:
        x: Vectors, compared by cosine.
        labels: Of each row.
        temperature: Divides the cosines.

    Source: Khosla et al. 2020 (arXiv 2004.11362), equation 2.
    """
    rows = unit(x)
    self_ = torch.eye(len(x), dtype=torch.bool, device=x.device)
    scores = (rows @ rows.mT / temperature).masked_fill(self_, -torch.inf)
    log_share = (scores - scores.logsumexp(1, keepdim=True)).masked_fill(self_, 0.0)
    mates = (labels[:, None] == labels) & ~self_
    count = mates.sum(1)
    each = -(log_share * mates).sum(1) / count.clamp(min=1)
    return each.sum() / (count > 0).sum().clamp(min=1)


def pairwise(
    left: Float[Tensor, "b d"],
    right: Float[Tensor, "b d"],
    same: Bool[Tensor, " b"],
    *,
    margin: float = 0.5,
    hard_only: bool = False,
    fewest: int = 1,
) -> Float[Tensor, ""]:
    r"""The contrastive loss of labelled pairs, by cosine distance $\delta = 1 - \cos$.

    $\frac{1}{2}\delta^2$ where the two are the same, $\frac{1}{2}\max(0, m - \delta)^2$ where not.

    Args:
        left: One side of each pair.
        right: The other side.
        same: Whether the two belong together.
        margin: The distance that others shall have.
        hard_only: The sum, without the half, over pairs that are not yet in order: the same ones
            that are farther apart than the closest others, and the other way round (the "online"
            loss of sentence-transformers). Otherwise the mean over all.
        fewest: Pairs of one kind from which on they say which of the other are hard; where there
            are less, those are that are farther apart, or closer, than their own mean.

    Source: Hadsell et al. 2006, equation 4.
    """
    distance = 1 - (unit(left) * unit(right)).sum(1)
    near, far = distance[same], distance[~same]
    if hard_only:
        closest = far.min() if len(far) >= fewest else near.mean()
        farthest = near.max() if len(near) >= fewest else far.mean()
        near, far = near[near > closest], far[far < farthest]
    over = (margin - far).clamp(min=0)
    total = near.square().sum() + over.square().sum()
    return total if hard_only else total / (2 * len(distance))


def _of_scores(
    cosines: Tensor,
    form: Form,
    temperature: float,
    margin: float,
    positives: Tensor | None,
    left_out: Tensor | None,
) -> Tensor:
    if form == "hinge":
        return hinge_loss(cosines, margin, positives, left_out)
    return softmax_loss(cosines / temperature, positives, left_out)


def _diagonal(scores: Tensor) -> Tensor:
    return torch.arange(len(scores), device=scores.device)
