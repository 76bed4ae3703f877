"""The dial: from one share `keep` to how many rows each layer has left."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tokenry.errors import UsageError

Spread = Literal["constant", "linear", "ratio"] | tuple[int, ...]


def kept_count(n: int, keep: float) -> int:
    """How many of `n` rows stay at share `keep`: the nearest integer, halves up, at least one.

    >>> [kept_count(10, k) for k in (1.0, 0.55, 0.5, 0.01)]
    [10, 6, 5, 1]
    """
    return max(1, math.floor(n * keep + 0.5))


def shares(weight: Sequence[float], total: float, low: float) -> list[float]:
    """Shares proportional to `weight` within `[low, 1]` whose sum is `total`.

    >>> [round(share, 6) for share in shares([1.0, 1.0, 6.0], 1.6, 0.01)]
    [0.3, 0.3, 1.0]
    """
    under, over = 0.0, 1 / min(weight)
    for _ in range(60):
        scale = (under + over) / 2
        if sum(min(1.0, max(low, scale * w)) for w in weight) > total:
            over = scale
        else:
            under = scale
    return [min(1.0, max(low, under * w)) for w in weight]


@dataclass(frozen=True, slots=True)
class Budget:
    """What a reduction over the layers of an encoder must respect.

    Attributes:
        tokens: Rows at the input of the first layer, protected ones included.
        protected: Rows that always stay.
        depth: Number of layers.
        layers: The layers in which rows are removed.
        middle: True when they go between attention and MLP, False when before the layer.
        max_drop: Largest share of the unprotected rows that one removal can take.
    """

    tokens: int
    protected: int
    depth: int
    layers: tuple[int, ...]
    middle: bool
    max_drop: float = 1.0

    def share(self, counts: Sequence[int], of: int | None = None) -> float:
        r"""The dial: mean share of the tokens that the layers really process.

        $\text{keep} = \frac{1}{L\,n_0} \sum_{\ell=1}^{L} \tfrac12 (a_\ell + m_\ell)$

        where $a_\ell$ rows enter the attention and $m_\ell$ rows the MLP of layer $\ell$.

        Args:
            counts: Rows left after the removal of each layer.
            of: Rows of the untouched model, $n_0$; `tokens` when not given.
        """
        before = [self.tokens, *counts[:-1]] if self.middle else counts
        processed = sum(a + m for a, m in zip(before, counts, strict=True)) / 2
        return processed / (self.depth * (of or self.tokens))

    def counts(self, keep: float, spread: Spread, owner: str = "method") -> tuple[int, ...]:
        """Rows left after each layer, so that their mean share is `keep`.

        Args:
            keep: The dial, in (0, 1].
            spread: "constant": the same number goes in each layer; "linear": twice the mean
                in the first, none in the last; "ratio": the same share goes in each layer;
                a tuple: exactly these numbers go, one for each of `layers`, 0 where it is short.
            owner: Who asks, for messages.

        Raises:
            UsageError: If no removal of this spread comes to `keep`, or a tuple is too long.
        """
        if isinstance(spread, tuple):
            if len(spread) > len(self.layers):
                raise UsageError(
                    f"{owner}: schedule has {len(spread)} numbers, but tokens are removed in "
                    f"{len(self.layers)} layers; give at most one number for each."
                )
            removed = dict(zip(self.layers, spread, strict=False))
            return self._run(lambda i, free: removed.get(self.layers[i], 0))
        if keep == 1 or not self.layers:
            return (self.tokens,) * self.depth
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            if self.share(self._spread(spread, middle)) > keep:
                low = middle
            else:
                high = middle
        options = [self._spread(spread, strength) for strength in (low, high, 1.0)]
        best = min(options, key=lambda counts: abs(self.share(counts) - keep))
        if self.share(best) > keep + 1 / self.tokens:
            raise UsageError(
                f"{owner}: keep={keep} cannot be reached with {self.tokens} tokens, of which "
                f"{self.protected} are protected, in {self.depth} layers; the lowest is "
                f"{math.ceil(self.share(best) * 1000) / 1000}."
            )
        return best

    def _spread(self, spread: str, strength: float) -> tuple[int, ...]:
        free, steps = self.tokens - self.protected, len(self.layers)
        if spread == "ratio":
            left = [free * (1 - strength) ** (i + 1) for i in range(steps)]
        elif spread == "linear":
            last = steps - 1
            weight = [2 * (last - i) / last if last else 1.0 for i in range(steps)]
            left = [free * (1 - strength * sum(weight[: i + 1])) for i in range(steps)]
        else:
            left = [free * (1 - strength * (i + 1)) for i in range(steps)]
        # Rounding what is left, not what goes, keeps the mean share exact to one row.
        return self._run(lambda i, rows: rows - round(left[i]))

    def _run(self, removal: Callable[[int, int], int]) -> tuple[int, ...]:
        """Counts after each layer when layer `layers[i]` removes `removal(i, free rows)`."""
        free, counts = self.tokens - self.protected, []
        order = {layer: i for i, layer in enumerate(self.layers)}
        for layer in range(self.depth):
            if layer in order:
                most = min(math.floor(free * self.max_drop), free - 1)
                free -= min(max(removal(order[layer], free), 0), most)
            counts.append(free + self.protected)
        return tuple(counts)
