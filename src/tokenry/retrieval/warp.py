"""XTR-WARP: compressed token vectors, searched without decompressing them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from tokenry.card import Card, Claim
from tokenry.method import In, LateScorer, Prepared
from tokenry.ops.kmeans import spherical_kmeans
from tokenry.ops.ragged import Ragged, vectors
from tokenry.ops.residual import ResidualCodec
from tokenry.ops.warp import Groups, centroid_count, grouped, warp_scores


@final
@dataclass(frozen=True, kw_only=True)
class Warp(LateScorer):
    """Scores from the clusters that a query token looks into, and a bound for what it missed.

    Args:
        bits: Bits per dimension of a compressed vector.
        probe: Clusters that each query token looks into.
        seed: Seed of the clusters.

    Raises:
        UsageError: If a setting is out of range.

    Source: Scheerer et al. 2025, section 4; the codec is PLAID's (Santhanam et al. 2022).
    """

    pairwise: ClassVar[bool] = False

    card: ClassVar[Card] = Card(
        slug="warp",
        name="WARP",
        title="WARP: An Efficient Engine for Multi-Vector Retrieval",
        summary=(
            "Token vectors in 2 or 4 bits per dimension, grouped by centroid and scored from "
            "tables: a fraction of the memory and of the time of exact MaxSim."
        ),
        family="retrieval",
        have="token vectors that no longer fit, or take too long to scan",
        want="nearly the exact ranking from 20 to 80 bytes per token",
        dial="none: every token is kept, in fewer bits; `bits` and `probe` are the paper's knobs",
        year=2025,
        arxiv="2501.17788",
        venue="SIGIR 2025",
        code="https://github.com/jlscheerer/xtr-warp",
        code_license="MIT",
        claims=(
            Claim(
                paper=(
                    "nDCG@10 45.0 on six BEIR sets, with XTR's reference search at 44.8: nothing "
                    "is lost to compression and pruning"
                ),
                effect=(
                    "of the ten documents that exact MaxSim ranks first, at least nine are found "
                    "at 4 bits and eight at 2 bits."
                ),
                test="tests/retrieval/test_warp.py::test_overlap_with_exact_maxsim_on_real_vectors",
                measured=(
                    "overlap@10 .93 at 4 bits, .87 at 2 bits when the best 40 are scored again, as "
                    "the index does; .89 and .84 by the tables alone; 300 passages of manual "
                    "pages, 17,073 MiniLM token states in 128 dimensions, 40 questions"
                ),
            ),
            Claim(
                paper="71 bytes per token at 4 bits and 39 at 2 bits, 142 for ScaNN's index",
                effect="a compressed index takes at most 80 bytes per token at 4 bits.",
                test="tests/retrieval/test_warp.py::test_overlap_with_exact_maxsim_on_real_vectors",
                measured=(
                    "78.6 bytes per token at 4 bits and 46.6 at 2 bits, of which 8 are centroids, "
                    "on the same 17,073 tokens; 256 before"
                ),
            ),
            Claim(
                paper="171 ms per query on 660 million tokens, 41 times faster than XTR's search",
                effect="time per query beside an exact scan of the same vectors.",
                not_shown=(
                    "seconds depend on the machine: bench/retrieval.py measures them; that only a "
                    "part of the tokens is looked at is tested"
                ),
            ),
        ),
        differs=(
            "The imputed similarity lies behind sqrt(8 N) tokens; the code rounds this down to "
            "thousands, which is 0 below 125,000 tokens.",
            "At most one cluster for each 32 tokens: PLAID's rule asks small collections for more "
            "clusters than they have tokens.",
            "Any number of query tokens and any dimension whose codes fill bytes; the code fixes "
            "32 and 128.",
            "tokenry's index scores the best documents again with all their decompressed tokens, "
            "scaled to length one; the paper does not, nor does the method by itself.",
        ),
    )

    bits: Annotated[Literal[1, 2, 4, 8], "bits per dimension of a compressed vector"] = 4
    probe: Annotated[int, In(1, 1 << 20), "clusters that each query token looks into"] = 32
    seed: Annotated[int, In(0, 2**31), "the seed of the clusters"] = 0

    def score(self, q: Ragged, d: Ragged) -> Float[Tensor, "q d"]:
        """The scores; minus infinity for a document that no query token came across."""
        return self.prepared(d).score(q)

    def prepared(self, d: Ragged) -> Prepared:
        """The documents compressed and grouped, once."""
        if not len(d.values):
            return Prepared(lambda q: torch.full((len(q), len(d)), -torch.inf), 0)
        groups = self.groups(d)

        def score(q: Ragged) -> Float[Tensor, "q d"]:
            rows = [torch.from_numpy(warp_scores(one, groups, probe=self.probe)) for one in q]
            return torch.stack(rows) if rows else torch.zeros(0, len(d))

        held = groups.packed.nbytes + groups.owners.nbytes + groups.bounds.nbytes
        return Prepared(score, held + groups.codec.centroids.nbytes)

    def groups(self, d: Ragged) -> Groups:
        """The documents compressed and grouped."""
        tokens = vectors(d)
        centroids = spherical_kmeans(tokens, centroid_count(len(tokens)), seed=self.seed)
        codec = ResidualCodec.fit(tokens, centroids, self.bits)
        codes, packed = codec.encode(tokens)
        order, bounds = grouped(codes.numpy(), len(centroids))
        owners = d.owners.numpy()[order].astype("u4")
        return Groups(codec, bounds, packed.numpy()[order], owners, len(d))
