"""HEADLINES: positive pairs from noisy reproductions of the same story under other titles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

import numpy as np
from jaxtyping import Float, Int

from tokenry.card import Card, Claim
from tokenry.errors import MissingExtraError, UsageError
from tokenry.method import Groups, In, PairMaker, Record
from tokenry.ops import near
from tokenry.ops.clusters import components, members

Found = tuple[Int[np.ndarray, "m 2"], Float[np.ndarray, " m"]]
_USUAL = {"vectors": 0.94, "ngrams": 0.4, "minhash": 0.0}
"""Least likeness where none is given: a cosine, a Jaccard index, or whatever falls together."""


@final
@dataclass(frozen=True, kw_only=True)
class Headlines(PairMaker):
    """Finds reprints of one story, groups them, and pairs the titles that editors gave them.

    Texts are compared as vectors, as runs of characters, or by MinHash over runs of words; pairs
    within the window are edges of a graph, whose communities are the stories.

    Args:
        by: What is compared.
        least: Least cosine or Jaccard index of an edge; None for the paper's, which was fitted to
            its own encoder: fit it to labelled pairs with `tokenry.ops.thresholds.best_threshold`.
        nearest: Neighbours of each vector that are looked at.
        run: Characters of a run.
        words: Words of a run, for MinHash.
        bands: Bands of MinHash, with `rows` hashes each.
        rows: Hashes of a band.
        window: Most days between reprints; None for any.
        grouping: Communities (Louvain), or whatever is connected.
        resolution: Of the communities; larger ones are smaller.
        largest: Most records of a story; larger groups give no pairs.
        apart: Least share of characters that titles must differ in.
        seed: Of hashes and communities.

    Source: Silcock and Dell 2023, section 3; Silcock, D'Amico-Wong, Yang and Dell 2022
    (NEWS-COPY), section 4.
    """

    card: ClassVar[Card] = Card(
        slug="headlines",
        name="HEADLINES",
        title="A Massive Scale Semantic Similarity Dataset of Historical English",
        summary="Makes training pairs from texts that were printed often, under other titles.",
        family="retrieval",
        have="many texts, some of which tell the same in spite of noise",
        want="pairs to train an encoder on, or each text once",
        dial="none: there is no keep",
        year=2023,
        arxiv="2306.17810",
        venue="NeurIPS 2023 Datasets and Benchmarks",
        code="https://github.com/dell-research-harvard/NEWS-COPY",
        code_license="not stated",
        claims=(
            Claim(
                paper="A bi-encoder groups noisy reprints better than n-grams (ARI 91.5 against "
                "75.0), and these better than LSH (73.7).",
                effect="Without noise all are near 1; n-grams bear more noise than MinHash, and "
                "vectors more than n-grams.",
                test="tests/retrieval/test_headlines.py::test_claim_vectors_bear_noise_best",
                measured="ARI of vectors, n-grams, MinHash on 15 news stories in three copies, "
                "with thresholds from 15 others: without noise 1, 1, 1; with 5 % of the letters "
                "misread 0.90, 1.00, 0.00; 10 %: 0.73, 0.98, 0.00; 20 %: 0.45, 0.00, 0.00. The "
                "encoder (zoo:minilm-l6) is not tuned; up to 10 % n-grams are better.",
            ),
            Claim(
                paper="Communities cut the false chains that transitivity makes.",
                effect="Transitivity raises recall and lowers precision; communities win most of "
                "the precision back.",
                test="tests/retrieval/test_headlines.py::test_claim_communities_cut_bridges",
                measured="Precision and recall of pairs: edges 0.96 and 0.68, components 0.09 and "
                "1.00, communities 0.93 and 1.00 (30 stories of 8, 30 % of the edges lost, 25 "
                "false ones).",
            ),
            Claim(
                paper="Titles of one story, written independently, are pairs to train encoders on.",
                effect="An encoder tuned on the pairs that are found finds stories that it has not "
                "seen better, and one tuned on titles that were shuffled does not.",
                test="tests/retrieval/test_trained_claims.py::test_claim_pairs_of_titles_teach",
                measured="nDCG@10 of 300 sentences among 235 stories .288 untuned, .342 with 367 "
                "pairs of titles (+.054 [+.029, +.076]), .270 with shuffled ones (-.018 [-.038, "
                "+.001]): news of gensim, 135 stories printed three times with 5 % of the letters "
                "misread, each paper's title one of its sentences; MiniLM's two lower layers, 30 "
                "steps of 32 (recipes/headlines_study.py). The test, with one layer and 15 steps: "
                "+.026 [+.011, +.042], shuffled -.003 [-.014, +.009].",
            ),
        ),
        differs=(
            "Layout, OCR and the association of headlines with articles are not here: records "
            "come with text and title.",
            "Louvain of networkx; edges are not weighted by the gap in days, which the paper "
            "leaves open.",
            "Each pair is compared once, and MinHash has bands times rows hashes; the released "
            "code compares pairs of one day twice and fixes 10 hashes.",
        ),
    )

    by: Annotated[Literal["vectors", "ngrams", "minhash"], "what is compared"] = "vectors"
    least: Annotated[float | None, In(0, 1), "least likeness of an edge; None: the paper's"] = None
    nearest: Annotated[int, In(1, 1_000_000), "neighbours looked at"] = 900
    run: Annotated[int, In(1, 1000), "characters of a run"] = 15
    words: Annotated[int, In(1, 1000), "words of a run, for MinHash"] = 10
    bands: Annotated[int, In(1, 1000), "bands of MinHash"] = 15
    rows: Annotated[int, In(1, 100), "hashes of a band"] = 2
    window: Annotated[int | None, In(0, 1_000_000), "most days between reprints"] = None
    grouping: Annotated[Literal["communities", "components"], "what a story is"] = "communities"
    resolution: Annotated[float, In(0, 1000, open="left"), "of the communities"] = 1.0
    largest: Annotated[int, In(2, 1_000_000), "most records of a story that gives pairs"] = 50
    apart: Annotated[float, In(0, 1), "least share of characters that titles differ in"] = 0.1
    seed: Annotated[int, In(0, 2**32 - 1), "of hashes and communities"] = 0

    def group(
        self, records: Sequence[Record], vectors: Float[np.ndarray, "n d"] | None = None
    ) -> Groups:
        """Groups of records that tell the same, and pairs of their titles.

        Raises:
            UsageError: If vectors are compared and not given, or not one for each record.
            MissingExtraError: If rapidfuzz is not installed.
        """
        edges, weights = self.edges(records, vectors)
        labels = self._grouped(edges, weights, len(records))
        return Groups(edges=edges, labels=labels, pairs=self.title_pairs(records, labels))

    def edges(
        self, records: Sequence[Record], vectors: Float[np.ndarray, "n d"] | None = None
    ) -> Found:
        """Pairs of records that are alike and near in time, and how alike they are."""
        if len(records) < 2:
            return np.zeros((0, 2), np.int64), np.zeros(0)
        if self.by == "vectors":
            pairs, weights = self._by_vectors(records, vectors)
        else:
            texts = [clean(one.text) for one in records]
            pairs, weights = (self._by_runs if self.by == "ngrams" else self._by_hashes)(texts)
        kept = self._near_in_time(records, pairs)
        return pairs[kept], weights[kept]

    def title_pairs(
        self, records: Sequence[Record], labels: Int[np.ndarray, " n"]
    ) -> Int[np.ndarray, "k 2"]:
        """Pairs within groups of a likely size whose titles differ enough; no two alike.

        Raises:
            MissingExtraError: If rapidfuzz is not installed.
        """
        try:
            from rapidfuzz.distance import Levenshtein
        except ImportError as error:
            raise MissingExtraError(
                "pairs of titles", 'pip install "tokenry[retrieval]"'
            ) from error
        found, seen = [], set()
        for group in members(labels):
            if len(group) > self.largest:
                continue
            for at, first in enumerate(group.tolist()):
                for second in group[at + 1 :].tolist():
                    titles = (records[first].title.strip(), records[second].title.strip())
                    new = all(titles) and len({*titles}) == 2 and frozenset(titles) not in seen
                    if new and Levenshtein.normalized_distance(*titles) >= self.apart:
                        seen.add(frozenset(titles))
                        found.append((first, second))
        return np.asarray(found, dtype=np.int64).reshape(-1, 2)

    @property
    def _least(self) -> float:
        return float(_USUAL[self.by] if self.least is None else self.least)

    def _by_vectors(
        self, records: Sequence[Record], vectors: Float[np.ndarray, "n d"] | None
    ) -> Found:
        if vectors is None or len(vectors) != len(records):
            given = "none are given" if vectors is None else f"{len(vectors)} are given"
            raise UsageError(
                f"Headlines: by='vectors' needs one vector for each of {len(records)} records, and "
                f"{given}; encode the texts, or compare by='ngrams'."
            )
        return near.alike_vectors(vectors, self._least, self.nearest)

    def _by_runs(self, texts: Sequence[str]) -> Found:
        return near.alike_sets([near.shingles(text, self.run) for text in texts], self._least)

    def _by_hashes(self, texts: Sequence[str]) -> Found:
        sets = [near.shingles(text, self.words, of_words=True) for text in texts]
        signatures = near.minhashes(sets, self.bands * self.rows, self.seed)
        pairs = near.banded(signatures, self.bands, self.rows)
        alike = (signatures[pairs[:, 0]] == signatures[pairs[:, 1]]).mean(1)
        return pairs[alike >= self._least], alike[alike >= self._least]

    def _near_in_time(
        self, records: Sequence[Record], pairs: Int[np.ndarray, "m 2"]
    ) -> Int[np.ndarray, " k"]:
        if self.window is None:
            return np.arange(len(pairs))
        days = np.array([np.nan if one.day is None else one.day for one in records], dtype=float)
        gap = np.abs(days[pairs[:, 0]] - days[pairs[:, 1]])
        return np.flatnonzero(~(gap > self.window))  # a day that is not known may be any

    def _grouped(
        self, edges: Int[np.ndarray, "m 2"], weights: Float[np.ndarray, " m"], count: int
    ) -> Int[np.ndarray, " n"]:
        if self.grouping == "components":
            return components(edges, count)
        import networkx as nx

        graph = nx.Graph()
        graph.add_nodes_from(range(count))
        graph.add_edges_from(map(tuple, edges.tolist()))
        labels = np.zeros(count, dtype=np.int64)
        found = nx.community.louvain_communities(
            graph, weight=None, resolution=self.resolution, seed=self.seed
        )
        for number, group in enumerate(found):
            labels[list(group)] = number
        return labels


def clean(text: str) -> str:
    r"""A text without line breaks, hyphens at their place, marks, and letters beyond ASCII.

    >>> clean("The gov-\nernment fell, he said.")
    'The government fell he said'
    """
    joined = text.replace("-\n", "").replace("\n", " ")
    return " ".join(re.sub(r"[^A-Za-z0-9 ]", "", joined).split())
