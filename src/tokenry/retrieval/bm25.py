"""The baseline without any model: words, how often, and how rare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np
import torch
from jaxtyping import Float
from scipy import sparse
from torch import Tensor

from tokenry.card import Card
from tokenry.errors import UsageError
from tokenry.method import In, LateScorer, Prepared, Reads
from tokenry.ops.ragged import Ragged


@final
@dataclass(frozen=True, kw_only=True)
class Bm25(LateScorer):
    r"""Okapi BM25 as Lucene has it, over the numbers of words.

    $\sum_w \ln(1 + \frac{N - n_w + 0.5}{n_w + 0.5}) \cdot
    \frac{f_w}{f_w + k_1 (1 - b + b \cdot l / \bar l)}$ with $f_w$ the times that a word stands in
    the document, $n_w$ the documents that hold it, $l$ the document's length.

    Args:
        k1: How soon further occurrences stop counting.
        b: How much long documents are held against them.

    Raises:
        UsageError: If a setting is out of range.

    >>> d = Ragged.of([torch.tensor([1, 2]), torch.tensor([2, 2, 3])])
    >>> Bm25().score(Ragged.of([torch.tensor([1])]), d).argmax().item()
    0
    """

    reads: ClassVar[Reads] = "words"
    pairwise: ClassVar[bool] = False

    card: ClassVar[Card] = Card(
        slug="bm25",
        name="BM25",
        title="Words, how often they stand in a document, and how rare they are",
        summary="No model, no training, and still hard to beat as a first stage.",
        family="retrieval",
        have="texts split into words",
        want="a baseline that costs nothing, or candidates for a better ranker",
        dial="none: every word counts",
    )

    k1: Annotated[float, In(0, 100), "how soon further occurrences stop counting"] = 1.2
    b: Annotated[float, In(0, 1), "how much a document's length is held against it"] = 0.75

    def score(self, q: Ragged, d: Ragged) -> Float[Tensor, "q d"]:
        """The scores; a word counts as often as it stands in the query.

        Args:
            q: Numbers of the queries' words.
            d: Numbers of the documents' words.
        """
        return self.prepared(d).score(q)

    def prepared(self, d: Ragged) -> Prepared:
        """What each word of each document is worth, once."""
        width = _width(d)
        counts = _counts(d, width)
        held = np.bincount(counts.indices, minlength=width)
        idf = np.log1p((len(d) - held + 0.5) / (held + 0.5))
        lengths = d.lengths.numpy()
        mean = lengths.sum() / max(len(d), 1)
        damping = self.k1 * (1 - self.b + self.b * lengths / max(mean, 1e-9))
        rows = np.repeat(np.arange(len(d)), np.diff(counts.indptr))
        counts.data = idf[counts.indices] * counts.data / (counts.data + damping[rows])
        worth = counts.T.tocsr()

        def score(q: Ragged) -> Float[Tensor, "q d"]:
            asked = _counts(q, max(width, _width(q)))[:, :width]  # the others are in no document
            return torch.from_numpy((asked @ worth).toarray()).float()

        return Prepared(score, worth.data.nbytes + worth.indices.nbytes + worth.indptr.nbytes)


def _width(texts: Ragged) -> int:
    """One more than the greatest number of a word."""
    return 1 + (int(texts.values.max()) if len(texts.values) else 0)


def _counts(texts: Ragged, width: int) -> sparse.csr_matrix:
    """How often each word stands in each text."""
    words = texts.values.numpy()
    if words.ndim != 1 or (len(words) and (words.dtype.kind != "i" or words.min() < 0)):
        raise UsageError(
            f"Bm25: got {words.dtype} of shape {words.shape}; words are whole numbers from 0."
        )
    place = (texts.owners.numpy(), words.astype(np.int64))
    found = sparse.coo_matrix((np.ones(len(words)), place), shape=(len(texts), width))
    return found.tocsr()
