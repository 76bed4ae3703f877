"""Rotary positions: turn keys or queries by an angle that grows with the position."""

from __future__ import annotations

import torch
from jaxtyping import Float, Real
from torch import Tensor

from tokenry.errors import UsageError


def rotate(
    x: Float[Tensor, "b g s e"],
    positions: Real[Tensor, "#b #g s"] | Real[Tensor, " s"],
    inv_freq: Float[Tensor, " f"],
) -> Float[Tensor, "b g s e"]:
    r"""Rotate channel pairs $(i, i + f)$ of each row by $p\,\theta_i$ (half-split layout).

    $y_i = x_i \cos p\theta_i - x_{i+f} \sin p\theta_i$ and
    $y_{i+f} = x_{i+f} \cos p\theta_i + x_i \sin p\theta_i$ for $i < f$; channels from $2f$
    upwards stay as they are (partial rotary). Rotations compose: a row that stands at position
    $p$ moves to $p'$ when it is rotated by $p' - p$, and back to none by $-p$. A factor that the
    model puts on its rotated keys (YaRN) is on them already and is not applied again.

    Args:
        x: Keys or queries, rotated already or not.
        positions: By how many positions each row turns; negative and fractional ones too.
        inv_freq: $\theta$, angle per position of each channel pair, as the model scales it.

    Returns:
        Rows of the dtype of `x`. Angles are float32, as models compute them; bfloat16 and
        float16 rows are rotated in float32 and rounded once.

    Raises:
        UsageError: If `inv_freq` asks for more channels than there are.

    >>> x = torch.tensor([[[[1.0, 0.0, 7.0]]]])
    >>> rotate(x, torch.tensor([2]), torch.tensor([torch.pi / 4])).round(decimals=3).tolist()
    [[[[-0.0, 1.0, 7.0]]]]

    Source: Su et al. 2021 (RoFormer), equation 34, in the half-split layout of Llama.
    """
    half = len(inv_freq)
    if 2 * half > x.shape[-1]:
        raise UsageError(
            f"rotate: {half} frequencies turn {2 * half} channels, but rows have {x.shape[-1]}; "
            "give one frequency per pair of rotated channels."
        )
    angle = positions.to(x.device, torch.float32).unsqueeze(-1) * inv_freq.to(x.device).float()
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    cos, sin = angle.to(dtype).cos(), angle.to(dtype).sin()
    wide = x.to(dtype)
    first, second, rest = wide[..., :half], wide[..., half : 2 * half], wide[..., 2 * half :]
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin, rest], -1)
    return turned.to(x.dtype)
