"""A causal language model as it writes: tokens go in, one cache grows, predictions come out."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from tokenry.plugs.attachment import MARK
from tokenry.plugs.cache import TrackedLayer
from tokenry.plugs.decoders import find_decoder
from tokenry.plugs.past import CACHE


class Feed:
    """Feeds tokens to a causal language model through one cache, turn by turn.

    Sequences of a batch may be padded anywhere; positions skip the padding.

    Args:
        model: Any causal language model, with or without a cache policy attached.

    Attributes:
        cache: The cache.
        real: False where a token that went in is padding.
    """

    cache: Any

    def __init__(self, model: nn.Module) -> None:
        self._model: Any = model
        self.cache = DynamicCache(config=model.config)  # type: ignore[arg-type]
        self.real: Bool[Tensor, "b n"] | None = None

    def __call__(
        self, ids: Int[Tensor, "b t"], real: Bool[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b v"]:
        """Feed tokens in one pass; the scores of the token after the last one.

        Args:
            ids: The tokens.
            real: False where one is padding; the last one never is. None when none is.
        """
        return self._feed(ids, real, 1)[:, -1]

    def ahead(self, most: int) -> int:
        """How many of the next `most` tokens can come in one pass with the result of one by one.

        Without a cache policy all of them; one that evicts cuts after the last of them, or later.
        """
        attachment = find_decoder(self._model)[0].__dict__.get(MARK)
        return most if attachment is None else int(attachment.ahead(self.cache, most))

    def given(self, ids: Int[Tensor, "b t"]) -> Float[Tensor, "b t v"]:
        """Feed tokens as if one by one, in as few passes as that takes; the scores after each."""
        found = []
        while ids.shape[1]:
            n = self.ahead(ids.shape[1])
            found.append(self._feed(ids[:, :n], None, n))
            ids = ids[:, n:]
        return torch.cat(found, 1)

    def _feed(
        self, ids: Int[Tensor, "b t"], real: Bool[Tensor, "b t"] | None, last: int
    ) -> Float[Tensor, "b n v"]:
        """One pass; the scores after each of the `last` tokens."""
        real = torch.ones_like(ids, dtype=torch.bool) if real is None else real
        self.real = real if self.real is None else torch.cat([self.real, real], 1)
        padded: dict[str, Tensor] = {}
        if not bool(self.real.all()):
            places = (self.real.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
            padded = {"attention_mask": self.real.long(), "position_ids": places}
        output = self._model(
            input_ids=ids, **{CACHE: self.cache}, use_cache=True, logits_to_keep=last, **padded
        )
        scores: Tensor = output.logits[:, -last:]
        return scores


def held(cache: Cache) -> tuple[tuple[int, ...], int]:
    """Slots in each layer with full attention, and the bytes of their keys and values."""
    layers: list[Any] = [one for one in cache.layers if type(one) in (DynamicLayer, TrackedLayer)]
    pairs = [(layer.keys, layer.values) for layer in layers]
    total = sum(x.numel() * x.element_size() for pair in pairs for x in pair)
    return tuple(int(keys.shape[-2]) for keys, _ in pairs), total


def layers(model: nn.Module) -> list[nn.Module]:
    """The layers of the model's decoder, in order.

    Raises:
        UnsupportedModelError: If tokenry does not know the architecture.
    """
    decoder, row = find_decoder(model)
    return list(decoder.get_submodule(row.layers).children())


def end_of_text(model: nn.Module) -> frozenset[int]:
    """The tokens that end what the model writes."""
    found: Any = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    found = model.config.eos_token_id if found is None else found  # type: ignore[union-attr]
    if found is None:
        return frozenset()
    return frozenset([found] if isinstance(found, int) else found)


def padding_of(tokenizer: Any) -> int:
    """The token that fills rows up: the tokenizer's own, else the one that ends texts, else 0."""
    known = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(i for i in known if i is not None)
