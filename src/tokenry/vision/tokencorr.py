"""TokenCorr: keep attention outliers and a density-driven sample; average the rest into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tokenry.card import Card, Claim
from tokenry.method import In, LayerView, TokenReducer
from tokenry.ops.attention import class_weights
from tokenry.ops.match import best_match, first_ranked
from tokenry.ops.plan import Plan, take_rows
from tokenry.ops.similarity import unit

_NATURAL = 0.34  # the share that the paper leaves on average
_ROWS = 256  # rows of the similarity matrix that exist at once


def outliers(attention: Float[Tensor, "b n"]) -> Bool[Tensor, "b n"]:
    r"""Rows whose attention lies above $Q_3 + 1.5\,(Q_3 - Q_1)$.

    >>> outliers(torch.tensor([[1.0, 1.0, 1.0, 1.0, 9.0]])).tolist()
    [[False, False, False, False, True]]
    """
    levels = attention.new_tensor([0.25, 0.75])
    low, high = attention.quantile(levels, dim=-1, keepdim=True)
    above: Tensor = attention > high + 1.5 * (high - low)
    return above


def density(
    keys: Float[Tensor, "b n d"], similarity: float, neighbours: float
) -> Float[Tensor, " b"]:
    """Information density: the share of rows that are not redundant.

    A row is redundant when at least `neighbours * n` other rows (rounded up) have a cosine
    similarity above `similarity` to it.

    Args:
        keys: What the rows are compared by.
        similarity: Cosine from which two rows are alike (paper: tau).
        neighbours: Share of the rows that must be alike.
    """
    metric = unit(keys)
    columns = metric.transpose(-1, -2)
    alike = [
        ((rows @ columns) > similarity).sum(-1) - 1 for rows in torch.split(metric, _ROWS, dim=1)
    ]
    needed = max(1, -int(-neighbours * keys.shape[1] // 1))
    return 1 - (torch.cat(alike, 1) >= needed).float().mean(-1)


@final
@dataclass(frozen=True, kw_only=True)
class TokenCorr(TokenReducer):
    r"""One selection between two layers, from what a low and a deep layer look at.

    Kept are the outliers of the class token's attention in the deep layer, then tokens drawn
    without replacement with probability proportional to its attention in the low layer. Every
    other token is averaged into the kept token whose deep key is most similar.

    Args:
        keep: Share of tokens that is really processed, averaged over the layers.
        adaptive: Draw only `ceil(density * n)` tokens, so that an empty picture keeps fewer than
            the dial allows; images of one batch then differ and are padded.
        draw: "random" draws with the seed; "top" takes the most attended.
        low_layer: The low layer, from 0 (paper: low; default the second).
        similarity: Cosine from which two low keys are alike (paper: tau).
        neighbours: Share of tokens that must be alike for one to be redundant (paper: n).
        seed: Seed of the draw.

    Raises:
        UsageError: If a setting is out of range.

    >>> TokenCorr(keep=0.5).layers(12)
    (3,)

    Source: Zhang et al. 2024, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="tokencorr",
        name="TokenCorr",
        title="Token-level Correlation-guided Compression for Efficient Multimodal Document "
        "Understanding",
        summary="Keeps what stands out and samples the rest by how much there is to see.",
        family="vision",
        have="document pages or drawings with empty regions",
        want="one cut in the middle of the encoder that adapts to how full the page is",
        dial="keep sets after which layer the cut is made, and how many tokens it leaves",
        year=2024,
        arxiv="2407.14439",
        venue="arXiv 2024",
        code="https://github.com/JiuTian-VL/TokenCorrCompressor",
        code_license="Apache-2.0",
        claims=(
            Claim(
                paper="66 % of the tokens of document pages go at comparable scores.",
                effect="Of the tokens kept of a text page, more lie on text than with a random "
                "choice or an even grid of as many.",
                test="tests/vision/test_tokencorr.py::test_claim_keeps_text",
                measured="56 % of the 85 patches kept at keep=0.5 lie on text, against 26 % on an "
                "even grid and 25-28 % at random (5 seeds). At keep=0.4 and below, where the cut "
                "comes after the first layer, fewer than at random: 15-18 %. "
                "zoo:dinov2-small-saliency, 16 drawn pages of 224 px.",
            ),
        ),
        differs=(
            "The paper compresses after the encoder, before a language model. Here the cut is made "
            "inside the encoder, as late as the dial allows while the cut leaves about a third "
            "of the tokens, the paper's average.",
            "The dial fixes the count; adaptive=True lets the density lower it, as in the paper.",
            "Layers, tau and n are not published; defaults are the second layer, 0.9 and 5 %. tau "
            "depends on the model: on zoo:dinov2-small-saliency 0.9 calls every page empty, and "
            "0.95 tells full from empty.",
            "The deep layer is the one before the cut, and the low layer never comes after it.",
            "adaptive=True draws at least one token; all images of a batch share the noise of the "
            "draw, so that the batch does not change the result.",
            "An encoder without a class token is asked with its mean query.",
        ),
    )

    adaptive: Annotated[bool, "whether the density may lower the count"] = False
    draw: Annotated[Literal["random", "top"], "how tokens are drawn"] = "random"
    low_layer: Annotated[int, In(0, 1000), "the low layer"] = 1
    similarity: Annotated[float, In(-1, 1), "the cosine from which two keys are alike"] = 0.9
    neighbours: Annotated[float, In(0, 1), "the share of tokens that must be alike"] = 0.05
    seed: Annotated[int, In(0, 2**31), "the seed of the draw"] = 0

    place: ClassVar[Literal["before", "middle"]] = "before"

    def layers(self, depth: int) -> tuple[int, ...]:
        """The one layer before which the cut is made."""
        cut = round(depth * (self.keep - _NATURAL) / (1 - _NATURAL))
        return (min(max(cut, 1), depth - 1),)

    def observe(self, view: LayerView) -> None:
        """Note what the low layer looks at, and its keys where density is asked for."""
        if view.layer != min(self.low_layer, self.layers(view.depth)[0] - 1):
            return
        attention = class_weights(*view.compared, view.scale, view.bias, view.protected)
        view.memory["low"] = attention[:, view.protected :]
        if self.adaptive:
            keys = view.keys.transpose(1, 2).flatten(2)[:, view.protected :]
            view.memory["density"] = density(keys, self.similarity, self.neighbours)

    def reduce(self, x: Float[Tensor, "b n d"], view: LayerView) -> Plan:
        """Keep outliers and draws, and average every other row into the nearest of them."""
        p, n = view.protected, x.shape[1]
        deep = class_weights(*view.compared, view.scale, view.bias, p)[:, p:]
        low = view.memory["low"]
        stands_out = outliers(deep)
        order = self._rank(deep, low, stands_out)
        count = torch.full_like(order[:, 0], view.count - p)
        if self.adaptive:
            drawn = (view.memory["density"] * (n - p)).ceil().long().clamp(min=1)
            drawn_out = stands_out.gather(1, first_ranked(self._draws(low)))
            place = torch.arange(n - p, device=x.device)
            both = (drawn_out & (place < drawn[:, None])).sum(1)
            count = torch.minimum(count, stands_out.sum(1) + drawn - both)
        return self._plan(view, order + p, count, n)

    def _draws(self, low: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        """Falls in the order of the draws: an exponential race draws without replacement."""
        rate = low.clamp(min=1e-12)
        if self.draw == "top":
            return -1 / rate
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.rand(low.shape[-1], generator=generator).clamp(min=1e-12)
        return noise.log().to(low.device) / rate

    def _rank(
        self, deep: Float[Tensor, "b n"], low: Float[Tensor, "b n"], stands_out: Tensor
    ) -> Int[Tensor, "b n"]:
        """Outliers by deep attention, then the others, below 0, in the order of the draws."""
        return first_ranked(torch.where(stands_out, deep, self._draws(low)))

    def _plan(
        self, view: LayerView, order: Int[Tensor, "b n"], count: Int[Tensor, " b"], n: int
    ) -> Plan:
        p, b, device = view.protected, order.shape[0], order.device
        most, least = (view.count - p, view.count - p)
        if self.adaptive:
            least, most = torch.stack(count.aminmax()).tolist()
        chosen, real = _in_order(order[:, :most], count, n)
        source = order[:, least:]
        metric = unit(view.keys.transpose(1, 2).flatten(2))
        _, nearest = best_match(take_rows(metric, source), take_rows(metric, chosen), ~real)
        place = torch.arange(least, order.shape[1], device=device)
        target = (nearest + p).where(place >= count[:, None], -1)
        first = torch.arange(p, device=device).expand(b, -1)
        valid = torch.cat([torch.ones_like(first, dtype=torch.bool), real], 1)
        ragged = least < view.count - p  # a plan of fewer rows than asked for says which are real
        return Plan(torch.cat([first, chosen], 1), source, target, valid if ragged else None)


def _in_order(
    best: Int[Tensor, "b k"], count: Int[Tensor, " b"], n: int
) -> tuple[Int[Tensor, "b k"], Bool[Tensor, "b k"]]:
    """The first `count` of each row in raster order, then the rest as padding."""
    real = torch.arange(best.shape[1], device=best.device) < count[:, None]
    position = (best + n * (~real)).argsort(-1)
    return best.gather(1, position), real
