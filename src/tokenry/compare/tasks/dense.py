"""A dense task: does the map that a head draws from the patches survive merging and unmerging."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tokenry.compare.tasks.base import Pass, Scores, Subject
from tokenry.compare.tasks.vision import VisionTask
from tokenry.errors import UsageError
from tokenry.plugs.encoder import patch_size

Decoder = Callable[[Float[Tensor, "b n d"], tuple[int, int]], Float[Tensor, "b y x"]]


class Dense(VisionTask):
    """Correlation between a dense head's map and the one from the untouched model.

    The rows that are left are given back to every patch that merged into them (zeros where a
    patch was dropped), then the head draws its map. Unmerging and the head are not timed.

    Args:
        decoder: The head: from patch rows `(b, n, d)` and their grid (rows, columns) to maps
            `(b, y, x)`. When not given, the saliency head of `zoo:dinov2-small-saliency`, which
            fits that model only.
    """

    slug = "dense"
    title = "Agreement of the dense map"
    metric = "correlation"
    explanation = (
        "Pearson correlation between the map (such as saliency) that a dense head draws after "
        "unmerging, and the map that it draws from the untouched model."
    )

    def __init__(self, decoder: Decoder | None = None) -> None:
        self.decoder = decoder
        self._head: Decoder | None = decoder
        self._patch = 0

    def describe(self) -> str:
        """The task and a hash of its decoder."""
        from tokenry.zoo import weights_hash

        if self.decoder is None:
            return "dense"
        if isinstance(self.decoder, nn.Module):
            return f"dense(decoder={weights_hash(self.decoder)})"
        return f"dense(decoder={self.decoder.__module__}.{self.decoder.__qualname__})"

    def prepare(self, subject: Subject, examples: Sequence[Any]) -> None:
        """Get the decoder.

        Raises:
            UsageError: If there is none for this model.
        """
        super().prepare(subject, examples)
        self._patch = patch_size(subject.model)
        if self.decoder is None:
            self._head = _saliency(subject)
        if isinstance(self._head, nn.Module):
            self._head = self._head.to(subject.device)
