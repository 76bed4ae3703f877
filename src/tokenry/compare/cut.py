"""The documents as a plan indexes them: cut into chunks, and read by an encoder of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from tokenry.compare.library import Library, Question
from tokenry.data import Document
from tokenry.index.store import Ranking
from tokenry.method import SearchPlan
from tokenry.plugs.cutting import cut
from tokenry.plugs.token_encoder import TokenEncoder


@dataclass(frozen=True, slots=True)
class Cut:
    """What is indexed in the place of whole documents.

    Attributes:
        library: The chunks as documents.
        owners: The document of each, rising.
        starts: Its first character there.
    """

    library: Library
    owners: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, whole: Library, plan: SearchPlan) -> Cut | None:
        """What a plan makes of documents; None where it leaves them as they are.

        Raises:
            UsageError: If the encoder cannot be loaded, or the chunker is none.
        """
        if not (plan.encoder or plan.chunker):
            return None
        encoder = TokenEncoder.load(plan.encoder) if plan.encoder else whole.encoder
        if plan.chunker:
            found = cut(whole.texts, plan.chunker, encoder)
        else:
            found = np.array([(i, 0, len(text)) for i, text in enumerate(whole.texts)])
        parts = [
            Document(str(number), whole.texts[owner][start:end])
            for number, (owner, start, end) in enumerate(found.tolist())
        ]
        return cls(Library(encoder, parts, None), found[:, 0], found[:, 1])

    def folded(self, chunks: Ranking, k: int) -> Ranking:
        """Documents in the order of their best chunks; keys count both from 1."""
        owners = self.owners[chunks.keys - 1]
        first = np.sort(np.unique(owners, return_index=True)[1])[:k]
        return Ranking(owners[first] + 1, chunks.scores[first])

    def answers(
        self, question: Question, places: Int[Tensor, "n 2"], document: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Which token of the whole document answers each token of the query as it is shown.

        Args:
            question: The query as it is shown, by the encoder that is compared.
            places: Where the tokens of the whole document stand.
            document: Its number.
        """
        own = self.library.question(question.asked.text, True)
        vectors, begins = self._held(document)
        if not len(vectors) or not len(own.vectors) or question.asked.spans is None:
            return np.full(len(question.pieces), -1, np.int64), np.zeros(len(question.pieces), "f4")
        near, best = (own.vectors @ vectors.T).max(1)
        asked = _covering(question.asked.spans[:, 0], own.asked.spans)
        shown = _covering(begins[best], places)
        return shown[asked].numpy(), near[asked].numpy()

    def _held(self, document: int) -> tuple[Float[Tensor, "m d"], Int[Tensor, " m"]]:
        """The vectors of a document's chunks, and where in the document each token begins."""
        low, high = np.searchsorted(self.owners, [document, document + 1]).tolist()
        tokens = self.library.tokens.take(range(low, high))
        spans = self.library.spans.take(range(low, high))
        starts = torch.from_numpy(self.starts[low:high])
        return tokens.values.float(), spans.values[:, 0] + starts[spans.owners]


def _covering(at: Int[Tensor, " m"], spans: Int[Tensor, "n 2"] | None) -> Int[Tensor, " m"]:
    """The token that covers each character, or the last one that begins before it."""
    if spans is None or not len(spans):
        return torch.full_like(at, -1)
    return (torch.searchsorted(spans[:, 0].contiguous(), at.contiguous(), right=True) - 1).clamp(0)
