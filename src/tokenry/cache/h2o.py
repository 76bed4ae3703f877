"""H2O: keep the heavy hitters, which all queries together attend to most, and the last tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from tokenry.card import Card, Claim
from tokenry.method import CachePolicy, In, KVView, Slots
from tokenry.ops.attention import by_key_head
from tokenry.ops.slots import top_slots


@final
@dataclass(frozen=True, kw_only=True)
class H2O(CachePolicy):
    r"""Keep recent tokens and those with the largest accumulated attention.

    The score of a slot is $\sum_i A_{ij}$ over all queries up to now, summed over the query heads
    that share its key head.

    Args:
        keep: Share of the full cache's slots that is held.
        recent: Share of the held slots that goes to the last tokens.

    Raises:
        UsageError: If a setting is out of range.

    >>> H2O(keep=0.2).weighs
    True

    Source: Zhang et al. 2023, section 4.
    """

    card: ClassVar[Card] = Card(
        slug="h2o",
        name="H2O",
        title="H2O: Heavy-Hitter Oracle for Efficient Generative Inference of Large Language "
        "Models",
        summary="Keeps what all queries together attended to most, and the last tokens.",
        family="cache",
        have="a long text whose important tokens show early",
        want="a cache cut by what was attended to",
        dial="keep sets heavy hitters and recent tokens together",
        year=2023,
        arxiv="2306.14048",
        venue="NeurIPS 2023",
        code="https://github.com/FMInference/H2O",
        code_license="MIT",
        claims=(
            Claim(
                paper="20 % of the cache matches the full cache; a window that size does not.",
                effect="At equal slots, closer to the full cache than sinks and a window.",
                test="tests/cache/test_references.py::"
                "test_heavy_hitters_are_nearer_to_the_full_cache_than_a_window",
                measured="Divergence of the next token from the full cache's: 0.192, and 0.306 "
                "with sinks and a window, at keep=0.2 after 512 tokens (SmolLM2-135M, 8 topics "
                "of Python's language reference, 7 of them nearer).",
            ),
        ),
        differs=(
            "With shared key heads the attention of the query heads of a group is added up; the "
            "released code has no shared key heads.",
            "The budget grows with the text, as the dial asks; the paper's is fixed.",
        ),
    )

    recent: Annotated[float, In(0, 1), "the share of held slots that the last tokens get"] = 0.5

    weighs: ClassVar[bool] = True

    def evict(self, view: KVView) -> Slots:
        """Keep the last slots and the heaviest others, `view.count` in all."""
        g = view.keys.shape[1]
        score = by_key_head(view.mass, g).sum(2)
        last = round(view.count * self.recent)
        return Slots(top_slots(score, view.count, last=last, valid=view.valid))
