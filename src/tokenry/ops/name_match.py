"""What a learned distance of names is trained to say: the probability that they mean the same."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

_FLOOR = 1e-4  # keeps the root's gradient finite for equal names


def distances(left: Float[Tensor, "b d"], right: Float[Tensor, "c d"]) -> Float[Tensor, "b c"]:
    r"""$\sqrt{10^{-4} + 1 - \cos}$ of all pairs of vectors of length one."""
    return (_FLOOR + (1 - left @ right.mT).clamp(min=0)).sqrt()


def balanced(
    far: Float[Tensor, "b b"], match: Float[Tensor, "b b"]
) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"]]:
    """Pairs to learn from: one third true ones, one third random, one third hard.

    Row i and column i are two names of one id. With column i each row gets the next row's column,
    whatever it is, and the nearest column that is no match at all; a row that matches every column
    has none.

    Args:
        far: Distances of rows from columns.
        match: The probability that row and column mean the same.

    Returns:
        Rows and columns of the pairs.

    Source: Libgober and Jerzak 2025; how hard pairs are found is ours.
    """
    rows = torch.arange(len(far), device=far.device)
    strange = far.detach().masked_fill(match > 0, float("inf"))
    nearest = strange.argmin(1)
    hard = rows[strange.amin(1).isfinite()]
    return (
        torch.cat([rows, rows, hard]),
        torch.cat([rows, rows.roll(-1), nearest[hard]]),
    )


def match_divergence(
    far: Float[Tensor, " m"],
    match: Float[Tensor, " m"],
    bias: Float[Tensor, ""],
    slope: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    r"""Mean of $KL(p \,\|\, \sigma(b_0 - b_1 d))$ between two coins, in nats.

    >>> one = torch.tensor(1.0)
    >>> match_divergence(torch.tensor([1.0]), torch.tensor([0.5]), one, one).item()
    0.0

    Args:
        far: Distances.
        match: Probabilities that names mean the same.
        bias: b_0.
        slope: b_1.
    """
    own = torch.special.entr(match) + torch.special.entr(1 - match)
    loss: Tensor = cross_entropy(bias - slope * far, match, reduction="none") - own
    return loss.mean()
