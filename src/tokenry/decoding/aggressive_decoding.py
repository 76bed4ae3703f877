"""Aggressive decoding: what the model is about to write stands in what it has read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from jaxtyping import Int
from torch import Tensor

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import Drafter, DraftView, In, TokenTree
from tokenry.ops.tree import chain


@final
@dataclass(frozen=True, kw_only=True)
class AggressiveDecoding(Drafter):
    r"""Draft by copying: the rest of the source, from where the text has got to in it.

    A text that has so far been the beginning of the source goes on with it. Any other goes on
    behind the place where its last token stands in the source, if that is one place only; of
    several the last two tokens decide, and so on up to `longest`. Where nothing decides, or the
    last token does not occur, nothing is drafted.

    Args:
        budget: Tokens of a pass.
        longest: How many last tokens may be needed to find the place (paper: 3).
        span: Start and stop of what is copied in the source, as those of a Python slice: `(24, -7)`
            leaves out what a chat template puts before and behind a text. None takes all of it.

    Raises:
        UsageError: If a setting is out of range; or, when drafting, if the encoder reads no tokens
            of this vocabulary.

    >>> AggressiveDecoding().rejoin(torch.tensor([5, 6, 7, 5, 8]), torch.tensor([9, 7, 5]))
    4

    Source: Ge et al. 2022, section 3.1 (input-guided aggressive decoding).
    """

    card: ClassVar[Card] = Card(
        slug="aggressive-decoding",
        name="IAD",
        title="Lossless Acceleration for Seq2seq Generation with Aggressive Decoding",
        summary="Drafts the rest of the input; one pass verifies what a corrected text leaves as "
        "it was.",
        family="decoding",
        have="a model that corrects, simplifies or rewrites its input",
        want="passes for what it changes only",
        dial="none: output is unchanged; budget sets how much of the input a pass may verify",
        exact=True,
        year=2022,
        arxiv="2205.10350",
        venue="arXiv",
        code="https://github.com/microsoft/unilm/tree/master/decoding",
        code_license="MIT",
        claims=(
            Claim(
                paper="7 to 9 times faster on grammatical error correction, same output.",
                effect="At least three times fewer passes where letters are copied with edits, at "
                "the same output.",
                test="tests/decoding/test_toy_seq2seq.py::test_copying_takes_a_third_of_the_passes",
                measured="448 passes for 2,051 tokens, 4.6 times fewer, all 100 texts the same "
                "(BART of two layers, 12 to 28 letters, one in ten of them deleted or replaced; "
                "recipes/aggressive_toy.py).",
            ),
            Claim(
                paper="Most of what an editing model writes stands in its input.",
                effect="A chat model that is asked to repeat a paragraph of its prompt needs less "
                "than half the passes, at the same output.",
                test="tests/decoding/test_aggressive_causal.py::"
                "test_copying_from_the_prompt_takes_half_the_passes",
                measured="55 passes for 307 tokens, 5.6 times fewer, with and without a span, at "
                "the same output; prompt lookup 51 (SmolLM2-135M, six paragraphs of manual pages, "
                "budget 32).",
            ),
        ),
        differs=(
            "An output that has so far been the beginning of the source goes on with it, even if "
            "the budget ended the draft before; the paper drafts from the beginning once.",
            "The source keeps its end-of-text token, which is drafted too; an n-gram that nothing "
            "follows is no place.",
            "Texts of a batch are drafted for together and advance by the smallest accepted count.",
            "Causal models and sampling: the paper has encoder-decoders and greedy search.",
        ),
    )

    longest: Annotated[int, In(1, 100), "how many last tokens may be needed to find the place"] = 3
    span: Annotated[
        tuple[int, ...] | None, "start and stop of what is copied in the source, as of a slice"
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.span is not None and len(self.span) != 2:
            raise UsageError(
                f"AggressiveDecoding: span={self.span} has {len(self.span)} numbers; give two, the "
                "start and the stop of what is copied, as in (24, -7)."
            )

    def draft(self, view: DraftView) -> TokenTree:
        """The source from where the text has got to, at most `view.count` tokens of it."""
        if view.source is None:
            raise UsageError(
                "AggressiveDecoding: the encoder reads no tokens of the vocabulary that the "
                "decoder writes, and nothing can be copied; give the model input_ids, or use "
                "another drafter."
            )
        n = len(view.source)
        prompted = torch.equal(view.text[:n], view.source)
        source = view.source if self.span is None else view.source[slice(*self.span)]
        written = view.text[n if prompted else 1 :]
        start = self.rejoin(source, view.text)
        if torch.equal(written, source[: len(written)]) and (self.span or not prompted):
            start = len(written)
        tokens = source[start : start + view.count]
        return TokenTree(tokens, chain(len(tokens)))

    def rejoin(self, source: Int[Tensor, " s"], text: Int[Tensor, " n"]) -> int:
        """Where the source goes on behind the last tokens of the text; its length for nowhere."""
        for n in range(1, min(self.longest, len(text), len(source) - 1) + 1):
            places = (source[:-1].unfold(0, n, 1) == text[-n:]).all(1).nonzero()
            if len(places) <= 1:
                return int(places) + n if len(places) else len(source)
        return len(source)
