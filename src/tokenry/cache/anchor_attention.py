"""AnchorAttention: packed documents see themselves and one shared first token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

from jaxtyping import Bool, Int
from torch import Tensor

from tokenry.card import Card, Claim
from tokenry.method import PackedAttention
from tokenry.ops import packing
from tokenry.ops.packing import Piece, Segments


@final
@dataclass(frozen=True, kw_only=True)
class AnchorAttention(PackedAttention):
    r"""Intra-document attention in a pack, with one anchor that all documents share.

    A query $q$ attends to a key $k$ when $k \le q \wedge (d_q = d_k \vee d_k = 0)$, where $d$ is
    the document of a token and document 0 is the anchor: the beginning-of-text token, which
    stands once, at position 0. Positions run through the pack.

    Args:
        pattern: What a token sees of the tokens before it: "anchor" as above; "intra" its
            document only; "full" everything. The last two are the baselines of the paper.
        positions: "continuous" through the pack, or "reset" at each document. "anchor" with
            "reset" trains each document exactly as if it stood alone behind its own first token.
        interleave: Cut documents of 64 to 2048 tokens in two or three parts and shuffle the
            parts of a pack, each document's in their order (paper: interleaved chunks).

    Raises:
        UsageError: If a setting is none of its choices.

    >>> AnchorAttention().allow(torch.tensor([[0, 1, 1, 2]]))[0, 3].tolist()
    [True, False, False, True]

    Source: Wang et al. 2024, section 4.
    """

    card: ClassVar[Card] = Card(
        slug="anchor-attention",
        name="AnchorAttention",
        title="When Precision Meets Position: BFloat16 Breaks Down RoPE in Long-Context Training",
        summary="Trains on packed documents that see themselves and one shared first token.",
        family="cache",
        have="documents to train a language model on, packed into long sequences",
        want="no attention across documents, and a first token that stands still",
        dial="no dial: it is a rule for training, and no keep trades quality for tokens",
        needs="training",
        year=2024,
        arxiv="2411.13476",
        venue="arXiv 2024",
        code="https://github.com/haonan3/AnchorContext",
        code_license="Apache-2.0",
        claims=(
            Claim(
                paper="In bfloat16, rotary positions are no longer relative.",
                effect="PENDING",
                test="tests/cache/test_rotary_shift.py::test_claim_bfloat16_breaks_the_shift",
                measured="PENDING",
            ),
        ),
        differs=(),
    )

    pattern: Annotated[
        Literal["anchor", "intra", "full"], "what a token sees of the tokens before it"
    ] = "anchor"
    positions: Annotated[
        Literal["continuous", "reset"], "whether positions run through the pack"
    ] = "continuous"
    interleave: Annotated[bool, "whether parts of a pack's documents are shuffled"] = False

    def visible(self, query: Tensor, key: Tensor) -> Tensor:
        """Whether a token of document `query` sees an earlier one of `key`; elementwise."""
        return packing.visible(query, key, self.pattern)

    def allow(self, documents: Int[Tensor, "b n"]) -> Bool[Tensor, "b n n"]:
        """Which query (row) attends to which key (column).

        Args:
            documents: 0 for the anchor, 1, 2, ... for documents, -1 for padding.

        Raises:
            UsageError: If a row has not exactly one anchor, in front.
        """
        packing.check_documents(documents)
        return packing.attention_mask(documents, self.pattern)

    def places(self, documents: Int[Tensor, "b n"]) -> Int[Tensor, "b n"]:
        """The position of each token."""
        return packing.places(documents, self.pattern, reset=self.positions == "reset")

    def segments(self, documents: Int[Tensor, "b n"]) -> Segments:
        """The same attention as independent causal sequences, for kernels without a mask."""
        packing.check_documents(documents)
        return packing.segments(documents, self.pattern)

    def order(self, lengths: Sequence[int]) -> list[Piece]:
        """The order in which a pack holds documents of these lengths, or parts of them."""
        if self.interleave:
            return packing.interleave(lengths)
        return [Piece(document, 0, length) for document, length in enumerate(lengths)]

    def pairs(self, lengths: Sequence[int]) -> int:
        """How many (query, key) pairs attend in a pack of documents of these lengths."""
        return packing.pairs(lengths, self.pattern)
