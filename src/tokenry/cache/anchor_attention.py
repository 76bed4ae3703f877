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

    >>> AnchorAttention().pairs([2, 3]), AnchorAttention(pattern="full").pairs([2, 3])
    (15, 21)

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
                paper="In bfloat16 rotary positions are no longer relative: moving all tokens "
                "changes attention.",
                effect="A shift of all positions by 16 changes logits over a thousand times more "
                "in bfloat16 than in float32.",
                test="tests/plugs/test_rotary.py::test_claim_bfloat16_breaks_the_shift",
                measured="Mean change of a logit at shifts of 16, 256, 4096 and 65536: 3.5e-7, "
                "1.4e-6, 2.0e-5 and 3.3e-4 in float32; 3.9e-3 to 4.1e-3, flat, with cosine, sine, "
                "queries and keys in bfloat16 (the cast of the table alone 1.8e-3 to 2.0e-3, the "
                "rows alone 2.6e-3); 0.013, 0.19, 0.57 and 0.65 with angles in bfloat16 too. "
                "Random rows, width 64, 64 tokens.",
            ),
            Claim(
                paper="The first token contributes most to the error.",
                effect="In a trained model in bfloat16, attention to the first token changes over "
                "five times as much as to the mean of the others.",
                test="tests/plugs/test_rotary.py::"
                "test_claim_the_first_token_errs_most_in_a_real_model",
                measured="12 times as much (3.9e-3 against 3.4e-4 at a shift of 16), 19 % of the "
                "whole change. zoo:smollm2-135m, 128 tokens. With random rows the share is the "
                "key's length: 2.6 %, and 21 % when the first key is ten times as long.",
            ),
            Claim(
                paper="The error grows with the length of the context.",
                effect="More change of attention per query at 512 tokens than at 32.",
                not_shown="Flat at these lengths: the summed change of a query's attention is "
                "0.0223, 0.0216 and 0.0225 at 32, 128 and 512 tokens, and a random logit's mean "
                "change 3.9e-3, 4.1e-3 and 4.2e-3 at 64, 512 and 2048. zoo:smollm2-135m; the "
                "paper measures far longer ones.",
            ),
            Claim(
                paper="Training takes less than half of the time of full attention.",
                effect="Attention over 16 documents of 256 tokens takes less than half of the time "
                "of causal attention over all 4097.",
                test="tests/cache/test_anchor_attention.py::test_claim_fewer_pairs_are_less_time",
                measured="0.063 of the pairs, 0.10 of the seconds by lengths with sdpa; with "
                "compiled flex attention 0.24. Attention alone, one CPU thread; a dense mask saves "
                "nothing.",
            ),
            Claim(
                paper="Better long-context scores than full and intra-document attention.",
                effect="Trained from scratch on packs of short documents, lower loss on held-out "
                "single documents than with full attention.",
                test="tests/cache/test_anchor_attention.py::"
                "test_claim_trains_better_than_full_attention",
                measured="2.030, 2.103 and 2.094 nats per byte for three seeds; full attention "
                "0.242, 0.277 and 0.197 more, intra-document attention with reset "
                "positions, which never sees a first token in training, 0.035, 0.031 "
                "and 0.035 more (95 % half widths 0.008 to 0.016). Two-layer Llama of "
                "width 64, 300 steps on packs of 512 bytes, docstrings of 32 to 192 "
                "bytes, 300 held out. Not from every start: with transformers' own "
                "spread of weights (0.02), one of two seeds stayed on the plateau of "
                "letter pairs longer than full attention (2.62 against 2.27 after 300 "
                "steps; 1.50 against 1.60 after 900).",
            ),
            Claim(
                paper="Higher RULER and LongBench scores after training at 64k tokens.",
                effect="Higher scores of a model of billions of parameters.",
                not_shown="Nothing of that size runs here.",
            ),
        ),
        differs=(
            "Documents are packed whole and a row's rest is padding; the released code cuts the "
            "last document at the end of a row.",
            "A document's first token is no target unless it follows the anchor; the released code "
            "predicts it from the document before.",
            "Interleaving follows the description; the released function cuts at offsets of a "
            "document as if they were places in the pack.",
            "A token left without a document is an error; by the rule alone it would be a second "
            "anchor.",
        ),
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
