"""ToMe: merge the most similar pairs of tokens between attention and MLP of every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from tokenry.card import Card, Claim
from tokenry.method import LayerView, Schedule, TokenReducer
from tokenry.ops.match import merge_best
from tokenry.ops.plan import Plan
from tokenry.ops.similarity import unit


@final
@dataclass(frozen=True, kw_only=True)
class ToMe(TokenReducer):
    r"""Bipartite soft matching: even rows find their nearest odd row, the best pairs merge.

    $S = \hat K_A \hat K_B^\top$ with $\hat K$ the mean over heads of the attention keys,
    rows of unit length; $A$ are the even and $B$ the odd rows. The `r` rows of $A$ with the
    largest $\max_j S_{ij}$ merge into that row of $B$, as size-weighted means.

    Args:
        keep: Share of tokens that is really processed, averaged over the layers.
        schedule: How the removal is spread over the layers; the paper's "r" is "constant",
            its decreasing schedule "linear".
        proportional: Add log size to each key's score; the paper's proportional attention.

    Raises:
        UsageError: If a setting is out of range.

    >>> ToMe(keep=0.6)
    ToMe(keep=0.6, schedule='constant', proportional=True)

    Source: Bolya et al. 2023, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="tome",
        name="ToMe",
        title="Token Merging: Your ViT But Faster",
        summary="Merges the most similar token pairs in every layer; the standard to beat.",
        family="vision",
        have="a trained vision transformer",
        want="fewer tokens without training, keeping what the merged ones held",
        dial="keep sets r, the number of merged pairs per layer",
        year=2023,
        arxiv="2210.09461",
        venue="ICLR 2023",
        code="https://github.com/facebookresearch/ToMe",
        code_license="CC-BY-NC-4.0",
        claims=(
            Claim(
                paper="Off the shelf, twice the throughput of large ViTs for a drop of 0.2-0.3 %.",
                effect="At equal token counts, merging stays closer to the untouched model than "
                "random dropping and than average pooling.",
                test="tests/vision/test_tome.py::test_claim_beats_random_and_pooling",
                measured="Cosine to the untouched model higher than random dropping by 0.018 "
                "(95 % interval 0.014 to 0.022) at keep=0.75 and by 0.100 (0.081 to 0.121) at 0.5; "
                "than average pooling by 0.021 (0.017 to 0.026) and 0.061 (0.048 to 0.076). "
                "zoo:dinov2-small-saliency, 48 emoji at 224 px.",
            ),
            Claim(
                paper="Supervised models need proportional attention.",
                effect="Closer to the untouched model with log size in the scores than without.",
                test="tests/vision/test_tome.py::test_proportional_attention_helps",
                measured="Cosine higher by 0.014 (0.011 to 0.018) at keep=0.75 and by 0.056 (0.045 "
                "to 0.070) at 0.5; the same model and drawings.",
            ),
        ),
        differs=(
            "Rows that stay keep their order; the released code reorders them, which no "
            "transformer layer notices and which spatial code after the encoder would.",
            "That order decides which rows are even in the next layer; on the zoo DINOv2 "
            "the cosine to the untouched model moves by 0.005 or less.",
            "A zero key stays zero instead of giving NaN.",
        ),
    )

    schedule: Schedule = "constant"
    proportional: Annotated[bool, "whether keys count by their size"] = True

    max_drop: ClassVar[float] = 0.5

    @property
    def spread(self) -> Schedule:
        """The schedule over all layers."""
        return self.schedule

    @property
    def biases_keys(self) -> bool:
        """Whether proportional attention is on."""
        return self.proportional

    def reduce(self, x: Float[Tensor, "b n d"], view: LayerView) -> Plan:
        """Merge as many even rows into their nearest odd rows as `view.count` asks."""
        b, n, _ = x.shape
        rows = torch.arange(view.protected, n, device=x.device).expand(b, -1)
        metric = unit(view.keys.mean(1))
        # The paper counts parity over all rows, the class token being row 0.
        first = view.protected % 2
        return merge_best(
            metric, rows[:, first::2], rows[:, 1 - first :: 2], n - view.count, view.valid
        )
