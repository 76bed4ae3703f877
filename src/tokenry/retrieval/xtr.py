"""XTR: documents are scored from the tokens that were retrieved, and trained for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tokenry.card import Card, Claim
from tokenry.method import Batch, In, LateScorer, Losses, PairObjective
from tokenry.ops.contrastive import softmax_loss
from tokenry.ops.late import xtr_scores, xtr_train_scores
from tokenry.ops.ragged import Ragged, offsets, vectors


@final
@dataclass(frozen=True, kw_only=True)
class XTR(LateScorer, PairObjective):
    r"""Each query token retrieves its nearest tokens; what it misses in a document gets a bound.

    Searching, each of the $n$ query tokens retrieves its `top_k` nearest tokens of all documents,
    and $f'(Q, D) = \frac1n \sum_i s_i(D)$ with $s_i(D)$ the best similarity retrieved in $D$, or,
    where $q_i$ retrieved none there, that of the last token it retrieved: what was missed is no
    nearer. No document token is looked at but those retrieved.

    Training, $f(Q, D) = \frac1Z \sum_i \max_{j \in D, j \in A_i} q_i \cdot d_j$, where $A_i$ are
    the `train_k` tokens of all documents of the batch that are nearest to $q_i$, and $Z$ counts the
    query tokens with one in $D$. The loss is the cross-entropy of each query's own document. With
    `train_k` as large as the batch it is that of ColBERT's MaxSim, as a mean.

    Args:
        top_k: Tokens that each query token retrieves (paper: k').
        impute: What stands for what was not retrieved: the `last` similarity, or `zero`.
        train_k: Tokens that each query token retrieves of a batch (paper: k_train, 32 to 320).
        temperature: Divides the scores in the loss (paper: 1).

    Raises:
        UsageError: If a setting is out of range.

    >>> q, d = Ragged.of([torch.eye(2)]), Ragged.of([torch.eye(2)[:1], torch.eye(2) * 0.5])
    >>> XTR(top_k=1).score(q, d).tolist()
    [[0.75, 0.75]]

    Source: Lee et al. 2023, sections 3.1 and 3.2.
    """

    card: ClassVar[Card] = Card(
        slug="xtr",
        name="XTR",
        title="Rethinking the Role of Token Retrieval in Multi-Vector Retrieval",
        summary="Scores documents from the retrieved tokens alone, with a bound for what was not "
        "retrieved, and trains an encoder so that the right tokens are retrieved.",
        family="retrieval",
        have="an encoder with a vector for each token, and documents to search",
        want="late interaction without gathering all tokens of the candidates",
        dial="none: top_k says how many tokens each query token retrieves",
        needs="nothing",
        year=2023,
        arxiv="2304.01982",
        venue="NeurIPS 2023",
        code="https://github.com/google-deepmind/xtr",
        code_license="Apache-2.0",
        claims=(
            Claim(
                paper="What was not retrieved is at most as near as the last token retrieved "
                "(section 3.2).",
                effect="The score is at least the exact mean MaxSim, and falls towards it as top_k "
                "grows; with all tokens it is equal.",
                test="tests/retrieval/test_xtr.py::test_claim_score_is_a_bound_that_falls",
                measured="On 40 batches of random and of clustered vectors, for every document and "
                "every top_k from 1 to all tokens.",
            ),
            Claim(
                paper="Scoring takes 4,000 times fewer operations than gathering all tokens of "
                "the candidates.",
                effect="Multiplications and additions, counted from the hits, are below those of "
                "gathering by more than a hundred times.",
                test="tests/retrieval/test_xtr.py::test_claim_scoring_costs_a_hundredth",
                measured="11,000 times fewer, at the paper's sizes (16 query tokens, 55 tokens of "
                "128 channels, top_k 100) with 400 documents of random vectors.",
            ),
            Claim(
                paper="Imputing the last similarity is better than 0.",
                effect="More of the ten best documents of exact MaxSim are found, once enough "
                "tokens are retrieved.",
                test="tests/retrieval/test_xtr.py::test_claim_the_bound_on_real_tokens",
                measured="300 passages of manual pages, 17,073 token vectors of MiniLM, 40 "
                "questions: .965 and .890 of them with top_k 500, .840 and .828 with 100. With "
                "fewer 0 is better, as then the number of hits says more than how near they are: "
                ".758 and .805 with 50, .503 and .698 with 10. nDCG@10 on 200 manual pages: .566 "
                "and .552 with top_k 100 of 12,800 tokens, .565 by exact MaxSim "
                "(recipes/xtr_minilm.py).",
            ),
            Claim(
                paper="Scoring from retrieved tokens alone is enough (BEIR nDCG@10 49.1; 46.8 of "
                "T5-ColBERT with MaxSim).",
                effect="Of an encoder that was not trained for it, too, XTR's scoring at top_k 50 "
                "to 500 is within a point of exact MaxSim, which is more than five above the mean "
                "vector.",
                not_shown="Without a test, since the pages do not ship, and not at 50: 100 "
                "descriptions among 855 manual pages, their first 256 tokens by MiniLM, nDCG@10 "
                ".798 by exact MaxSim, .722 by the mean vector (-.077 [-.142, -.011]), .645 by "
                "BM25; XTR at 50 .762 (-.037 [-.077, -.000]), at 500 .797 (-.001 [-.020, +.018]), "
                "at 1,000 .802; imputing 0 .777 at 50 and .773 at 500, within chance of the last "
                "(`tokenry compare zoo:minilm-l6 --data manpages-large --max-tokens 256 --limit "
                '100 --keep 1 --methods "pooled-vector,bm25,xtr(top_k=50)"`, '
                "recipes/manpage_collection.py).",
            ),
            Claim(
                paper="Trained with it, an encoder retrieves the right tokens: MRR@10 37.4 where a "
                "T5 trained with MaxSim gets 27.7 by the same scoring.",
                effect="From exact MaxSim to XTR scoring at small top_k, an encoder trained with "
                "XTR loses less than one trained with MaxSim, and the nearest token belongs to the "
                "right page more often.",
                test="tests/retrieval/test_xtr_training.py::test_claim_trained_with_it_loses_less",
                measured="500 descriptions among as many unseen pages of 80 packages, MiniLM's "
                "states projected to 64 channels, 300 steps of 32 (recipes/xtr_minilm.py), two "
                "seeds, nDCG@10 by exact MaxSim and at top_k 5 and 20: trained with MaxSim .813 "
                "-> .756, .790 and .814 -> .762, .803; with XTR .790 -> .765, .791 and .782 -> "
                ".773, .800. MaxSim's training loses more by .037 [.024, .051] and .026 [.016, "
                ".037]; the nearest token is the right page's for .427 and .428 by it, .439 and "
                ".445 by XTR's. Exact MaxSim stays better where it can be afforded. The test reads "
                "four windows of each shipped page; with one the effect is absent (.013 lost by "
                "MaxSim's training at top_k 5, .018 by XTR's).",
            ),
        ),
        differs=(
            "Any encoder of transformers; the paper's is T5. Lower-casing is the tokenizer's "
            "business: the ported checkpoint google/xtr-base-en wants lower-cased texts.",
            "A document that no query token retrieved has the mean of the bounds, the lowest score "
            "there is; the paper does not rank it.",
            "A retrieved token with number -1 is no token; the released notebook takes it for one "
            "of document 0.",
            "top_k is 1,000 by default, for collections of some million tokens; the paper takes "
            "40,000 of some billion.",
            "The loss has a temperature, as batches here are small; 1 is the paper's.",
        ),
    )
    pairwise: ClassVar[bool] = False
    tokens: ClassVar[bool] = True

    top_k: Annotated[int, In(1, 10_000_000), "the tokens that a query token retrieves"] = 1000
    impute: Annotated[Literal["last", "zero"], "what stands for what was not retrieved"] = "last"
    train_k: Annotated[int, In(1, 10_000_000), "the tokens retrieved of a batch"] = 256
    temperature: Annotated[float, In(0.001, 10), "what divides the scores in the loss"] = 1.0

    def score(self, q: Ragged, d: Ragged) -> Float[Tensor, "q d"]:
        """One score per query and document; a document without tokens has minus infinity."""
        tokens, owners = vectors(d), d.owners
        found = (
            torch.stack([self._row(one.float(), tokens, owners, len(d)) for one in q])
            if (len(q))
            else tokens.new_zeros(0, len(d))
        )
        return found.masked_fill(d.lengths == 0, -torch.inf)

    def _row(self, query: Tensor, tokens: Tensor, owners: Tensor, count: int) -> Tensor:
        """The scores of all documents for one query."""
        if not len(query) or not len(tokens):
            return tokens.new_zeros(count)
        near, places = (query @ tokens.mT).topk(min(self.top_k, len(tokens)), 1)
        documents, scores = xtr_scores(owners[places], near, self.impute)
        rest = near[:, -1].mean() if self.impute == "last" else near.new_zeros(())
        return rest.expand(count).scatter(0, documents, scores)

    def loss(self, batch: Batch) -> Losses:
        """Cross-entropy of the document of each query among those of the batch."""
        q, d = (_ragged(batch.vectors[side], batch.real[side]) for side in ("left", "right"))
        scores = xtr_train_scores(q, d, self.train_k) / self.temperature
        groups = batch.groups
        same = None if groups is None else groups[:, None] == groups
        return Losses(total=softmax_loss(scores, left_out=same).mean())


def _ragged(x: Float[Tensor, "b n d"], real: Bool[Tensor, "b n"]) -> Ragged:
    return Ragged(x[real], offsets(real.sum(1).tolist()).to(x.device))
