"""Token-aware metrics of chunking and retrieval: what came back of the evidence, with how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

import numpy as np

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import ChunkMeasure, ChunkScores, In
from tokenry.ops import spans as ops
from tokenry.ops.spans import Offsets, Spans

MOST = 20
"""Most chunks that are looked at where their number follows the evidence."""


@final
@dataclass(frozen=True, kw_only=True)
class ChunkMetrics(ChunkMeasure):
    r"""Says how much of the evidence retrieved chunks bring back, and how much else.

    With the chunks C and the evidence R as sets of tokens,
    $P = |C \cap R| / |C|$, recall $= |C \cap R| / |R|$, $IoU = |C \cap R| / |C \cup R|$, and with
    the chunks T that hold some of R, $\Omega = |T \cap R| / |T \cup R|$. Lengths are of unions.

    Args:
        unit: What lengths count.
        k: Chunks that are looked at; 0 takes as many as hold evidence, at most 20.
        compat: "chroma" computes as the published code: a chunk that only borders on evidence
            holds it, and what overlapping chunks share counts twice.

    Source: arXiv 2502.15854, section on evaluation; chunking_evaluation 2024.
    """

    card: ClassVar[Card] = Card(
        slug="chunk-metrics",
        name="Chunk metrics",
        title="Enhancing Domain-Specific Retrieval-Augmented Generation: Synthetic Data Generation "
        "and Evaluation using Reasoning Models",
        summary="Measures chunkers by the tokens of evidence that come back, and what comes along.",
        family="retrieval",
        have="documents, and questions whose evidence is known",
        want="to know which chunks to index",
        dial="none: there is no keep; `k` says how many chunks are looked at",
        year=2025,
        arxiv="2502.15854",
        venue="arXiv 2025",
        code="https://github.com/aryan-jadon/"
        "Synthetic-Data-Generation-and-Evaluation-using-Reasoning-Models",
        code_license="not stated",
        claims=(
            Claim(
                paper="Chunks below 10 tokens raise precision by 31 to 42 % and cost 18 % recall.",
                effect="Smaller chunks raise precision and lower recall at a fixed k.",
                test="tests/retrieval/test_chunk_metrics.py"
                "::test_claim_small_chunks_raise_precision_and_cost_recall",
                measured="From 10 to 200 words a chunk, precision falls from 0.198 to 0.045 and "
                "recall rises from 0.273 to 0.915 (132 questions, BM25, k=5).",
            ),
            Claim(
                paper="Precision-Omega is best for the smallest chunks.",
                effect="The mean Precision-Omega falls as chunks grow.",
                test="tests/retrieval/test_chunk_metrics.py::test_claim_omega_falls_as_chunks_grow",
                measured="0.773 at 10 words, 0.465 at 50, 0.184 at 200, 0.109 at 400 (the same).",
            ),
            Claim(
                paper="The best size differs by 22 % between embeddings.",
                effect="The size of best IoU moves with the encoder.",
                not_shown="It needs several encoders of the paper's size; with BM25 the IoU is "
                "best at 20 words, which is within the paper's 5 to 20 tokens.",
            ),
            Claim(
                paper="Cluster-semantic chunks do better than fixed ones (chunking_evaluation).",
                effect="At equal mean size they have a higher IoU.",
                not_shown="They have a lower one: 0.075 (0.066 to 0.085) with 107 tokens a chunk "
                "against 0.087 (0.075 to 0.099) with 100, and 0.044 against 0.052 with 200 "
                "(132 questions, zoo:minilm-l6, k=5); recall is higher (0.920 against 0.846), and "
                "more tokens are read (632 against 500).",
            ),
        ),
        differs=(
            "A chunk holds evidence only if it shares some of it, lengths are of unions, an empty "
            "retrieval scores 0 and lengths are in tokens; the published code counts borders, sums "
            'lengths, fails, and counts characters (compat="chroma", unit="characters").',
            "Chunks are stretches of the document; the published code looks for their text and "
            "so takes the first place where it occurs.",
            "Making questions with a language model is left to the user; headings serve where "
            "there are none.",
        ),
    )

    unit: Annotated[Literal["tokens", "characters"], "what lengths count"] = "tokens"
    k: Annotated[int, In(0, 10_000), "chunks looked at; 0 takes as many as hold evidence"] = 5
    compat: Annotated[Literal["none", "chroma"], "whose arithmetic"] = "none"

    def in_unit(self, some: Spans, tokens: Sequence[Offsets]) -> Spans:
        """Spans of characters in the unit that is measured.

        Args:
            some: Spans of characters.
            tokens: Offsets of the tokens of each document; unread where characters count.
        """
        if self.unit == "characters":
            return some
        found: Spans = some.copy()
        for document in np.unique(some[:, 0]).tolist():
            rows = some[:, 0] == document
            found[rows, 1:] = ops.in_tokens(some[rows, 1], some[rows, 2], tokens[document])
        return found

    def measure(self, ranked: Spans, chunks: Spans, evidence: Spans) -> ChunkScores:
        """What the first chunks of a ranking come to.

        Args:
            ranked: Retrieved chunks, the best first; at least `k` of them if there are so many.
            chunks: All chunks of the documents that hold the evidence, or more.
            evidence: The stretches that answer the question.

        Raises:
            UsageError: If there is no evidence.
        """
        if not ops.covered(evidence):
            raise UsageError("ChunkMetrics: a question has no evidence; leave it out.")
        loose = self.compat == "chroma"
        holding = chunks[ops.touching(chunks, evidence, closed=loose)]
        first = ranked[: self.k or min(len(holding), MOST)]
        length = ops.total if loose else ops.covered
        hit = ops.covered(ops.intersection(first, evidence))
        returned = length(first)
        return ChunkScores(
            precision=_share(hit, returned),
            recall=_share(hit, length(evidence)),
            iou=_share(hit, returned + self._missed(evidence, first)),
            omega=_share(
                ops.covered(ops.intersection(holding, evidence)),
                ops.covered(holding) + self._missed(evidence, holding),
            ),
            retrieved=len(first),
        )

    def needed(self, chunks: Spans, evidence: Spans) -> int:
        """How many chunks `measure` will look at."""
        loose = self.compat == "chroma"
        return self.k or min(int(ops.touching(chunks, evidence, closed=loose).sum()), MOST)

    def _missed(self, evidence: Spans, found: Spans) -> int:
        """Length of the evidence that was not found; of overlapping evidence as published: each."""
        if self.compat == "none":
            return ops.covered(ops.difference(evidence, found))
        return sum(ops.covered(ops.difference(one[None], found)) for one in evidence)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
