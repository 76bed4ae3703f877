"""What a model's weights are: their content hash, and whether they are numbers at all."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

_NOT_CONTENT = ("_name_or_path", "transformers_version")


def weights_hash(model: nn.Module) -> str:
    """A content hash of a model: its class, configuration and every byte of its state.

    BLAKE2b over the name, shape, dtype and bytes of each tensor of ``state_dict``. Two models of
    one hash compute the same, wherever they were loaded from; results are stored under it.

    Args:
        model: any module; a transformers model's configuration counts too.

    Returns:
        32 hexadecimal digits.

    >>> import torch
    >>> layer = torch.nn.Linear(2, 2)
    >>> weights_hash(layer) == weights_hash(layer.double())
    False
    """
    digest = hashlib.blake2b(digest_size=16)
    config = getattr(model, "config", None)
    if config is not None:
        content = {k: v for k, v in config.to_diff_dict().items() if k not in _NOT_CONTENT}
        digest.update(json.dumps(content, sort_keys=True, default=str).encode())
    digest.update(type(model).__qualname__.encode())
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def first_not_finite(model: nn.Module) -> str | None:
    """The name of the first parameter with a NaN or an infinite value, or None.

    The least and the greatest value tell: NaN passes through both (one pass over the weights).
    """
    for name, parameter in model.named_parameters():
        if parameter.numel() and not all(bool(end.isfinite()) for end in parameter.aminmax()):
            return name
    return None


def _bytes(tensor: Tensor) -> memoryview:
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
