"""Several documents in one sequence: who sees whom, where each token stands, what that costs.

A pack is described by one integer per token: `ANCHOR` for its first token, 1, 2, ... for the
documents, `PADDING` behind them. A document's tokens need not be neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from tokenry.errors import UsageError

Pattern = Literal["anchor", "intra", "full"]
"""What a token sees of the tokens before it: its document and the anchor, its document, all."""

ANCHOR, PADDING = 0, -1


def check_documents(documents: Int[Tensor, "b n"]) -> None:
    """Refuse ids that would make an ordinary token visible to all.

    Raises:
        UsageError: If a row does not begin with its anchor, or has a second one.
    """
    anchors = documents == ANCHOR
    if not (anchors[:, :1].all() and anchors.sum(1).eq(1).all() and documents.ge(PADDING).all()):
        raise UsageError(
            f"packing: document ids must be {ANCHOR} for the first token of each row and for no "
            f"other, from 1 for documents and {PADDING} for padding; a token left at {ANCHOR} "
            "would be seen by every document."
        )


def visible(query: Tensor, key: Tensor, pattern: Pattern) -> Tensor:
    """Whether a token of document `query` may see an earlier token of document `key`.

    Elementwise; causality comes on top.

    >>> visible(torch.tensor([2, 2, 2]), torch.tensor([0, 1, 2]), "anchor").tolist()
    [True, False, True]
    """
    if pattern == "full":
        return torch.ones_like(query == key)
    same = query == key
    return same | (key == ANCHOR) if pattern == "anchor" else same


def attention_mask(documents: Int[Tensor, "b n"], pattern: Pattern) -> Bool[Tensor, "b n n"]:
    r"""True where a query (row) may attend to a key (column).

    $a(q, k) = k \le q \wedge (d_q = d_k \vee d_k = 0)$ for "anchor"; without the last term for
    "intra"; $k \le q$ alone for "full".

    >>> attention_mask(torch.tensor([[0, 1, 2]]), "anchor").int().tolist()
    [[[1, 0, 0], [1, 1, 0], [1, 0, 1]]]
    """
    n = documents.shape[1]
    causal = torch.ones(n, n, dtype=torch.bool, device=documents.device).tril()
    return visible(documents.unsqueeze(2), documents.unsqueeze(1), pattern) & causal


def places(
    documents: Int[Tensor, "b n"], pattern: Pattern, *, reset: bool = False
) -> Int[Tensor, "b n"]:
    """The position of each token; always int64, which holds what bfloat16 cannot.

    Args:
        documents: Document ids.
        pattern: Who sees whom; where documents see the anchor at 0, theirs begin at 1.
        reset: Count each document's tokens afresh instead of through the pack.

    >>> places(torch.tensor([[0, 1, 2, 1]]), "anchor", reset=True).tolist()
    [[0, 1, 1, 2]]
    """
    n = documents.shape[1]
    if not reset:
        return torch.arange(n, device=documents.device).expand_as(documents).clone()
    ids, order = documents.sort(stable=True)
    begins = torch.searchsorted(ids.contiguous(), ids.contiguous())
    rank = torch.arange(n, device=documents.device) - begins
    own = torch.empty_like(rank).scatter_(1, order, rank)
    return own + (documents != ANCHOR) if pattern == "anchor" else own


def pairs(lengths: Sequence[int], pattern: Pattern) -> int:
    r"""How many (query, key) pairs attend in a pack of an anchor and documents of these lengths.

    $1 + \sum_i \frac{l_i(l_i+1)}{2}$ for "intra", $\sum_i l_i$ more for "anchor", and
    $\frac{n(n+1)}{2}$ with $n = 1 + \sum_i l_i$ for "full".

    >>> pairs([2, 3], "intra"), pairs([2, 3], "anchor"), pairs([2, 3], "full")
    (10, 15, 21)
    """
    total = sum(lengths)
    if pattern == "full":
        return (total + 1) * (total + 2) // 2
    own = 1 + sum(length * (length + 1) // 2 for length in lengths)
    return own + total if pattern == "anchor" else own


@dataclass(frozen=True, slots=True)
class Segments:
    """A batch of packs as independent causal sequences, one behind the other.

    Attributes:
        index: Which token of the flattened batch each slot holds.
        first: False where a slot holds a further copy of an anchor.
        bounds: Where each segment begins, and at last the number of slots (`cu_seqlens`).
    """

    index: Int[Tensor, " m"]
    first: Bool[Tensor, " m"]
    bounds: Int[Tensor, " s"]


def segments(documents: Int[Tensor, "b n"], pattern: Pattern) -> Segments:
    """The same attention for kernels that take lengths and no mask.

    "anchor" gives every document a copy of its row's anchor; "intra" makes the anchor a segment
    of its own; "full" has one segment per row. Padding is left out.

    >>> found = segments(torch.tensor([[0, 1, 2, 2]]), "anchor")
    >>> found.index.tolist(), found.bounds.tolist()
    ([0, 1, 0, 2, 3], [0, 2, 5])
    """
    index: list[Tensor] = []
    first: list[Tensor] = []
    for row, ids in enumerate(documents):
        start = row * len(ids)
        groups = [torch.nonzero(ids == i).flatten() for i in range(int(ids.max()) + 1)]
        groups = [group for group in groups if len(group)]
        if pattern == "full":
            groups = [torch.nonzero(ids != PADDING).flatten()]
        elif pattern == "anchor" and len(groups) > 1:
            groups = [torch.cat([groups[0], group]) for group in groups[1:]]
        for number, group in enumerate(groups):
            index.append(start + group)
            first.append((group > 0) | (number == 0))
    sizes = torch.tensor([0, *map(len, index)], device=documents.device)
    return Segments(torch.cat(index), torch.cat(first), sizes.cumsum(0).to(torch.int32))


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a document, in the order in which a pack holds it."""

    document: int
    start: int
    stop: int


def interleave(
    lengths: Sequence[int],
    *,
    shortest: int = 64,
    longest: int = 2048,
    generator: torch.Generator | None = None,
) -> list[Piece]:
    """Cut documents in two or three and shuffle the parts; each document's keep their order.

    Documents shorter than `shortest` or longer than `longest` tokens stay whole. Cuts fall in
    the middle three fifths of a document.

    Args:
        lengths: Tokens in each document.
        shortest: Fewest tokens of a document that is cut.
        longest: Most tokens of a document that is cut.
        generator: Source of chance; None for torch's own.
    """
    keyed: list[tuple[float, Piece]] = []
    for document, length in enumerate(lengths):
        cuts = [0, length]
        if shortest <= length <= longest:
            count = int(torch.randint(1, 3, (), generator=generator))
            low, high = length // 5, length - length // 5
            cuts[1:1] = (low + torch.randperm(high - low, generator=generator)[:count]).tolist()
            cuts.sort()
        keys = torch.rand(len(cuts) - 1, generator=generator).sort().values.tolist()
        spans = pairwise(cuts)
        keyed += [(key, Piece(document, *span)) for key, span in zip(keys, spans, strict=True)]
    return [piece for _, piece in sorted(keyed, key=lambda item: item[0])]
