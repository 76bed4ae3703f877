"""Writing: does a model that drafts ahead write the same text, and in how much time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor, nn

from tokenry.compare import cost
from tokenry.compare.records import Figure
from tokenry.compare.tasks.base import Pass, Scores, Subject, Task, whole_number
from tokenry.errors import UsageError
from tokenry.ops.edits import shared
from tokenry.ops.padding import padded
from tokenry.plugs.generate import end_of_text
from tokenry.plugs.positions import positions

NEW_TOKENS = 64
PROFILED = 4
"""Tokens that are written in a profile."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Prompts as tensors, padded on the left, and how many tokens may be written."""

    ids: Int[Tensor, "b n"]
    mask: Int[Tensor, "b n"]
    tokens: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What was written.

    Attributes:
        texts: The tokens behind each prompt, up to their end.
        first: Where they begin in what `generate` returned.
        seconds: How long it took.
    """

    texts: list[list[int]]
    first: int
    seconds: float


class Writing(Task):
    """Whether the model writes what it writes alone, token for token, and how fast.

    Each text is a prompt, in the tokenizer's chat template when it has one; the model answers
    greedily with `model.generate`.

    Args:
        new_tokens: Most tokens of an answer.
        max_tokens: Most tokens of a prompt; longer ones are left out. When not given, what the
            model has positions for.

    Raises:
        UsageError: If one is out of range.
    """

    kind = "writer"
    slug = "writing"
    title = "Texts written"
    metric = "identical texts"
    binary = True
    dial = False
    explanation = (
        "Whether the text is the one that the model writes alone, token for token. Seconds are "
        "those of the whole call of generate, the prompt included."
    )
    figures: tuple[Figure, ...] = (
        Figure("token_seconds", "Per token", "seconds"),
        Figure("passes", "Passes per token", "number"),
        Figure("accepted", "Accepted per pass", "number"),
    )

    def __init__(self, new_tokens: int = NEW_TOKENS, max_tokens: int | None = None) -> None:
        whole_number(self.slug, "new_tokens", new_tokens)
        if max_tokens is not None:
            whole_number(self.slug, "max_tokens", max_tokens)
        self.new_tokens, self.max_tokens = new_tokens, max_tokens
        self._prompts: dict[str, list[int]] = {}
        self._tokenizer: Any = None
        self._ends: frozenset[int] = frozenset()

    def describe(self) -> str:
        """The task and its settings."""
        return f"{self.slug}(new_tokens={self.new_tokens}, max_tokens={self.max_tokens})"

    def prepare(self, subject: Subject, examples: Sequence[Any]) -> None:
        """Make the prompts.

        Raises:
            UsageError: If all are too long.
        """
        self._tokenizer, self._ends = subject.processor, end_of_text(subject.model)
        places = positions(subject.model)
        room = self.max_tokens or (places - self.new_tokens if places else None)
        found = {e.id: _encoded(subject.processor, e.text) for e in examples}
        self._prompts = {k: ids for k, ids in found.items() if room is None or len(ids) <= room}
        if not self._prompts:
            shortest = min(map(len, found.values()))
            raise UsageError(
                f"{self.slug}: the shortest prompt has {shortest} tokens, more than the {room} "
                f"that {subject.name} can read and answer with {self.new_tokens}; give shorter "
                "ones."
            )

    def usable(self, subject: Subject, examples: Sequence[Any]) -> Sequence[Any]:
        """The examples that are short enough."""
        self.prepare(subject, examples)
        return self.split(examples)[1]

    def split(self, examples: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """No example to fit on."""
        return [], [e for e in examples if e.id in self._prompts]

    def label(self, example: Any) -> str:
        """The kind of prompt."""
        return example.domain or ""

    def batch(self, subject: Subject, examples: Sequence[Any]) -> Asked:
        """The prompts as tensors on the model's device."""
        prompts = [self._prompts[e.id] for e in examples]
        ids, real = padded(prompts, left=True, device=subject.device)
        return Asked(ids, real.long(), self.new_tokens)

    def profiled(self, batch: Asked) -> Asked:
        """The same prompts with short answers."""
        return Asked(batch.ids, batch.mask, min(batch.tokens, PROFILED))

    def run(self, model: nn.Module, batch: Asked) -> Answered:
        """Let the model write."""
        writer: Any = model
        seconds, out = cost.timed(
            lambda: writer.generate(
                input_ids=batch.ids,
                attention_mask=batch.mask,
                max_new_tokens=batch.tokens,
                do_sample=False,
                pad_token_id=next(iter(self._ends), 0),
            ),
            batch.ids.device,
        )
        first = 1 if writer.config.is_encoder_decoder else batch.ids.shape[1]
        texts = [self._until_end(row) for row in out[:, first:].tolist()]
        return Answered(texts, first, seconds)

    def _until_end(self, row: list[int]) -> list[int]:
        stop = next((i + 1 for i, token in enumerate(row) if token in self._ends), len(row))
        return row[:stop]

    def finite(self, outputs: Answered) -> list[bool]:
        """A text has no NaN."""
        return [True] * len(outputs.texts)

    def score(self, seen: Pass, untouched: Pass, examples: Sequence[Any]) -> Scores:
        """1 where the text is the same; beside it, the share up to the first difference."""
        pairs = list(zip(seen.outputs.texts, untouched.outputs.texts, strict=True))
        same = [float(mine == plain) for mine, plain in pairs]
        return Scores(same, {"prefix": [shared(*pair) / len(pair[1]) for pair in pairs]})

    def costs(self, seen: Pass) -> dict[str, float]:
        """Seconds and passes per token, and drafted tokens that a pass accepted."""
        counts = [len(text) for text in seen.outputs.texts]
        drafted = seen.trace is not None
        return {
            "token_seconds": seen.outputs.seconds / sum(counts),
            "passes": seen.trace.passes / max(counts) if drafted else 1.0,
            "accepted": seen.trace.accepted_length if drafted else 0.0,
        }

    def thumbnails(self, subject: Subject, batch: Asked, untouched: Pass) -> list[bytes]:
        """What the model writes alone, token by token, as JSON."""
        return [
            json.dumps(_pieces(self._tokenizer, row)).encode() for row in untouched.outputs.texts
        ]

    def groups(self, seen: Pass) -> list[NDArray[np.int16]]:
        """For each token whether it was drafted, and in which pass it was written."""
        if seen.trace is None:
            return []
        found = []
        for i, text in enumerate(seen.outputs.texts):
            accepted = seen.trace.accepted[:, i]
            counts = torch.cat([torch.ones(1).long(), accepted[accepted >= 0].cpu() + 1])
            passes = torch.arange(len(counts)).repeat_interleave(counts)[: len(text)]
            first = seen.outputs.first
            drafted = seen.trace.drafted[i, first : first + len(text)].cpu()
            found.append(torch.stack([drafted, passes]).numpy().astype(np.int16))
        return found


def _encoded(tokenizer: Any, text: str) -> list[int]:
    if getattr(tokenizer, "chat_template", None):
        turn = [{"role": "user", "content": text}]
        text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    return list(tokenizer(text, verbose=False)["input_ids"])


def _pieces(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """The text that each token adds; where several make one character the last one has it."""
    pieces, before = [], ""
    for stop in range(1, len(ids) + 1):
        whole = tokenizer.decode(ids[:stop])
        if whole.endswith("\ufffd"):
            pieces.append("")
            continue
        pieces.append(whole[len(before) :])
        before = whole
    return pieces
