"""PLAID: candidates by centroid, thinned out by centroids alone, then decompressed and scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tokenry.card import Card, Claim
from tokenry.method import In, LateScorer, Prepared
from tokenry.ops.kmeans import spherical_kmeans
from tokenry.ops.late import maxsim, segment_max
from tokenry.ops.ragged import Ragged, vectors
from tokenry.ops.residual import ResidualCodec
from tokenry.ops.similarity import unit
from tokenry.ops.warp import centroid_count


@final
@dataclass(frozen=True, kw_only=True)
class Plaid(LateScorer):
    """Scores the few documents that are left after two looks at centroids.

    The defaults are the paper's for ten results; for 100 it takes probe=2, least=0.45,
    documents=1024, and for 1,000 probe=4, least=0.4, documents=4096.

    Args:
        bits: Bits per dimension of a compressed vector.
        probe: Clusters that each query token looks into; `nprobe` in the paper.
        least: Centroids that no query token is so near to are passed over; `t_cs`.
        documents: Documents that pass the first look; a quarter of them pass the second; `ndocs`.
        seed: Seed of the clusters.

    Raises:
        UsageError: If a setting is out of range.

    Source: Santhanam et al. 2022, section 4 and table 2.
    """

    pairwise: ClassVar[bool] = False

    card: ClassVar[Card] = Card(
        slug="plaid",
        name="PLAID",
        title="PLAID: An Efficient Engine for Late Interaction Retrieval",
        summary=(
            "Chooses documents by the centroids of their tokens, and decompresses only the few "
            "that are left to score them."
        ),
        family="retrieval",
        have="compressed token vectors that take long to scan",
        want="nearly the exact ranking, with few documents decompressed",
        dial="none: every token is kept, in fewer bits; probe, least and documents are the "
        "paper's knobs",
        year=2022,
        arxiv="2205.09707",
        venue="CIKM 2022",
        code="https://github.com/stanford-futuredata/ColBERT",
        code_license="MIT",
        claims=(
            Claim(
                paper="Up to 7 times faster on a GPU and 45 times on a CPU than ColBERTv2's own "
                "search, with virtually no loss of quality",
                effect="of the ten documents that all decompressed tokens rank first, at least "
                "nine are found when no more than 64 of 300 are decompressed.",
                test="tests/retrieval/test_plaid.py::test_claim_few_documents_are_decompressed",
                measured="overlap@10 .993 with 64 of 300 documents decompressed, at 2 bits (17,073 "
                "MiniLM token states of manual pages in 128 dimensions, 40 questions); with exact "
                "vectors .858, and .920 at 4 bits.",
            ),
        ),
        differs=(
            "At most one cluster for each 32 tokens: the paper's rule asks small collections for "
            "more clusters than they have tokens.",
            "Decompressed vectors have length one, as tokenry's index has them.",
        ),
    )

    bits: Annotated[Literal[1, 2, 4, 8], "bits per dimension of a compressed vector"] = 2
    probe: Annotated[int, In(1, 1 << 20), "clusters that each query token looks into"] = 1
    least: Annotated[float, In(-1, 1), "how near a query token must be to a centroid"] = 0.5
    documents: Annotated[int, In(4, 1 << 30), "documents that pass the first look"] = 256
    seed: Annotated[int, In(0, 2**31), "the seed of the clusters"] = 0

    def score(self, q: Ragged, d: Ragged) -> Float[Tensor, "q d"]:
        """The scores; minus infinity for a document that was not decompressed."""
        return self.prepared(d).score(q)

    def prepared(self, d: Ragged) -> Prepared:
        """The documents compressed, once."""
        if not len(d.values):
            return Prepared(lambda q: torch.full((len(q), len(d)), -torch.inf), 0)
        tokens = vectors(d)
        centroids = spherical_kmeans(tokens, centroid_count(len(tokens)), seed=self.seed)
        codec = ResidualCodec.fit(tokens, centroids, self.bits)
        codes, packed = codec.encode(tokens)
        rows = d.map(torch.arange(len(tokens)))

        def one(query: Float[Tensor, "n d"]) -> Float[Tensor, " _"]:
            found = torch.full((len(d),), -torch.inf)
            left = self.candidates(query, rows, codes, centroids)
            held = rows.take(left)
            decoded = unit(codec.decode(codes[held.values], packed[held.values]))
            found[left] = maxsim(Ragged.of([query]), held.map(decoded))[0]
            return found

        def score(q: Ragged) -> Float[Tensor, "q d"]:
            found = [one(query.float()) for query in q]
            return torch.stack(found) if found else torch.zeros(0, len(d))

        # A code takes as many bytes as the number of centroids needs; 4 always do.
        return Prepared(score, 4 * len(codes) + packed.nbytes + centroids.nbytes)

    def candidates(
        self,
        query: Float[Tensor, "n d"],
        rows: Ragged,
        codes: Int[Tensor, " t"],
        centroids: Float[Tensor, "k d"],
    ) -> Int[Tensor, " c"]:
        """The documents whose tokens are decompressed, in ascending order."""
        near = query @ centroids.T
        cells = near.topk(min(self.probe, near.shape[1]), 1).indices
        probed = torch.zeros(len(centroids), dtype=torch.bool)
        probed[cells] = True
        left = torch.unique(rows.owners[probed[codes]])
        heard = near.masked_fill(near.amax(0) < self.least, -torch.inf)
        left = self._nearest(left, self.documents, heard, rows, codes)
        return self._nearest(left, self.documents // 4, near, rows, codes)

    def _nearest(
        self,
        among: Int[Tensor, " c"],
        count: int,
        near: Float[Tensor, "n k"],
        rows: Ragged,
        codes: Int[Tensor, " t"],
    ) -> Int[Tensor, " _"]:
        """So many documents, as if each token were its centroid."""
        held = rows.take(among)
        best = segment_max(near[:, codes[held.values]], held.offsets).sum(0)
        order = best.sort(descending=True, stable=True).indices
        return among[order[:count]].sort().values
