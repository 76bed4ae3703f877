"""StreamingLLM: keep the first tokens, on which attention rests, and the last ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from tokenry.card import Card, Claim
from tokenry.method import CachePolicy, In, KVView, Slots
from tokenry.ops.slots import top_slots


@final
@dataclass(frozen=True, kw_only=True)
class StreamingLLM(CachePolicy):
    """Keep the attention sinks at the front and a window of recent tokens.

    Args:
        keep: Share of the full cache's slots that is held.
        sinks: How many of the first tokens stay.

    Raises:
        UsageError: If a setting is out of range.

    >>> StreamingLLM(keep=0.25).least
    5

    Source: Xiao et al. 2024, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="streaming-llm",
        name="StreamingLLM",
        title="Efficient Streaming Language Models with Attention Sinks",
        summary="Keeps the first tokens and the last ones; all between is forgotten.",
        family="cache",
        have="a stream or a dialogue whose distant past does not matter",
        want="a bounded cache at no cost",
        dial="keep sets sinks and window together",
        year=2023,
        arxiv="2309.17453",
        venue="ICLR 2024",
        code="https://github.com/mit-han-lab/streaming-llm",
        code_license="MIT",
        claims=(
            Claim(
                paper="A window without the first tokens breaks; four of them restore perplexity.",
                effect="At equal slots, lower perplexity with four sinks than with none.",
                test="tests/cache/test_references.py::test_sinks_save_the_perplexity_of_a_window",
                measured="Perplexity 12.6 with four sinks, 30.5 with none, 8.4 with the full "
                "cache, of 64 tokens behind 512 at keep=0.2 (SmolLM2-135M, 8 topics of Python's "
                "language reference).",
            ),
        ),
        differs=(
            "Keys keep the positions of their tokens; the paper moves them together, which "
            "matters only beyond the length that the model was trained on.",
            "The window grows with the text, as the dial asks; the paper's is fixed.",
        ),
    )

    sinks: Annotated[int, In(0, 1_000_000), "how many of the first tokens stay"] = 4

    @property
    def least(self) -> int:
        """The sinks and one recent token."""
        return self.sinks + 1

    def evict(self, view: KVView) -> Slots:
        """Keep the first `sinks` slots and the last others."""
        keep = top_slots(view.tokens, view.count, first=self.sinks, valid=view.valid)
        return Slots(keep)
