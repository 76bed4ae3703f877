"""MUSER: records are similar view by view, as the labels of several hierarchies say."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np
from jaxtyping import Float
from scipy import sparse

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import In, Label, ViewRanker, Views


@final
@dataclass(frozen=True, kw_only=True)
class Muser(ViewRanker):
    r"""Scores records by the cosines of their labels, level by level, view by view.

    In a view whose labels have levels, level $l$ of a record is the set of its labels cut off at
    $l$. With $n_l$ different labels at that level, the view's score is $\sum_l n_l \cos_l / \sum_l
    n_l$, so that the finest level counts most; a record without labels has cosine 0. Views are
    summed with weights. Labels count once, in whatever order and however often they are given.

    Args:
        weights: Of the views; they are scaled to the sum 1.

    Source: Li et al. 2023, sections 3 and 4.2.
    """

    card: ClassVar[Card] = Card(
        slug="muser",
        name="MUSER",
        title="MUSER: A Multi-View Similar Case Retrieval Dataset",
        summary="Ranks by labels of several hierarchies, alone or beside a ranker of texts.",
        family="retrieval",
        have="records with labels of several kinds, such as facets",
        want="records that are similar in the ways that matter",
        dial="none: there is no keep",
        year=2023,
        arxiv="2310.15602",
        venue="CIKM 2023",
        code="https://github.com/THUlawtech/MUSER",
        code_license="MIT",
        claims=(
            Claim(
                paper="Ranking by labels beats rankers of texts: NDCG@10 .318 against .286 for "
                "LMIR, .218 for BM25 and .206 for TF-IDF.",
                effect="Labels of one view, alone and beside BM25, beat BM25 and LMIR where "
                "relevance is judged by another view.",
                test="tests/retrieval/test_muser.py::test_claim_a_view_of_labels_helps_bm25",
                measured="600 emoji, 150 queries, groups and sub-groups of Unicode judge, nDCG@10: "
                "names by BM25 0.183 and by LMIR 0.179, keywords that names do not hold as labels "
                "0.440, beside BM25 0.481 (+0.299 ± 0.046). BM25 that reads the keywords as words "
                "has 0.447 (`recipes/muser_study.py`).",
            ),
            Claim(
                paper="NDCG@10 of its runs on 20 queries: labels .318, LMIR .286, BM25 .218, "
                "TF-IDF .206, Lawformer .038; P@10 .275, .255, .190, .195, .050.",
                effect="tokenry's measures over the published runs and labels give these values.",
                not_shown="Without a test, since runs and labels are not shipped: `python "
                "recipes/muser_study.py --published MUSER/data` reads them. Their NDCG@10, 20 and "
                "30, P@5 and 10, and MAP come out as from the released script, in all of its "
                "digits. Its MAP is over labelled candidates alone (.870, .925, .918, .852, "
                ".650); over whole rankings it is .131, .137, .115, .111 and .015. NDCG@10 on all "
                "100 queries: .290, .263, .237, .240.",
            ),
            Claim(
                paper="Predicted labels lie between no labels and people's.",
                effect="Labels that a model predicts help BM25, and less than people's do.",
                not_shown="Without a test, since the data may not be shipped; `muser_study.py "
                "--index` reruns it. 2,374 packages of Debian 12 with facets, 150 queries, "
                "nDCG@10: where three views judge, BM25 0.482, with predicted labels 0.516, with "
                "people's 0.962; predicted labels alone 0.402. Where two judge, the third beside "
                "BM25 gains 0.024 ± 0.019 at half the weight, 0.017 ± 0.019 at equal weight.",
            ),
        ),
        differs=(
            "Any number of views, with any number of levels; the paper has three with three, three "
            "and two.",
            "The number of labels of a level is that of the records at hand, not of a catalogue.",
            "Everything is ranked by the same candidates; the released BM25 and label rankers do "
            "not share theirs.",
            "The texts of the cases are not published, so the paper's rankers cannot be rerun; "
            "their runs are.",
        ),
    )

    weights: Annotated[tuple[float, ...], In(0, 1000), "of the views"] = (0.5, 0.4, 0.1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not sum(self.weights):
            raise UsageError(
                f"Muser: weights={self.weights!r} weighs no view; give one for each view."
            )

    def score(self, queries: Sequence[Views], records: Sequence[Views]) -> Float[np.ndarray, "q d"]:
        """How alike each query and each record are, between 0 and 1.

        Raises:
            UsageError: If the records do not have as many views as there are weights.
        """
        for number, one in enumerate((*queries, *records)):
            if len(one) != len(self.weights):
                raise UsageError(
                    f"Muser: record {number} has {len(one)} views, and there are "
                    f"{len(self.weights)} weights; give each record one collection for each view."
                )
        found = np.zeros((len(queries), len(records)))
        for view, weight in enumerate(self.weights):
            labels = [one[view] for one in (*queries, *records)]
            found += weight / sum(self.weights) * _view(labels, len(queries))
        return found


def _view(labels: Sequence[Collection[Label]], queries: int) -> Float[np.ndarray, "q d"]:
    scores = np.zeros((queries, len(labels) - queries))
    total = 0
    for table in _levels(labels):
        count = table.shape[1]
        total += count
        length = np.sqrt(table.sum(1))
        unit = sparse.diags_array(1 / np.where(length > 0, length, 1)) @ table
        scores += count * (unit[:queries] @ unit[queries:].T).toarray()
    return scores / max(total, 1)


def _levels(labels: Sequence[Collection[Label]]) -> Iterator[sparse.csr_array]:
    """For each level, which record has which label."""
    depth = max((len(path) for one in labels for path in one), default=0)
    for level in range(1, depth + 1):
        sets = [{path[:level] for path in one if len(path) >= level} for one in labels]
        known = {path: at for at, path in enumerate(sorted(set().union(*sets)))}
        rows = [row for row, one in enumerate(sets) for _ in one]
        columns = [known[path] for one in sets for path in one]
        yield sparse.coo_array(
            (np.ones(len(rows)), (rows, columns)), shape=(len(labels), len(known))
        ).tocsr()
