"""Key norm: keys of small norm are those that attention goes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from tokenry.card import Card, Claim
from tokenry.method import CachePolicy, In, KVView, Slots
from tokenry.ops.slots import top_slots


@final
@dataclass(frozen=True, kw_only=True)
class KeyNorm(CachePolicy):
    r"""Keep the slots whose keys are shortest, $\lVert k_j \rVert_2$; looks at nothing else.

    Args:
        keep: Share of the full cache's slots that is held.
        recent: How many of the last tokens stay.

    Raises:
        UsageError: If a setting is out of range.

    >>> KeyNorm(keep=0.5).least
    33

    Source: Devoto et al. 2024, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="key-norm",
        name="Key norm",
        title="A Simple and Effective L2 Norm-Based Strategy for KV Cache Compression",
        summary="Keeps the slots with the shortest keys; needs no attention weights.",
        family="cache",
        have="an attention kernel that gives no weights",
        want="a choice of slots that costs nothing",
        dial="keep sets the number of slots held",
        year=2024,
        arxiv="2406.11430",
        venue="EMNLP 2024",
        code="https://github.com/alessiodevoto/l2compress",
        claims=(
            Claim(
                paper="Half the cache goes on language modelling, 90 % on passkeys, with no loss.",
                effect="At equal slots, closer to the full cache than random slots.",
                test="tests/cache/test_references.py::"
                "test_short_keys_are_nearer_to_the_full_cache_than_random_ones",
                measured="Divergence of the next token from the full cache's: 0.311, and 0.937 "
                "with random slots, at keep=0.2 after 512 tokens (SmolLM2-135M, 8 topics of "
                "Python's language reference, all nearer).",
            ),
        ),
        differs=(
            "All layers are cut; the released code leaves the first two alone by default.",
            "The cache is cut while decoding too, and 32 recent tokens are safe from it.",
        ),
    )

    recent: Annotated[int, In(0, 1_000_000), "how many of the last tokens stay"] = 32

    @property
    def least(self) -> int:
        """The recent tokens and one more."""
        return self.recent + 1

    def evict(self, view: KVView) -> Slots:
        """Keep the `view.count` slots of shortest key."""
        score = -view.keys.float().norm(dim=-1)
        return Slots(top_slots(score, view.count, last=self.recent, valid=view.valid))
