"""Most of the k best columns of each row through a graph of neighbours: for very many rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from tokenry.errors import MissingExtraError
from tokenry.ops.nearest import Ranked, check_k, first_of_each, joined, products


class NearGraph:
    """A graph of neighbours over vectors, built once and asked as often as one likes.

    With one thread, two graphs of the same vectors find the same.

    Args:
        right: Vectors of length one.
        searched: How many candidates the search holds; more finds more.
        threads: How many build and search the graph; 0 for all cores.

    Raises:
        MissingExtraError: If usearch is not installed.

    Source: Malkov and Yashunin 2018, Hierarchical Navigable Small World graphs.
    """

    def __init__(
        self, right: Float[np.ndarray, "m d"], *, searched: int = 200, threads: int = 1
    ) -> None:
        try:
            from usearch.index import Index
        except ImportError as error:
            raise MissingExtraError("NearGraph", 'pip install "tokenry[linking]"') from error
        self._right, self._searched, self._threads = right, searched, threads
        self._index: Any = Index(
            ndim=right.shape[1],
            metric="ip",
            dtype="f32",
            expansion_add=max(searched, 128),
            expansion_search=searched,
        )
        if len(right):
            self._index.add(np.arange(len(right)), right.astype(np.float32), threads=threads)

    def nearest(
        self, left: Float[np.ndarray, "n d"], k: int, least: float = -np.inf, *, itself: bool = True
    ) -> Ranked:
        """The k right vectors of the highest dot product, or most of them; the scores are exact.

        Args:
            left: Vectors of length one.
            k: So many of each row.
            least: Only what scores at least so much.
            itself: Whether a row may be paired with the right row of its own number.

        Raises:
            UsageError: If k is below 1.
        """
        check_k(k)
        wanted = min(k + (not itself), len(self._right))
        if not (len(left) and wanted):
            return joined([])
        self._index.expansion_search = max(self._searched, wanted)
        asked = left.astype(np.float32)
        # One text alone is answered in another form than several.
        found = self._index.search(
            np.concatenate([asked, asked[:1]]), wanted, threads=self._threads
        )
        counts = found.counts[: len(left)]
        rows = np.repeat(np.arange(len(left)), counts)
        inside = np.arange(found.keys.shape[1]) < counts[:, None]
        columns = found.keys[: len(left)][inside].astype(np.int64)
        kept = slice(None) if itself else rows != columns
        rows, columns = rows[kept], columns[kept]
        return first_of_each(rows, columns, products(left, self._right, rows, columns), k, least)
