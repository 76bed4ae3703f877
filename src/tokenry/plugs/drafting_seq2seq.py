"""Where drafts are laid on when an encoder has read the source: chains, all rows in step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers.cache_utils import EncoderDecoderCache


class SeqGround:
    """The decoder's cache of an encoder-decoder under the texts of a batch.

    The place of a token is its slot, in learned and relative positions alike, and no row may be
    told otherwise: a draft is a chain, and all rows advance together.

    Args:
        model: The model.
        cache: Its cache.
        kwargs: What `generate` prepared for the model, without the cache.
        batch: Rows of the batch.

    Attributes:
        lengths: Slots that each row holds.
    """

    lockstep = True
    """Whether all rows must advance by the same count, and drafts must be chains."""

    def __init__(
        self, model: Any, cache: EncoderDecoderCache, kwargs: dict[str, Any], batch: int
    ) -> None:
        self._model, self._cache = model, cache
        self._kwargs = {name: one for name, one in kwargs.items() if name != "past_key_values"}
        self.lengths = [int(cache.get_seq_length())] * batch

    @property
    def positions(self) -> list[int]:
        """The position of each row's next token."""
        return self.lengths

    def feed(
        self, tokens: Int[Tensor, "b t"], seen: Bool[Tensor, "b t t"] | None = None
    ) -> Float[Tensor, "b t v"]:
        """One pass over the roots and their chains; the scores after each token.

        Args:
            tokens: The last token of each text, and those drafted behind it.
            seen: Which of them each attends to; not needed, as each sees those before it.
        """
        inputs = self._model.prepare_inputs_for_generation(
            tokens,
            next_sequence_length=tokens.shape[1],
            past_key_values=self._cache,
            **self._kwargs,
        )
        scores: Tensor = self._model(**inputs, return_dict=True).logits
        return scores

    def keep(self, slots: Sequence[Sequence[int]]) -> None:
        """Of the last pass keep so many tokens as the row with most; the rest goes."""
        stays = self.lengths[0] + max(map(len, slots))
        self.lengths = [stays] * len(self.lengths)
        self._crop(stays)

    def drop(self, counts: Sequence[int]) -> None:
        """Let go of so many tokens at the end, if all rows may."""
        self._crop(self.lengths[0] - min(counts))

    def _crop(self, stays: int) -> None:
        spare = int(self._cache.get_seq_length()) - stays
        if spare > 0:
            self._cache.crop(-spare)
