"""Orma: texts and molecules are compared as wholes, phrase by motif, and token by atom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import Batch, In, Losses, Objective
from tokenry.ops.grains import grained, phrases

VIEWS = ("sentence", "molecule", "phrases", "motifs", "words", "atoms")
"""Vectors that a batch must have; `words`, `motifs` and `atoms` also say which are real."""


@final
@dataclass(frozen=True, kw_only=True)
class Orma(Objective):
    r"""Contrasts texts and molecules at three grains, and sums the losses with weights.

    Whole: the product of a text's and a molecule's vector. Mid: optimal transport sends every
    token to a motif (a fragment of the molecule); the means of the tokens of each motif are
    phrases, which gather motifs. Fine: tokens gather atoms. The loss of a grain is the
    cross-entropy of the right partner in the batch, in both directions.

    Args:
        whole: Weight of the first.
        mid: Weight of the second; the third has the rest.
        rule: Where transport sends a token: where most of its mass goes, or least, as released.

    Raises:
        UsageError: If the weights sum to more than 1.

    Source: Min et al. 2024, section III.
    """

    card: ClassVar[Card] = Card(
        slug="orma",
        name="Orma",
        title="Exploring Optimal Transport-Based Multi-Grained Alignments for Text-Molecule "
        "Retrieval",
        summary="Trains encoders of texts and molecules on wholes, phrases and motifs, and atoms.",
        family="retrieval",
        have="molecules with descriptions",
        want="the molecule that a text describes, or the other way round",
        dial="none: there is no keep",
        needs="training",
        year=2024,
        arxiv="2411.11875",
        venue="BIBM 2024",
        code="https://github.com/XMUDeepLIT/Orma",
        code_license="not stated",
        claims=(
            Claim(
                paper="Motifs and atoms beside wholes raise Hits@1 on ChEBI-20 to 66.5 %, 17.1 "
                "points above AMAN.",
                effect="Three grains find the described molecule more often than wholes alone, and "
                "tell a caption with one thing swapped better.",
                test="tests/retrieval/test_orma.py::test_claim_three_grains_beat_wholes",
                measured="Hits@1 of 120 molecules: text to molecule 0.275 against 0.058, back "
                "0.225 against 0.017; the true caption scores higher than a swapped one for 0.842 "
                "against 0.700 (NCI molecules with counted groups, 600 steps, one seed, "
                "recipes/orma_toy.py).",
            ),
            Claim(
                paper="Optimal transport gives each motif its tokens.",
                effect="Tokens that go where most of their mass goes serve at least as well as "
                "those sent by the released rule.",
                test="tests/retrieval/test_orma.py::test_claim_three_grains_beat_wholes",
                measured="0.275 against 0.175 text to molecule, 0.842 against 0.783 for swapped "
                "captions (the same).",
            ),
        ),
        differs=(
            "Every text is aligned with every molecule of the batch; the paper aligns pairs and "
            "compares the results, so that a molecule's vector depends on its own description, "
            "which a search does not have.",
            "Padding has no mass, and scaling looks at real nodes only; the released code spreads "
            "marginals over padding.",
            "A token goes to the motif that gets most of its mass; the released code takes the "
            'least (rule="least").',
            "Encoders are small and trained from nothing; motifs are BRICS fragments, cut further "
            "between rings and branches; atoms have plain features instead of Mol2vec's.",
        ),
    )

    whole: Annotated[float, In(0, 1), "weight of wholes"] = 0.4
    mid: Annotated[float, In(0, 1), "weight of phrases and motifs"] = 0.3
    rule: Annotated[Literal["most", "least"], "where transport sends a token"] = "most"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.whole + self.mid > 1 + 1e-9:
            raise UsageError(
                f"Orma: whole={self.whole} and mid={self.mid} sum to more than 1; atoms get what "
                "they leave."
            )

    def scores(self, batch: Batch) -> dict[str, Float[Tensor, "a c"]]:
        """The score of each text with each molecule, at each grain that has a weight.

        Args:
            batch: Vectors `sentence` (a d), `phrases` and `words` (a n d), `molecule` (c d),
                `motifs` (c m d), `atoms` (c k d), and which `words`, `motifs` and `atoms` are real.

        Raises:
            UsageError: If a view is missing.
        """
        missing = [name for name in VIEWS if name not in batch.vectors]
        missing += [name for name in ("words", "motifs", "atoms") if name not in batch.real]
        if missing:
            raise UsageError(f"Orma: the batch has no {', '.join(missing)}; it needs all of them.")
        view, real = batch.vectors, batch.real
        found = {"whole": view["sentence"] @ view["molecule"].T}
        if self.mid:
            parts = phrases(
                view["phrases"], real["words"], view["motifs"], real["motifs"], self.rule
            )
            found["mid"] = grained(*parts, view["motifs"], real["motifs"])
        if self._fine:
            size = (len(view["words"]), len(view["atoms"]), *view["words"].shape[1:])
            tokens = view["words"][:, None].expand(size)
            there = real["words"][:, None].expand(size[:3])
            found["fine"] = grained(tokens, there, view["atoms"], real["atoms"])
        return found

    def blended(self, scores: dict[str, Float[Tensor, "a c"]]) -> Float[Tensor, "a c"]:
        """The weighted sum that ranks molecules for texts, and texts for molecules."""
        weights = {"whole": self.whole, "mid": self.mid, "fine": self._fine}
        return torch.stack([weights[name] * one for name, one in scores.items()]).sum(0)

    def loss(self, batch: Batch) -> Losses:
        """The loss of a batch in which text and molecule of one row belong together.

        Raises:
            UsageError: If a view is missing, or texts and molecules are not as many.
        """
        scores = self.scores(batch)
        rows, columns = scores["whole"].shape
        if rows != columns:
            raise UsageError(f"Orma: {rows} texts have {columns} molecules; give pairs.")
        parts = {name: _both_ways(one) for name, one in scores.items()}
        weights = {"whole": self.whole, "mid": self.mid, "fine": self._fine}
        total = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
        return Losses(total=total, parts=parts)

    @property
    def _fine(self) -> float:
        return max(0.0, round(1 - self.whole - self.mid, 9))


def _both_ways(scores: Float[Tensor, "b b"]) -> Float[Tensor, ""]:
    own = torch.arange(len(scores), device=scores.device)
    cross = torch.nn.functional.cross_entropy
    return (cross(scores, own) + cross(scores.T, own)) / 2
