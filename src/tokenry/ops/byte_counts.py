"""A byte predictor that counts: what followed these bytes before, backing off to fewer bytes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float, Int

from tokenry.ops.arithmetic import END, SYMBOLS

Row = tuple[Int[np.ndarray, " k"], Float[np.ndarray, " k"]]


class ByteCounts:
    r"""Probabilities of the next byte from counts of what followed.

    $P_k(s) = (c_k(s) + u_k P_{k-1}(s)) / (n_k + u_k)$ with the counts $c_k$ behind the last k
    bytes, their sum $n_k$ and the number of different successors $u_k$; $P_{-1}$ is uniform.

    Args:
        counts: How often each symbol, 256 for the end of a text, followed each run of bytes.

    Source: Witten and Bell 1991, method C.
    """

    def __init__(self, counts: Mapping[bytes, Mapping[int, int]]) -> None:
        self._rows: dict[bytes, Row] = {
            before: (np.array(list(row)), np.array(list(row.values()), dtype=np.float64))
            for before, row in counts.items()
        }

    @classmethod
    def learned(cls, texts: Iterable[bytes], order: int = 4) -> ByteCounts:
        """Counts of texts, behind runs of up to `order` bytes."""
        counts: dict[bytes, Counter[int]] = defaultdict(Counter)
        for text in texts:
            for place, symbol in enumerate([*text, END]):
                for length in range(min(order, place) + 1):
                    counts[text[place - length : place]][symbol] += 1
        return cls(counts)

    def __call__(self, prefix: bytes) -> Float[np.ndarray, " 257"]:
        """Probabilities of what follows; fewer bytes than were counted will do."""
        found = np.full(SYMBOLS, 1 / SYMBOLS)
        for length in range(len(prefix) + 1):
            row = self._rows.get(prefix[len(prefix) - length :])
            if row is None:
                break
            symbols, counts = row
            whole = counts.sum() + len(counts)
            found *= len(counts) / whole
            found[symbols] += counts / whole
        return found
