"""Prompt lookup: the text goes on as it did the last time its end occurred."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from jaxtyping import Int
from torch import Tensor

from tokenry.card import Card
from tokenry.method import Drafter, DraftView, In, TokenTree
from tokenry.ops.tree import chain


@final
@dataclass(frozen=True, kw_only=True)
class PromptLookup(Drafter):
    """Draft what followed the last earlier occurrence of the text's last tokens.

    The longest match goes first: the last `ngram` tokens, then fewer. A draft that reaches the
    end of the text goes on with itself, so that a text in a loop is drafted as a loop.

    Args:
        budget: Tokens that a pass may verify, the last one of the text included; None chooses
            what pays on this machine.
        ngram: How many tokens are looked up at most.

    Raises:
        UsageError: If a setting is out of range.

    >>> view = DraftView(torch.tensor([5, 6, 7, 5, 6]), torch.tensor([5]), 4, False, {}, {})
    >>> PromptLookup().draft(view).tokens.tolist()
    [7, 5, 6, 7]
    """

    card: ClassVar[Card] = Card(
        slug="prompt-lookup",
        name="Prompt lookup",
        title="Draft what followed the last tokens where they occurred before",
        summary="Copies from the text itself; the plain reference for drafting.",
        family="decoding",
        have="a causal model and answers that repeat parts of the prompt",
        want="the same text in fewer passes, at no cost where nothing repeats",
        dial="no dial: the output is the model's own; budget sets the tokens per pass",
        exact=True,
    )

    ngram: Annotated[int, In(1, 64), "how many tokens are looked up at most"] = 3

    def draft(self, view: DraftView) -> TokenTree:
        """A chain of `view.count` tokens, or nothing."""
        start = self._after(view.text)
        if start is None:
            none = view.text[:0]
            return TokenTree(none, none)
        n = len(view.text)
        places = start + torch.arange(view.count) % (n - start)
        return TokenTree(view.text[places], chain(view.count))

    def _after(self, text: Int[Tensor, " n"]) -> int | None:
        """Where the tokens stand that followed the longest, then latest earlier match."""
        for n in range(min(self.ngram, len(text) - 1), 0, -1):
            found = (text[:-1].unfold(0, n, 1) == text[-n:]).all(1).nonzero()
            if len(found):
                return int(found[-1]) + n
        return None
