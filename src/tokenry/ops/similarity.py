"""Cosine similarity between rows."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def unit(x: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b n d"]:
    """Rows of length one, in float32; a zero row stays zero instead of becoming NaN."""
    return torch.nn.functional.normalize(x.float(), dim=-1)
