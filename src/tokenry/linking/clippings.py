"""CLIPPINGS: records of a picture and a text, one pooled vector each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.linking.pooled_rows import PooledRows, Vectors, vectors_of
from tokenry.method import Aids, Batch, In, Linker, Losses, Matcher, Objective, Side
from tokenry.ops.contrastive import in_batch, pairwise, supervised
from tokenry.ops.pooled import pool

_THRESHOLD = 0.8


@final
@dataclass(frozen=True, kw_only=True)
class Clippings(Linker, Objective):
    r"""A picture and a text become one vector, and records link to the nearest one.

    With $v$ the vector of the picture and $w$ that of the text,

    .. math:: e = \mathrm{norm}(a \, \mathrm{norm}(v) + (1 - a) \, \mathrm{norm}(w))

    and pairs score by the inner product of their $e$. A row without a picture, or without a text,
    is what it has. The encoders are trained with `loss`, in one of three ways:

    - "pairs": each picture is told from the texts of other records, and each text from their
      pictures (symmetric InfoNCE); labels are not needed. Records with equal texts are one group.
    - "classes": the pooled vectors of one class are told from those of others (SupCon).
    - "distances": all pairs of pooled vectors, where most classes have one record.

    Args:
        threshold: The score from which on a pair is a match; None for what known pairs say, or
            0.8 without them.
        weight: Of the picture (paper: a); 0 reads texts alone, 1 pictures alone.
        picture: Name of the column with pictures: paths, bytes or Pillow images.
        stage: How the encoders are trained.
        temperature: Divides the cosines of both softmax losses (paper: 0.1 for classes; for pairs
            it is learned there).
        margin: The cosine distance that others shall have, for "distances".

    Raises:
        UsageError: If a setting is out of range.

    >>> half = Clippings(weight=0.5).pool(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 5.0]]))
    >>> [round(x, 4) for x in half[0].tolist()]
    [0.7071, 0.7071]

    Source: Arora, Yang, Jo and Dell 2023, sections 3 and 4.
    """

    top: ClassVar[float] = 1.0
    card: ClassVar[Card] = Card(
        slug="clippings",
        name="CLIPPINGS",
        title="Linking Representations with Multimodal Contrastive Learning",
        summary="Links records that are a picture with a text, such as a crop with what was read "
        "from it, by one vector for both.",
        family="linking",
        have="records with pictures and noisy texts, and a dual encoder such as CLIP",
        want="which of them are the same thing, with labels or without",
        dial="none: it links records",
        needs="training",
        year=2023,
        arxiv="2304.03464",
        venue="arXiv preprint",
        code="https://github.com/dell-research-harvard/clippings",
        claims=(
            Claim(
                paper="Without labels, picture and text together link Japanese firms with an "
                "accuracy of .845; edit distance of the noisy texts reaches .630.",
                effect="Without labels, both together find more of 2,000 unseen names than edit "
                "distance does when 30 % of the characters are wrong.",
                test="tests/linking/test_clippings_claims.py::"
                "test_claim_records_find_more_than_edit_distance",
                measured="1,000 crops of city names in unseen fonts, towers of .3M weights from "
                "scratch (recipes/clippings_names.py): .886 against .834 with 30 % wrong, .939 "
                "against .929 with 20 %; with 10 % edit distance is better, .978 against .985.",
            ),
            Claim(
                paper="With labels .937, against .924 from pictures and .790 from texts alone.",
                effect="Pooled vectors find at least as many as the better of their two halves.",
                test="tests/linking/test_clippings_claims.py::"
                "test_claim_both_find_more_than_either",
                measured="With labels and 30, 20, 10 % wrong: both .939/.965/.986, crops "
                ".788/.776/.806, texts .640/.775/.913; without labels .886/.939/.978, crops "
                ".656/.664/.669, texts .631/.779/.919.",
            ),
            Claim(
                paper="From worst to best: edit distance, 3-grams, texts, both without labels, "
                "pictures, both with labels.",
                effect="The same order.",
                not_shown="With 30 % wrong: 3-grams .605, trained on texts alone .686, on crops "
                "alone .785, edit distance .834, both without labels .886, with .939. Letters are "
                "wrong by chance here, where edit distance is nearly the best there is; "
                "what misread letters look like cannot be learned, and towers of minutes read "
                "crops worse than a CLIP that was trained on millions.",
            ),
            Claim(
                paper="Firms of two sources are linked best by crops and texts of both.",
                effect="With labels, a vendor's drawings of emoji with misread names find those of "
                "another vendor more often by both than by either.",
                test="tests/linking/test_clippings_emoji.py::"
                "test_claim_two_vendors_are_linked_best_by_both",
                measured="200 unseen of 600 concepts, linear heads on frozen DINOv2 and MiniLM, "
                "10/30/50 % wrong in both sources (recipes/clippings_emoji.py): both "
                ".825/.635/.435, drawings .475, names .785/.360/.095; without heads "
                ".660/.535/.345, .290, .700/.305/.080. With 50 % wrong drawings alone are best; "
                "edit distance has .950/.730/.350.",
            ),
            Claim(
                paper="The stage without labels makes both better than what was pre-trained.",
                effect="The same on emoji of two vendors.",
                not_shown="Both find .680/.370/.255 after it, .660/.535/.345 before: from 400 "
                "concepts frozen encoders learn those by heart, and not what words look like.",
            ),
            Claim(
                paper="Photographs of newspapers: adjusted Rand index .615 from both, .597 from "
                "pictures, .389 from texts.",
                effect="Clusters by single linkage agree best with the true ones when both count.",
                test="tests/linking/test_clippings_claims.py::"
                "test_claim_clusters_of_both_agree_best",
                measured="450 crops of 150 names, the cut chosen on 150 others: .816 from both, "
                ".539 from crops, .549 from texts, 10 to 30 % wrong.",
            ),
        ),
        differs=(
            "A record that lacks its picture or its text is what it has; in the paper all have "
            "both.",
            "The temperature of the stage without labels is a setting, there a learned weight.",
            "Distances are those of cosines, squared and halved (Hadsell et al. 2006); released "
            "code takes the ContrastiveLoss of pytorch-metric-learning, Euclidean and not squared.",
            "Rates rise and fall once in a straight line; there, cosine restarts.",
            "The threshold for a match is the one of the best F1 on known pairs, 0.8 without any.",
            "Batches hold no class twice, whichever groups of near classes they are made of.",
            "The weight holds wherever vectors are pooled; one path of the released code always "
            "takes 0.5.",
            "Texts are rendered horizontally only.",
        ),
    )

    weight: Annotated[float, In(0, 1), "the weight of the picture"] = 0.5
    picture: Annotated[str, "the name of the column with pictures"] = "picture"
    stage: Annotated[Literal["pairs", "classes", "distances"], "how the encoders are trained"] = (
        "classes"
    )
    temperature: Annotated[float, In(0.001, 10), "what divides the cosines"] = 0.1
    margin: Annotated[float, In(0, 2), "the distance that others shall have"] = 0.5

    def pool(
        self, pictures: Float[Tensor, "b d"], texts: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b d"]:
        """One vector of length one for each record; a row of zeros is nothing."""
        return pool(pictures, texts, float(self.weight))

    def loss(self, batch: Batch) -> Losses:
        """The loss of the stage over the views `picture` and `text`.

        Raises:
            UsageError: If a stage needs classes and the batch has no groups.
        """
        v, w, groups = batch.vectors["picture"], batch.vectors["text"], batch.groups
        if self.stage == "pairs":
            total = in_batch(v, w, temperature=self.temperature, against="both", groups=groups)
            return Losses(total=total)
        if groups is None:
            raise UsageError(
                f"clippings: stage={self.stage!r} learns from classes, and the batch has none; "
                'give groups, or take stage="pairs".'
            )
        pooled = self.pool(v, w)
        if self.stage == "classes":
            return Losses(total=supervised(pooled, groups, temperature=self.temperature))
        first, second = torch.triu_indices(len(pooled), len(pooled), 1, device=pooled.device)
        same = groups[first] == groups[second]
        return Losses(total=pairwise(pooled[first], pooled[second], same, margin=self.margin))

    def prepare(self, left: Side, right: Side, aids: Aids) -> Matcher:
        """Pool what the encoders make of the pictures and texts of both tables."""
        both = self.vectors([left] if right is left else [left, right], aids)
        found = PooledRows(both[0], both[-1], apart=right is left)
        found.threshold = self.cut(found, aids.known, _THRESHOLD)
        return found

    @classmethod
    def sample(cls, left: Side, right: Side, aids: Aids) -> tuple[Side, Side, Aids]:
        """Both tables with a picture where there is a text."""

        def shown(side: Side) -> Side:
            columns = {**side.columns, "picture": side.texts()}
            return Side(columns=columns, keys=side.keys, count=side.count)

        first = shown(left)
        return first, first if right is left else shown(right), aids

    def vectors(self, sides: Sequence[Side], aids: Aids) -> list[Vectors]:
        """The pooled vectors of the rows of each table; NaN where a row has nothing that counts."""
        shown: list[Any] = []
        read: list[Any] = []
        for side in sides:
            blank = [None] * side.count
            shown += side.column("clippings", self.picture) if self.weight > 0 else blank
            read += side.texts() if self.weight < 1 and side.keys else blank
        v, w = vectors_of(shown, aids, "picture"), vectors_of(read, aids, "embed")
        if v is not None and w is not None and v.shape != w.shape:
            raise UsageError(
                f"clippings: pictures have vectors of {v.shape[1]} dimensions, texts of "
                f"{w.shape[1]}; take both from one dual encoder."
            )
        some = next((one for one in (v, w) if one is not None), torch.zeros(len(shown), 1))
        nothing = torch.zeros_like(some)
        pooled = self.pool(nothing if v is None else v, nothing if w is None else w)
        pooled[(pooled == 0).all(1)] = torch.nan
        ends = np.cumsum([side.count for side in sides])[:-1]
        return np.split(pooled.double().numpy(), ends)
