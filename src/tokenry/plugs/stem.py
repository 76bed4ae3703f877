"""A prompt that many answers grow from: encoded once, completed in batches."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList
from transformers.cache_utils import DynamicLayer

from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.ops.edits import shared
from tokenry.plugs.generate import Feed, end_of_text
from tokenry.plugs.past import CACHE
from tokenry.plugs.positions import positions

_PADDING = 1024  # more rows than a vocabulary is rounded up by


class Stem:
    """A causal language model that stands at the end of a prompt.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        tokenizer: Its tokenizer.
        prompt: The text, not empty.

    Attributes:
        scores: Scores of the token that follows the prompt.

    Raises:
        UnsupportedModelError: If the model is none that continues a text.
        UsageError: If the tokenizer is another model's, or the prompt is empty or too long.
    """

    scores: Float[Tensor, " v"]

    def __init__(self, model: Any, tokenizer: Any, prompt: str) -> None:
        check_pair("Stem", model, tokenizer)
        self.model, self.tokenizer = model, tokenizer
        self._feed, self._ids = Feed(model), list[int]()
        self.move(prompt)

    @torch.no_grad()
    def move(self, prompt: str) -> None:
        """Go to the end of another prompt; what it shares with this one is not encoded again."""
        ids = self._encoded(prompt)
        if ids == self._ids:
            return
        common = shared(self._ids, ids[:-1])
        if common < len(self._ids):
            self._cut(common)
            common = len(self._ids)
        self._ids = ids
        self.scores = self._feed(torch.tensor([ids[common:]], device=self.model.device))[0].float()

    def fork(self) -> Stem:
        """Another one at the same place, with a cache of its own."""
        twin = copy.copy(self)
        twin._feed = copy.copy(self._feed)
        twin._feed.cache = copy.deepcopy(self._feed.cache)
        return twin

    def ranking(self, scores: Float[Tensor, " v"] | None = None) -> Iterator[tuple[int, str]]:
        """Each token with its text, the likeliest first.

        Args:
            scores: What to rank by; those of this prompt when not given.
        """
        order = (self.scores if scores is None else scores).argsort(descending=True, stable=True)
        known = len(self.tokenizer)
        for token in order.tolist():
            if token < known:
                yield token, self.text(token)

    def text(self, token: int) -> str:
        """The text of one token; of a part of a character, its name in the vocabulary."""
        text = cast(str, self.tokenizer.decode([token], skip_special_tokens=True))
        return self.tokenizer.convert_ids_to_tokens(token) if "\ufffd" in text else text

    @torch.no_grad()
    def complete(
        self, first: Sequence[int], closing: str, length: int, temperature: float = 0.0
    ) -> list[tuple[str, bool]]:
        """Continue the prompt once from each of these tokens, in one batch over one cache.

        Args:
            first: First tokens.
            closing: A continuation ends in front of this mark.
            length: Most tokens of a continuation, the first one included.
            temperature: Of the draws; 0 takes the likeliest token each time.

        Returns:
            Each continuation, and whether the closing mark was written or the text ended.
        """
        self._refuse_long(len(self._ids) + length)
        cache = copy.deepcopy(self._feed.cache)
        cache.batch_repeat_interleave(len(first))
        ids = torch.tensor([[*self._ids, token] for token in first], device=self.model.device)
        drawing: dict[str, Any] = {"do_sample": False}
        if temperature:
            drawing = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        ends = sorted(end_of_text(self.model))
        if length > 1:
            ids = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                **{CACHE: cache},
                max_new_tokens=length - 1,
                stopping_criteria=StoppingCriteriaList(
                    [_Closed(self.tokenizer, len(self._ids), closing)]
                ),
                pad_token_id=ends[0] if ends else 0,
                **drawing,
            )
        return [self._cut_text(row, closing, ends) for row in ids[:, len(self._ids) :].tolist()]

    def _cut_text(self, row: list[int], closing: str, ends: list[int]) -> tuple[str, bool]:
        stop = next((i for i, token in enumerate(row) if token in ends), len(row))
        text, mark, _ = self.tokenizer.decode(row[:stop]).partition(closing)
        return text.strip(), bool(mark) or stop < len(row)

    def _cut(self, length: int) -> None:
        """Take tokens off the end of the cache; a layer that cannot, has all encoded again."""
        cache = self._feed.cache
        if all(type(layer) is DynamicLayer for layer in cache.layers) and length:
            cache.crop(length - len(self._ids))
            self._feed.real = cast(Tensor, self._feed.real)[:, :length]
            self._ids = self._ids[:length]
        else:
            self._feed, self._ids = Feed(self.model), []

    def _encoded(self, prompt: str) -> list[int]:
        ids = list(self.tokenizer(prompt, verbose=False)["input_ids"])
        if ids and ids[-1] == self.tokenizer.eos_token_id:
            ids.pop()
        if not prompt.strip() or not ids:
            raise UsageError("Stem: the prompt is empty; give a text that an answer can follow.")
        self._refuse_long(len(ids))
        return ids

    def _refuse_long(self, n: int) -> None:
        places = positions(self.model)
        if places is not None and n > places:
            raise UsageError(
                f"Stem: prompt and answer need {n} tokens, the model has {places} positions; "
                "give a shorter question, or ask for fewer answers."
            )


class _Closed(StoppingCriteria):
    """Stops each row of a batch where its continuation holds the closing mark."""

    def __init__(self, tokenizer: Any, start: int, closing: str) -> None:
        self.tokenizer, self.start, self.closing = tokenizer, start, closing

    def __call__(
        self, input_ids: Int[Tensor, "b n"], scores: Any, **kwargs: Any
    ) -> Bool[Tensor, " b"]:
        texts = self.tokenizer.batch_decode(input_ids[:, self.start :])
        return torch.tensor([self.closing in text for text in texts], device=input_ids.device)


def check_pair(owner: str, model: Any, tokenizer: Any) -> None:
    """Refuse a model that does not continue texts, and a tokenizer of another model.

    Args:
        owner: Who refuses.
        model: The model.
        tokenizer: The tokenizer.

    Raises:
        UnsupportedModelError: If the model is no causal language model of transformers.
        UsageError: If the tokenizer knows more tokens than the model has rows, or far fewer.
    """
    able = getattr(model, "can_generate", lambda: False)()
    if not able or getattr(model.config, "is_encoder_decoder", False):
        raise UnsupportedModelError(
            f"{owner}: {type(model).__name__} is not a causal language model of transformers; "
            "load one with AutoModelForCausalLM or tokenry.zoo.load."
        )
    rows, known = model.get_input_embeddings().weight.shape[0], len(tokenizer)
    if known > rows or rows - known > _PADDING:
        raise UsageError(
            f"{owner}: the tokenizer knows {known} tokens, {type(model).__name__} has rows for "
            f"{rows}; they do not belong together. Load both from the same folder."
        )
