"""PIE: after an edit keep the cached suffix, and only rotate its keys to their new positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

import torch

from tokenry.card import Card, Claim
from tokenry.method import CacheEditor, EditPlan, In
from tokenry.ops.edits import Edit, origins


@final
@dataclass(frozen=True, kw_only=True)
class Pie(CacheEditor):
    r"""Positional integrity encoding: encode the new tokens, move the old ones.

    A text of $n$ tokens has tokens $[i, j)$ replaced by $m$ new ones. Slots before $i$ stay; the
    $m$ tokens are encoded at positions $i \ldots i+m-1$, seeing only what is left of them; each
    slot from $j$ on keeps its value and has its key turned by $\delta = m - (j - i)$ positions,
    $k \leftarrow R_{\delta\Theta} k$ (with several edits, by the sum of those left of it). The
    last tokens are encoded again, since the next token is read off them.

    Args:
        strategy: What becomes of the old tokens; "pie" as above. The others are what it is
            measured against: "reuse" keeps their keys unrotated (paper: conflict fast encoding),
            "suffix" encodes everything from the first edit on (equal to full recomputation in a
            causal model), "recompute" encodes everything (paper: full recomputation).
        tail: How many of the last tokens are encoded again.

    Raises:
        UsageError: If a setting is out of range.

    >>> plan = Pie().plan(6, [Edit(2, 3, (7, 7, 7))])
    >>> plan.source.tolist(), plan.shift.tolist(), plan.spans
    ([0, 1, -1, -1, -1, 3, 4, -1], [0, 0, 0, 0, 0, 2, 2, 0], ((2, 5), (7, 8)))

    Source: He et al. 2024, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="pie",
        name="PIE",
        title="Let the Code LLM Edit Itself When You Edit the Code",
        summary="After an edit in the middle, keeps the cached text behind it and moves its keys.",
        family="cache",
        have="a long prompt that a person edits in the middle, again and again",
        want="the next token without encoding the whole prompt after each edit",
        dial="none: there is no keep; the edit itself says how many tokens are encoded",
        year=2024,
        arxiv="2407.03157",
        venue="ICLR 2025",
        code="https://github.com/zhenyuhe00/PIE",
        code_license="MIT",
        claims=(
            Claim(
                paper="Over 85 % less computation than full recomputation on RepoBench-C-8k.",
                effect="Operations grow with the edit, not with the text.",
                test="tests/cache/test_pie.py::test_claim_saves_85_percent_of_the_operations",
                measured="95.9 % fewer floating-point operations, attention included, for 48 "
                "tokens inserted in the middle of 1024 tokens of textwrap.py, next token read off "
                "at the end. zoo:smollm2-135m. Seconds stand in the how-to on editing a prompt.",
            ),
            Claim(
                paper="Accuracy close to full recomputation on insertion, deletion and edits in "
                "several places, and far above reuse without rotation.",
                effect="The likeliest next token equals full recomputation's more often than with "
                "unrotated keys, near the edit and far from it.",
                test="tests/cache/test_pie.py::test_claim_agrees_more_than_reuse",
                measured="Top-1 agreement 0.957, 0.950 and 0.977 for an edit that ends 16, 96 and "
                "384 tokens before the end, 0.914 for all three at once; unrotated 0.803, 0.611, "
                "0.588 and 0.697. Insertion and deletion of about 48 tokens of whole lines in 640 "
                "tokens of 6 files of the Python standard library, 33 predictions after each of "
                "12 edits per figure. zoo:smollm2-135m. The exact match of the paper's benchmark "
                "was not measured.",
            ),
        ),
        differs=(
            "Keys are rotated from a copy as they were encoded, by the sum of all their moves. The "
            "paper rotates the cached keys themselves, which adds up rounding over many edits in "
            "half precision; the price is a cache one and a half times as large.",
            "The last token (or `tail` tokens) is encoded again after every edit, since its "
            "scores are those of the text before the edit.",
            "Kept slots still carry what they saw: deleted text lives on in values and in keys of "
            "deeper layers until EditableCache.refresh(). So it is in the paper; here it is said.",
            "The official repository holds a description and no code to compare with.",
        ),
    )

    strategy: Annotated[
        Literal["pie", "reuse", "suffix", "recompute"], "what becomes of the tokens after an edit"
    ] = "pie"
    tail: Annotated[int, In(1, 1_000_000), "how many of the last tokens are encoded again"] = 1

    def plan(self, length: int, edits: Sequence[Edit]) -> EditPlan:
        """Which slots stay, by how much each key turns, and what is encoded.

        Args:
            length: Tokens of the old text.
            edits: What changes, from left to right, in places of the old text.

        Raises:
            UsageError: If an edit lies outside the text, or two overlap.
        """
        source = origins(length, edits)
        first = {"recompute": 0, "suffix": min((e.start for e in edits), default=length)}
        source[first.get(self.strategy, len(source)) :] = -1
        source[-self.tail :] = -1
        shift = torch.arange(len(source)) - source
        still = (source < 0) | (self.strategy == "reuse")
        return EditPlan(source, shift.masked_fill(still, 0))
