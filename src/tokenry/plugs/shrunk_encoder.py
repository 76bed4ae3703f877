"""An encoder whose documents come with fewer vectors: what a reducer leaves of them."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from tokenry import catalog
from tokenry.method import IndexReducer, TokensView
from tokenry.ops.budget import kept_count
from tokenry.ops.grouping import group_means
from tokenry.ops.ragged import Ragged, offsets
from tokenry.plugs.token_encoder import Mode, TokenEncoder, TokenTexts


@dataclass(frozen=True, eq=False, slots=True)
class ShrunkEncoder:
    """Goes where an encoder goes: `tokenry.Index("idx", shrunk("zoo:minilm-l6", "token-pooling"))`.

    Queries stay whole. The vectors are of the encoder's own space, so an index that was built with
    it can be searched with the encoder alone.

    Args:
        encoder: The encoder.
        reducer: What leaves some of the documents' vectors.
        spread: For each word, case left out, the share of the documents that hold it; words that
            are not there count as rarest.
    """

    encoder: TokenEncoder
    reducer: IndexReducer
    spread: dict[str, float]

    @property
    def name(self) -> str:
        """Name of the encoder."""
        return self.encoder.name

    @property
    def dimension(self) -> int:
        """Length of a token vector."""
        return self.encoder.dimension

    @property
    def pooled(self) -> int:
        """Length of a pooled vector."""
        return self.encoder.pooled

    def fingerprint(self) -> dict[str, Any]:
        """That of the encoder."""
        return self.encoder.fingerprint()

    def encode(self, texts: Sequence[str], mode: Mode = "document") -> TokenTexts:
        """As the encoder's, with fewer vectors of each document.

        A vector that stands for several tokens has the span of the first; the pooled vectors are
        those of all tokens.
        """
        made = self.encoder.encode(texts, mode)
        if mode == "query":
            return made
        vectors, spans = [], []
        for text, rows, places in zip(texts, made.tokens, made.tokens.map(made.spans), strict=True):
            groups = self._groups(text, rows, places)
            vectors.append(group_means(rows, groups))
            first = torch.tensor([int((groups == g).nonzero()[0]) for g in range(len(vectors[-1]))])
            spans.append(places[first.long()])
        values = Ragged(torch.cat(vectors), offsets(map(len, vectors)))
        return TokenTexts(values, torch.cat(spans), made.pooled)

    def _groups(self, text: str, rows: Tensor, places: Int[Tensor, "n 2"]) -> Int[Tensor, " n"]:
        count = kept_count(len(rows), self.reducer.keep) if len(rows) else 0
        if count == len(rows):
            return torch.arange(count)
        words = [text[start:end].lower() for start, end in places.tolist()]
        known: dict[str, int] = {}
        numbers = torch.tensor([known.setdefault(word, len(known)) for word in words])
        share = torch.tensor([self.spread.get(word, 0.0) for word in words])
        document = zlib.crc32(text.encode("utf-8", "surrogatepass"))
        return self.reducer.group(rows.float(), TokensView(count, numbers, share, document))


def shrunk(
    encoder: str | TokenEncoder,
    reducer: str | IndexReducer,
    texts: Iterable[str] = (),
    **settings: Any,
) -> ShrunkEncoder:
    """An encoder with a reducer.

    Args:
        encoder: What `TokenEncoder.load` takes, or one that is loaded.
        reducer: Name of a reducer, with settings as in "token-pooling(keep=0.5)", or one.
        texts: Documents to learn from how rare words are, where the reducer asks for it.
        **settings: Settings of the reducer, when it is given by name.

    Raises:
        UnknownNameError: If there is no such reducer or setting.
        UsageError: If it reduces something else, or settings are given beside an instance.
    """
    method = catalog.configured(reducer, IndexReducer, "shrunk", **settings)
    loaded = TokenEncoder.load(encoder) if isinstance(encoder, str) else encoder
    counts: Counter[str] = Counter()
    documents = 0
    for text in texts:
        spans = loaded.encode([text]).spans.tolist()
        counts.update({text[start:end].lower() for start, end in spans})
        documents += 1
    return ShrunkEncoder(loaded, method, {w: n / documents for w, n in counts.items()})
