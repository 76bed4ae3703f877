"""What passes of a model over n tokens take, as `bench/decoding.py` measures it."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

SIZES = (1, 2, 4, 8, 16, 32, 64)
TIMED = 5


@dataclass
class Costs:
    """What passes over n tokens behind a text take.

    Attributes:
        b: Texts at once.
        context: Tokens before the pass.
        spent: Seconds by n.
    """

    b: int
    context: int
    spent: dict[int, list[float]] = field(default_factory=lambda: {n: [] for n in SIZES})

    def time(self, model: Any) -> None:
        """Time `TIMED` passes of each size."""
        shape = self.b, self.context + max(SIZES)
        ids = torch.randint(100, 20_000, shape, device=model.device)
        cache = DynamicCache(config=model.config)
        model(ids[:, : self.context], past_key_values=cache, logits_to_keep=1)
        for _ in range(TIMED):
            for n, taken in self.spent.items():
                start = now(model)
                model(ids[:, self.context : self.context + n], past_key_values=cache)
                taken.append(now(model) - start)
                cache.crop(-n)

    @property
    def curve(self) -> dict[int, float]:
        """The median of each size."""
        return {n: statistics.median(taken) for n, taken in self.spent.items()}


def now(model: Any) -> float:
    """Seconds on a clock, once all that the model was asked for is done."""
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def between(curve: dict[int, float], n: int) -> float:
    """The cost of a pass over n tokens, on straight lines between the measured ones."""
    sizes = sorted(curve)
    high = next((size for size in sizes if size >= n), sizes[-1])
    low = max([size for size in sizes if size <= n], default=sizes[0])
    if low == high:
        return curve[low]
    return curve[low] + (curve[high] - curve[low]) * (n - low) / (high - low)
