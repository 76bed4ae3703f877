"""PiToMe: merge inside large similar clusters, which an energy score finds; protect the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import elu

from tokenry.card import Card, Claim
from tokenry.method import In, LayerView, Schedule, TokenReducer
from tokenry.ops.match import first_ranked, merge_best
from tokenry.ops.plan import Plan
from tokenry.ops.similarity import unit

_ROWS = 256  # rows of the similarity matrix that exist at once


def energy(
    metric: Float[Tensor, "b n d"],
    margin: float,
    form: Literal["elu", "paper"] = "elu",
    valid: Bool[Tensor, "b n"] | None = None,
) -> Float[Tensor, "b n"]:
    r"""How large and how tight the cluster around each row is.

    $E_i = \frac1N \sum_j f(C_{ij})$ with $C$ the cosine similarity. "elu" is
    $f(x) = \mathrm{elu}(x - m)$; "paper" is $x$ from the margin $m$ upwards and
    $e^{x-m} - 1$ below it.

    Args:
        metric: Rows of unit length.
        margin: Similarity from which two rows count as neighbours (paper: m).
        form: Which $f$.
        valid: False where a row is padding; its energy is minus infinity.
    """
    columns = metric.transpose(-1, -2)
    parts = []
    for rows in torch.split(metric, _ROWS, dim=1):
        shifted = torch.baddbmm(metric.new_tensor(-margin), rows, columns)
        score = elu(shifted, inplace=True)
        if form == "paper":
            score = torch.where(score >= 0, score + margin, score)
        if valid is not None:
            score = score.masked_fill(~valid.unsqueeze(1), 0)
        parts.append(score.sum(-1))
    total = torch.cat(parts, 1)
    if valid is None:
        return total / metric.shape[1]
    mean = total / valid.sum(1, keepdim=True).clamp(min=1)
    return mean.masked_fill(~valid, float("-inf"))


@final
@dataclass(frozen=True, kw_only=True)
class PiToMe(TokenReducer):
    r"""Energy-ranked merging: only the 2r rows of highest energy merge, in pairs of ranks.

    Rows are ranked by `energy` (falling). Of the first $2r$, even ranks $A$ merge into their
    most similar odd rank $B$; all other rows are protected.

    Args:
        keep: Share of tokens that is really processed, averaged over the layers.
        schedule: How the removal is spread over the layers; the paper's ratio is "ratio".
        margin: Margin of the first layer (paper: m); it falls linearly, to m/L at the last.
        variant: "full" as above; "bsm": even and odd ranks over all rows, and only the r best
            matches merge; "bsm-full": bsm in the first half of the layers, as released for DeiT.
        form: Which energy function; see `energy`.
        proportional: Add log size to each key's score.

    Raises:
        UsageError: If a setting is out of range.

    >>> PiToMe(keep=0.6, margin=0.9).describe()
    'PiToMe(margin=0.9, keep=0.6)'

    Source: Tran et al. 2024, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="pitome",
        name="PiToMe",
        title="Accelerating Transformers with Spectrum-Preserving Token Merging",
        summary="Merges inside large similar clusters and leaves isolated, telling tokens alone.",
        family="vision",
        have="a trained vision transformer and pictures with much uniform background",
        want="fewer tokens without training, with rare details protected",
        dial="keep sets the keep ratio per layer (paper: r)",
        year=2024,
        arxiv="2405.16148",
        venue="NeurIPS 2024",
        code="https://github.com/hchautran/PiToMe",
        code_license="CC-BY-NC-4.0",
        claims=(
            Claim(
                paper="Keeps the spectrum of the token graph where ToMe keeps a constant gap.",
                effect="On clusters of unequal size, the spectral distance of the coarsened graph "
                "is lower than ToMe's.",
                test="tests/vision/test_pitome.py::test_claim_spectrum_closer_than_tome",
                measured="Spectral distance 0.035, 0.075 and 0.105 for 6, 12 and 15 merges, ToMe's "
                "0.954, 1.738 and 2.204, where parity keeps the clusters apart; in random order "
                "0.105 against 0.402 for 15 merges. Means of 20 planted draws. On the keys of "
                "zoo:dinov2-small-saliency it is the other way round: with 64 of 256 patches "
                "merged in the seventh layer, 0.028 against 0.018 on 16 emoji.",
            ),
            Claim(
                paper="40-60 % fewer FLOPs at a smaller drop than other mergers.",
                effect="At equal token counts, variant='bsm-full' (the released mix) stays closer "
                "to the untouched model than random dropping.",
                test="tests/vision/test_pitome.py::test_claim_beats_random",
                measured="Cosine to the untouched model higher than random dropping by 0.020 (95 % "
                "interval 0.016 to 0.024) at keep=0.75 and by 0.050 (0.040 to 0.061) at 0.5. "
                "zoo:dinov2-small-saliency, 48 emoji at 224 px; on 60 photographs by 0.015 and "
                "0.032.",
            ),
            Claim(
                paper="40-60 % fewer FLOPs at a smaller drop than other mergers.",
                effect="At equal token counts, variant='full' (the paper's text, the default) "
                "stays closer to the untouched model than random dropping.",
                not_shown="Only at keep=0.75 and on drawings: 0.012 (0.007 to 0.018) closer, 48 "
                "emoji. At 0.5 they are not distinguishable, and on 60 photographs it is worse "
                "than random dropping by 0.008 and 0.039. zoo:dinov2-small-saliency.",
            ),
            Claim(
                paper="A smaller drop than ToMe at equal FLOPs.",
                effect="At equal token counts, closer to the untouched model than ToMe.",
                not_shown="The reverse on zoo:dinov2-small-saliency: at keep=0.5 the mean cosine "
                "to the untouched model is 0.960 (full) and 0.987 (bsm-full) against ToMe's 0.994 "
                "on the same ratio schedule, 96 emoji; 0.894 and 0.965 against 0.973 on 60 "
                "photographs. The bsm variant, whose pairs come from energy ranks but of which "
                "only the best merge, comes to 0.995 and 0.976.",
            ),
        ),
        differs=(
            "Proportional attention is on; the released code has the flag but never passes the "
            "sizes on. proportional=False reproduces the published figures' setting.",
            "Every layer uses the full variant, as in the paper; the released DeiT code uses bsm "
            "in the first half: variant='bsm-full'.",
            "Rows that stay keep their order; the released code sorts them by energy.",
        ),
    )

    schedule: Schedule = "ratio"
    margin: Annotated[float, In(0, 1), "the similarity from which two tokens are neighbours"] = 0.75
    variant: Annotated[Literal["full", "bsm", "bsm-full"], "which rows may pair up"] = "full"
    form: Annotated[Literal["elu", "paper"], "the energy function"] = "elu"
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
        """Merge the rows of highest energy in pairs, until `view.count` rows are left."""
        p, r = view.protected, x.shape[1] - view.count
        metric = unit(view.keys.mean(1))
        patches = None if view.valid is None else view.valid[:, p:]
        margin = self.margin * (1 - view.layer / view.depth)
        ranked = first_ranked(energy(metric[:, p:], margin, self.form, patches)) + p
        bsm = self.variant == "bsm" or (
            self.variant == "bsm-full" and view.layer < (view.depth + 1) // 2
        )
        pool = ranked if bsm else ranked[:, : 2 * r]
        return merge_best(metric, pool[:, ::2], pool[:, 1::2], r, view.valid)
