"""A language model that is asked about pairs: a local one, or one behind an address."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tokenry import zoo
from tokenry.errors import UsageError
from tokenry.ops.padding import padded
from tokenry.ops.questions import LETTERS
from tokenry.ops.verdicts import shares
from tokenry.plugs.endpoint import Endpoint
from tokenry.plugs.generate import padding_of
from tokenry.plugs.positions import positions
from tokenry.plugs.stem import check_pair
from tokenry.progress import track

YES = ("Yes", "yes", "YES")
NO = ("No", "no", "NO")


def referee(source: Any, **settings: Any) -> LanguageReferee | Endpoint:
    """A language model to ask about pairs.

    Args:
        source: `zoo:smollm2-135m` or another zoo model, a folder, a name on the Hub, or a pair
            (model, tokenizer); or the address of any OpenAI-compatible endpoint with the model's
            name behind a #, such as `http://localhost:8000/v1#model`.
        **settings: Of `LanguageReferee` or `Endpoint`.

    Raises:
        UsageError: If the model cannot be loaded, or the address has no model.
    """
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        return Endpoint(source, **settings)
    return LanguageReferee(source, **settings)


class LanguageReferee:
    """A causal language model of transformers as a `Referee`; it answers the same every time.

    Args:
        source: Name, folder, or a pair (model, tokenizer).
        batch_size: Prompts in a pass.
        chat: Write prompts as a message of a conversation; None does where the tokenizer has a
            template for it.

    Attributes:
        name: What tells it from others.

    Raises:
        UnsupportedModelError: If the model does not continue texts.
        UsageError: If the model cannot be loaded, or the tokenizer is another model's.
    """

    def __init__(
        self,
        source: str | Path | tuple[Any, Any],
        *,
        batch_size: int = 8,
        chat: bool | None = None,
    ) -> None:
        if isinstance(source, tuple):
            self.model, self.tokenizer = source
        else:
            loaded = zoo.load(source, kind="causal-lm")
            self.model, self.tokenizer = loaded.model, loaded.processor
        check_pair("referee", self.model, self.tokenizer)
        named = self.model.name_or_path if isinstance(source, tuple) else source
        self.name = f"{named}, chat={chat}"
        if batch_size < 1:
            raise UsageError(f"referee: batch_size={batch_size} is less than 1.")
        template = bool(getattr(self.tokenizer, "chat_template", None))
        if chat and not template:
            raise UsageError(
                "referee: chat=True, but the tokenizer has no template for conversations; give "
                "chat=False."
            )
        self._chat = template if chat is None else chat
        self._batch_size = batch_size
        self._takes = set(inspect.signature(self.model.forward).parameters)

    def yes(self, prompts: Sequence[str]) -> Float[np.ndarray, " m"]:
        """The probability of yes, against no, as the next word of each prompt.

        All spellings that are one token count, with and without a space in front; where none is,
        the tokens that begin them, but none that could begin either answer.
        """
        return self._shares(prompts, (YES, NO))[:, 0]

    def options(self, prompts: Sequence[str], count: int) -> Float[np.ndarray, "m c"]:
        """The probability of each of the first `count` letters as the next word.

        Raises:
            UsageError: If there are not so many letters.
        """
        return self._shares(prompts, [(letter,) for letter in first_letters(count)])

    @torch.no_grad()
    def write(self, prompts: Sequence[str], tokens: int) -> list[str]:
        """What follows each prompt, greedily, at most so many tokens."""
        written: dict[str, str] = {}
        for batch, rows in self._batches(prompts, tokens):
            ids, mask = self._padded(rows)
            model: Any = self.model
            out = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=tokens,
                do_sample=False,
                pad_token_id=padding_of(self.tokenizer),
            )
            texts = self.tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)
            written.update(zip(batch, texts, strict=True))
        return [written[prompt].strip() for prompt in prompts]

    @torch.no_grad()
    def _shares(
        self, prompts: Sequence[str], words: Sequence[Sequence[str]]
    ) -> Float[np.ndarray, "m g"]:
        groups = self._tokens(words)
        wanted = torch.tensor(sorted(token for group in groups for token in group))
        place = {int(token): i for i, token in enumerate(wanted)}
        columns = [[place[token] for token in group] for group in groups]
        found: dict[str, Float[np.ndarray, " v"]] = {}
        for batch, rows in self._batches(prompts, 0):
            scores = self._next(rows)[:, wanted.to(self.model.device)]
            found.update(zip(batch, scores.double().cpu().numpy(), strict=True))
        if not prompts:
            return np.zeros((0, len(groups)))
        return shares(np.stack([found[prompt] for prompt in prompts]), columns)

    def _next(self, rows: Sequence[list[int]]) -> Float[Tensor, "m v"]:
        """Scores of the token after each prompt."""
        ids, mask = self._padded(rows)
        given: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
        if "position_ids" in self._takes:
            given["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
        if "logits_to_keep" in self._takes:
            given["logits_to_keep"] = 1
        logits: Tensor = self.model(**given).logits
        return logits[:, -1].float()

    def _tokens(self, words: Sequence[Sequence[str]]) -> list[list[int]]:
        """For each group of words the tokens that are one of them, and no word of another group.

        Where no spelling is one token, the tokens count that begin them.
        """
        first: list[set[int]] = []
        for group in words:
            spelled = [space + word for word in group for space in ("", " ")]
            rows = [self.tokenizer(one, add_special_tokens=False)["input_ids"] for one in spelled]
            whole = [row for row in rows if len(row) == 1]
            begun = [row for row in rows if row and self.tokenizer.decode(row[:1]).strip()]
            first.append({row[0] for row in whole or begun})
        own = [group - set().union(*(o for o in first if o is not group)) for group in first]
        if not all(own):
            lacking = words[next(i for i, group in enumerate(own) if not group)][0]
            raise UsageError(
                f"referee: no token of {type(self.tokenizer).__name__} begins {lacking!r} and no "
                "other answer; take a model whose tokenizer knows whole words."
            )
        return [sorted(group) for group in own]

    def _batches(self, prompts: Sequence[str], more: int) -> Any:
        """Each distinct prompt once, those of one length together; with a bar when it lasts."""
        rows = {prompt: self._encoded(prompt, more) for prompt in dict.fromkeys(prompts)}
        order = sorted(rows, key=lambda prompt: len(rows[prompt]))
        parts = range(0, len(order), self._batch_size)
        for start in track(parts, "referee"):
            batch = order[start : start + self._batch_size]
            yield batch, [rows[prompt] for prompt in batch]

    def _encoded(self, prompt: str, more: int) -> list[int]:
        # A cell of a table could hold a mark that ends the message and begins another.
        for mark in self.tokenizer.all_special_tokens:
            prompt = prompt.replace(mark, f"{mark[0]} {mark[1:]}")
        if self._chat:
            turn = [{"role": "user", "content": prompt}]
            prompt = self.tokenizer.apply_chat_template(
                turn, add_generation_prompt=True, tokenize=False
            )
        ids = list(
            self.tokenizer(prompt, add_special_tokens=not self._chat, verbose=False)["input_ids"]
        )
        if ids and ids[-1] == self.tokenizer.eos_token_id and not self._chat:
            ids.pop()
        self._refuse_length(len(ids), more)
        return ids

    def _refuse_length(self, n: int, more: int) -> None:
        if not n:
            raise UsageError("referee: a prompt is empty; give a text that an answer can follow.")
        places = positions(self.model)
        if places is not None and n + more > places:
            raise UsageError(
                f"referee: a prompt with its answer needs {n + more} tokens, the model has "
                f"{places} positions; show fewer or shorter columns."
            )

    def _padded(self, rows: Sequence[list[int]]) -> tuple[Int[Tensor, "m n"], Int[Tensor, "m n"]]:
        """Prompts of one length, padded in front, and where they are real."""
        fill, device = padding_of(self.tokenizer), self.model.device
        ids, real = padded(rows, fill, left=True, device=device)
        return ids, real.long()


def first_letters(count: int) -> str:
    """The letters that so many options have.

    Raises:
        UsageError: If there are not so many letters.

    >>> first_letters(3)
    'ABC'
    """
    if not 1 <= count <= len(LETTERS):
        raise UsageError(
            f"referee: {count} options; there are 1 to {len(LETTERS)} letters for them."
        )
    return LETTERS[:count]
