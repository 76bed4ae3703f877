r"""Which drafted token passes, so that the model writes what it would have written anyway.

Acceptance-rejection: a token `y` drawn from the distribution `r` passes with the probability
`min(1, p[y] / r[y])` under the model's distribution `p`; if it does not, the next token must come
from `p' \propto max(p - r, 0)`, and as tokens are drawn without putting back, the next candidate
comes from `r` without `y`. A token that was chosen, not drawn, is a point mass: `r[y] = 1`.

Source: Leviathan et al. 2023, section 2.3; Miao et al. 2023 (SpecInfer), section 4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Tensor


def chance(p: Float[Tensor, " v"], y: int, r: Float[Tensor, " v"] | None = None) -> float:
    """The probability with which the candidate passes.

    Args:
        p: The model's distribution, or what earlier rejections left of it.
        y: The candidate.
        r: The distribution that it was drawn from; None when it was chosen.

    >>> import torch
    >>> chance(torch.tensor([0.25, 0.75]), 0, torch.tensor([0.5, 0.5]))
    0.5
    """
    if r is None:
        return float(p[y])
    drawn = float(r[y])
    return min(1.0, float(p[y]) / drawn) if drawn > 0 else 0.0


def left(
    p: Float[Tensor, " v"], y: int, r: Float[Tensor, " v"] | None = None
) -> Float[Tensor, " v"]:
    """The distribution of the next token once the candidate did not pass.

    >>> import torch
    >>> left(torch.tensor([0.25, 0.75]), 0, torch.tensor([0.5, 0.5])).tolist()
    [0.0, 1.0]
    """
    if r is None:
        rest = p.clone()
        rest[y] = 0
    else:
        rest = (p - r).clamp(min=0)
    total = rest.sum()
    return rest / total if total > 0 else p


def without(r: Float[Tensor, " v"], y: int) -> Float[Tensor, " v"]:
    """The distribution that the next candidate was drawn from, `y` not being put back.

    >>> import torch
    >>> without(torch.tensor([0.5, 0.25, 0.25]), 0).tolist()
    [0.0, 0.5, 0.5]
    """
    rest = r.clone()
    rest[y] = 0
    total = rest.sum()
    return rest / total if total > 0 else rest


def choose(
    p: Float[Tensor, " v"],
    candidates: Sequence[int],
    r: Float[Tensor, " v"] | None,
    uniform: Callable[[], float],
) -> tuple[int | None, Float[Tensor, " v"]]:
    """Let the candidates for the next token pass one after the other.

    Args:
        p: The model's distribution.
        candidates: Drafted tokens, in the order in which they were drawn.
        r: The distribution that the first was drawn from; None when they were chosen.
        uniform: Draws a number from [0, 1).

    Returns:
        Which candidate passed, and what is left of `p`; where none did, the token comes from that.
    """
    for i, y in enumerate(candidates):
        if uniform() < chance(p, y, r):
            return i, p
        p = left(p, y, r)
        r = None if r is None else without(r, y)
    return None, p
