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
    return turn(x, *angles(positions, inv_freq, x.dtype))


def angles(
    positions: Real[Tensor, "*p"], inv_freq: Float[Tensor, " f"], dtype: torch.dtype
) -> tuple[Float[Tensor, "*p f"], Float[Tensor, "*p f"]]:
    """Cosines and sines by which `turn` turns rows of `dtype` to `positions`."""
    device = positions.device
    angle = positions.float().unsqueeze(-1) * inv_freq.to(device).float()
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    return angle.to(wide).cos(), angle.to(wide).sin()


def turn(
    x: Float[Tensor, "b g s e"], cos: Float[Tensor, "*p f"], sin: Float[Tensor, "*p f"]
) -> Float[Tensor, "b g s e"]:
    """The same as `rotate`, by angles that several calls share.

    Raises:
        UsageError: If there are more angles than pairs of channels.
    """
    half = cos.shape[-1]
    if 2 * half > x.shape[-1]:
        raise UsageError(
            f"rotate: {half} frequencies turn {2 * half} channels, but rows have {x.shape[-1]}; "
            "give one frequency per pair of rotated channels."
        )
    wide = x.to(cos.dtype)
    first, second = wide[..., :half], wide[..., half : 2 * half]
    turned = wide[..., : 2 * half] * torch.cat([cos, cos], -1)
    turned[..., :half].addcmul_(second, sin, value=-1)
    turned[..., half:].addcmul_(first, sin)
    if 2 * half < x.shape[-1]:
        turned = torch.cat([turned, wide[..., 2 * half :]], -1)
    return turned.to(x.dtype)
