"""Tasks that go on with the text itself, teacher forced, after the cache was cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from tokenry.compare.records import Figure
from tokenry.compare.tasks.base import Pass, Scores, whole_number
from tokenry.compare.tasks.text import COSTS, Prompt, TextTask, encode
from tokenry.errors import UsageError

CONTINUATION = 32
_CHARACTERS = 12  # a token of any language has fewer on average


class Continuation(TextTask):
    """The beginning of each text goes through the cache, what goes on is scored token by token.

    The token after the beginning is read but not scored, so that every prediction comes from the
    cache as it was cut. Texts of fewer than twice `continuation` tokens are left out.

    Args:
        query: "free", since no question is asked.
        max_tokens: Most tokens of the beginning; 512 when not given, or what the model has
            positions for.
        continuation: Tokens that are scored.

    Raises:
        UsageError: If one is out of range.
    """

    tokens = 512
    queries = ("free",)
    why_not = ", since no question is asked that a policy could look at"

    def __init__(
        self,
        query: str | None = None,
        max_tokens: int | None = None,
        continuation: int = CONTINUATION,
    ) -> None:
        super().__init__(query, max_tokens)
        whole_number(self.slug, "continuation", continuation)
        self.continuation = continuation

    @property
    def after(self) -> int:
        """The tokens that are scored."""
        return self.continuation

    def prompt(self, tokenizer: Any, example: Any, room: int) -> Prompt | str:
        """The text's first tokens, the next one, and those that are scored."""
        most = room + self.continuation
        ids, pieces = encode(tokenizer, example.text[: most * _CHARACTERS], special=True)
        n = min(room, len(ids) - self.continuation)
        if n < max(2, self.continuation):
            return (
                f"has {len(ids)} tokens, fewer than twice the {self.continuation} that are scored"
            )
        return Prompt(ids[: n - 1], ids[n - 1 : n], ids[n : n + self.continuation], pieces[:n])

    def label(self, example: Any) -> str:
        """Where the text comes from; a question about it is not asked."""
        return example.domain or ""

    def given(self, outputs: Any) -> Float[Tensor, "b t v"]:
        """The scores of each next token."""
        if outputs.scores is None:
            raise UsageError(f"{self.slug}: the continuation was not scored.")
        scores: Tensor = outputs.scores
        return scores.float()


class LMAgreement(Continuation):
    r"""Whether the next tokens are those of the full cache.

    The secondary score `kl` is the mean of $\sum_v p_v \log_2 (p_v / q_v)$ in bits, with $p$ the
    full cache's distribution of the next token and $q$ the one after the method.
    """

    slug = "lm-agreement"
    title = "Agreement with the full cache"
    metric = "same next token"
    explanation = (
        "Share of next tokens, over a continuation of each text, that are the same as with the "
        "full cache; 1 means that nothing changed. KL is how far the distributions are apart, in "
        "bits. Needs no labels. The cache is cut before the continuation comes (query-free); there "
        "is no question to look at."
    )
    figures = (*COSTS, Figure("kl", "KL (bits)", "number"))

    def score(self, seen: Pass, untouched: Pass, examples: Sequence[Any]) -> Scores:
        """The share of equal next tokens of each text."""
        ours, theirs = self.given(seen.outputs), self.given(untouched.outputs)
        same = (ours.argmax(-1) == theirs.argmax(-1)).double().mean(1)
        apart = [
            kl_div(log_softmax(q, -1), log_softmax(p, -1), log_target=True, reduction="sum")
            for q, p in zip(ours, theirs, strict=True)
        ]
        bits = torch.stack(apart).clamp(min=0) / ours.shape[1] / math.log(2)
        return Scores(same.tolist(), {"kl": bits.tolist()})


class Perplexity(Continuation):
    """Bits that the model needs for each token of a continuation, given a limited cache."""

    slug = "perplexity"
    title = "Perplexity under a limited cache"
    metric = "bits per token"
    higher_is_better = False
    explanation = (
        "Mean of minus the binary logarithm of the probability of each token of a continuation, "
        "read after a long beginning went through the cache; perplexity is 2 to that power. The "
        "cache is cut before the continuation comes (query-free); there is no question to look at."
    )

    def score(self, seen: Pass, untouched: Pass, examples: Sequence[Any]) -> Scores:
        """Bits per token of each text."""
        scores, wanted = self.given(seen.outputs), seen.outputs.forced
        nats = cross_entropy(scores.transpose(1, 2), wanted, reduction="none").mean(1)
        bits = (nats / math.log(2)).tolist()
        return Scores(bits, {"perplexity": [2.0 ** min(one, 1000.0) for one in bits]})
