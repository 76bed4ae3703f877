"""Running mean and variance over chunks of rows, and how far a row lies from them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def update_moments(
    mean: Float[Tensor, "b d"],
    variance: Float[Tensor, "b d"],
    chunks: Float[Tensor, " b"],
    rows: Float[Tensor, "b t d"],
    real: Bool[Tensor, "b t"],
    cap: int = 1000,
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"], Float[Tensor, " b"]]:
    r"""Mean and variance after one more chunk.

    With $n$ chunks before, and $m$, $v$ mean and biased variance of the $T$ rows of this one:
    $\sigma^2 \leftarrow \frac{\sigma^2 (n - 1/T) + v + (m-\mu)^2 / (1 + 1/n)}{n + 1 - 1/T}$,
    $\mu \leftarrow \frac{\mu n + m}{n + 1}$; the first chunk gives $\mu = m$,
    $\sigma^2 = v\,T/(T-1)$.

    Args:
        mean: Of the chunks before.
        variance: Of the chunks before.
        chunks: How many there were, 0 at the start.
        rows: This chunk.
        real: False where a row is padding; a chunk of padding changes nothing.
        cap: From so many chunks on, $n$ grows no more, and old chunks fade.

    Returns:
        Mean, variance and number of chunks.

    Source: Xiao et al. 2025 (ActQKV), the released statistics.
    """
    held, seen = real.sum(1).to(rows.dtype), real.any(1)
    t = held.clamp(min=1).unsqueeze(1)
    weight = real.unsqueeze(-1) / t.unsqueeze(-1)
    middle = (rows * weight).sum(1)
    spread = ((rows - middle.unsqueeze(1)).square() * weight).sum(1)
    n = chunks.clamp(max=cap).unsqueeze(1)
    between = (middle - mean).square() * n / (n + 1)
    # Before the first chunk n is 0, and the same formula without what was before is the first's.
    within = (variance * (n - 1 / t) * (n > 0) + spread + between) / (n + 1 - 1 / t).clamp(min=0.5)
    new = seen.unsqueeze(1)
    return (
        torch.where(new, (mean * n + middle) / (n + 1), mean),
        torch.where(new, within, variance),
        chunks + seen,
    )


def deviation(
    rows: Float[Tensor, "b t d"], mean: Float[Tensor, "b d"], variance: Float[Tensor, "b d"]
) -> Float[Tensor, "b t"]:
    r"""How far each row stands out.

    The mean over the features of $(x_i-\mu_i)^2 / (\sigma_i^2 + \overline{\sigma^2}/100)$.
    Features that never varied, where nothing else did either, count for nothing.
    """
    floor = variance.mean(-1, keepdim=True) / 100
    scale = (variance + floor).clamp(min=torch.finfo(rows.dtype).tiny).unsqueeze(1)
    apart = (rows - mean.unsqueeze(1)).square()
    return torch.where(scale > torch.finfo(rows.dtype).tiny, apart / scale, 0.0).mean(-1)
