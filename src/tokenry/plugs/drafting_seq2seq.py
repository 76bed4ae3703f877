"""Where drafts are laid on when an encoder has read the source: chains, all rows in step."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers.cache_utils import EncoderDecoderCache

from tokenry.plugs.past import CACHE


class SeqGround:
    """The decoder's cache of an encoder-decoder under the texts of a batch.

    The place of a token is its slot, for learned and for relative positions, and no row may be
    told otherwise: a draft is a chain, and all rows advance together.

    Args:
        model: The model.
        cache: Its cache.
        kwargs: What `generate` prepared for the model.
        batch: Rows of the batch.

    Attributes:
        lengths: Slots that each row holds.
    """

    lockstep = True
    """Whether all rows must advance by the same count."""
    chains = True
    """Whether drafts must be chains."""

    def __init__(
        self, model: Any, cache: EncoderDecoderCache, kwargs: dict[str, Any], batch: int
    ) -> None:
        self._model, self._cache = model, cache
        left_out = (CACHE, "decoder_attention_mask")
        self._kwargs = {name: one for name, one in kwargs.items() if name not in left_out}
        self.lengths = [int(cache.get_seq_length())] * batch

    def read(self, ids: Int[Tensor, "b n"]) -> Float[Tensor, "b t v"] | None:
        """Take in the decoder's prompt, but for a single new token; the scores after the others."""
        new = ids[:, self.lengths[0] :]
        if new.shape[1] <= 1:
            return None
        scores = self.feed(new)
        self._crop(ids.shape[1])
        return scores

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
            **{CACHE: self._cache},
            **self._kwargs,
        )
        scores: Tensor = self._model(**inputs, return_dict=True).logits
        return scores

    def ahead(self) -> int:
        """Most tokens of a text that a pass may take in with the result of one by one."""
        return sys.maxsize

    def keep(self, slots: Sequence[Sequence[int]]) -> None:
        """Of the last pass keep so many tokens as the row with most; the rest goes."""
        self._crop(self.lengths[0] + max(map(len, slots)))

    def drop(self, counts: Sequence[int]) -> None:
        """Let go of so many tokens at the end as every row may."""
        self._crop(self.lengths[0] - min(counts))

    def _crop(self, stays: int) -> None:
        self.lengths = [stays] * len(self.lengths)
        spare = int(self._cache.get_seq_length()) - stays
        if spare > 0:
            self._cache.crop(-spare)


def sources(
    model: Any, read: Tensor, mask: Tensor | None, batch: int
) -> list[Int[Tensor, " _"] | None]:
    """What the encoder read for each row, without padding; None where the decoder writes no such.

    Args:
        model: The model.
        read: What `generate` gave the encoder.
        mask: False or 0 where that is padding.
        batch: Rows that are written; a multiple of the rows read.
    """
    if read.ndim != 2 or read.is_floating_point() or bool((read < 0).any()) or not _shared(model):
        return [None] * batch
    ids = read.repeat_interleave(batch // len(read), 0)
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
    return [row[kept].cpu() for row, kept in zip(ids, real, strict=True)]


def _shared(model: Any) -> bool:
    """Whether encoder and decoder speak of the same tokens."""
    parts = (model.get_encoder(), model.get_decoder())
    sizes = {len(part.get_input_embeddings().weight) for part in parts}
    return len(sizes) == 1 and getattr(model.config, "share_encoder_decoder_embeddings", True)
