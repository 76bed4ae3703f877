"""What tasks on texts share: a prompt cut in two, one pass through a cache, which slots stayed."""

from __future__ import annotations

import json
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from tokenry.compare import cost
from tokenry.compare.records import Figure
from tokenry.compare.tasks.base import Pass, Subject, Task, whole_number
from tokenry.errors import UsageError
from tokenry.ops.padding import padded
from tokenry.plugs.generate import Feed, end_of_text, held, layers
from tokenry.plugs.positions import positions

PROFILED = (256, 2)
"""Last tokens of the prompt, and tokens after it, in a profile."""
PACE = 8
"""Fewest tokens of a given continuation that are decoded one by one, to time them."""

COSTS = (
    Figure("bytes_resident", "Cache MB held", "bytes"),
    Figure("bytes_read", "Cache MB read", "bytes"),
    Figure("prefill_seconds", "Prefill", "seconds"),
    Figure("token_seconds", "Per token", "seconds"),
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One example as tokens.

    Attributes:
        head: What is read before the cache is cut.
        tail: What is read after that; at least one token, so that no prediction comes from the
            complete cache.
        forced: What goes on; empty when the model writes itself.
        pieces: The text of each token of head and tail.
    """

    head: list[int]
    tail: list[int]
    forced: list[int]
    pieces: list[str]


@dataclass(frozen=True, slots=True)
class Prompts:
    """Some examples as tensors, padded on the left of each part; `steps` tokens come after."""

    head: Int[Tensor, "b n"]
    tail: Int[Tensor, "b m"]
    forced: Int[Tensor, "b t"]
    real_head: Bool[Tensor, "b n"]
    real_tail: Bool[Tensor, "b m"]
    pieces: list[list[str]]
    steps: int


@dataclass(frozen=True, slots=True)
class Written:
    """What a model made of some prompts.

    Attributes:
        scores: Scores of each next token, where what goes on was given; else None.
        tokens: The most likely next tokens.
        forced: The tokens that came instead; empty when the model wrote itself.
        finite: For each example whether all scores were.
        prefill: Seconds until the first prediction.
        decoding: Seconds per token after that, of those that came one by one.
        real: Which tokens of head and tail are not padding.
        slots: Slots that each layer with full attention holds at the end.
        nbytes: Bytes of them.
    """

    scores: Float[Tensor, "b t v"] | None
    tokens: Int[Tensor, "b t"]
    forced: Int[Tensor, "b t2"]
    finite: Bool[Tensor, " b"]
    prefill: float
    decoding: float
    real: Bool[Tensor, "b n"]
    slots: tuple[int, ...]
    nbytes: int


class TextTask(Task):
    """A task on texts: a subclass says what is read, what goes on, and how it is scored.

    Args:
        query: When the question comes: "aware", inside the prompt before the cache is cut, so that
            a policy can look at it; or "free", after the context was read and cut, as when several
            questions are asked about one text. The first of `queries` when not given.
        max_tokens: Most tokens of the context; `tokens` when not given, or what the model has
            positions for.

    Raises:
        UsageError: If one is out of range.
    """

    kind = "causal-lm"
    figures: tuple[Figure, ...] = COSTS
    tokens: ClassVar[int] = 2048
    """Most tokens of the context when nothing else is asked for."""
    queries: ClassVar[tuple[str, ...]] = ("aware", "free")
    why_not: ClassVar[str] = ""
    """Why `queries` has not both."""

    def __init__(self, query: str | None = None, max_tokens: int | None = None) -> None:
        self.query = self.queries[0] if query is None else query
        if self.query not in self.queries:
            raise UsageError(
                f"{self.slug}: query={query!r}; allowed: {' or '.join(map(repr, self.queries))}"
                f"{self.why_not}."
            )
        if max_tokens is not None:
            whole_number(self.slug, "max_tokens", max_tokens)
        self.max_tokens = max_tokens
        self._prompts: dict[str, Prompt] = {}
        self._ends: frozenset[int] = frozenset()

    @property
    def settings(self) -> dict[str, str]:
        """When the question comes."""
        return {"query": self.query}

    @property
    def shares(self) -> tuple[Any, ...]:
        """Tasks with equal settings can be scored from the same pass."""
        return (*super().shares, self.query, self.max_tokens, self.after)

    @property
    @abstractmethod
    def after(self) -> int:
        """Most tokens that come after the prompt."""

    def describe(self) -> str:
        """The task and its settings."""
        most = self.max_tokens or self.tokens
        return f"{self.slug}(query={self.query}, max_tokens={most}, after={self.after})"

    def prepare(self, subject: Subject, examples: Sequence[Any]) -> None:
        """Make the prompts; examples that make none are left out, with one warning.

        Raises:
            UsageError: If no example makes one, or the model has too few positions.
        """
        layers(subject.model)
        room = self._room(subject)
        self._ends = end_of_text(subject.model)
        found = {e.id: self.prompt(subject.processor, e, room) for e in examples}
        self._prompts = {name: made for name, made in found.items() if isinstance(made, Prompt)}
        reasons = [reason for reason in found.values() if isinstance(reason, str)]
        if not self._prompts:
            raise UsageError(f"{self.slug}: no example can be used; the first one {reasons[0]}.")
        if reasons:
            warnings.warn(
                f"{self.slug}: {len(reasons)} of {len(found)} examples are not scored; the first "
                f"one {reasons[0]}.",
                stacklevel=2,
            )

    def usable(self, subject: Subject, examples: Sequence[Any]) -> Sequence[Any]:
        """The examples that make a prompt."""
        self.prepare(subject, examples)
        return self.split(examples)[1]

    @abstractmethod
    def prompt(self, tokenizer: Any, example: Any, room: int) -> Prompt | str:
        """The prompt of an example whose context has at most `room` tokens, or why there is none.

        The reason goes on from "the first one ...".
        """

    def _room(self, subject: Subject) -> int:
        """Most tokens of the context."""
        places = positions(subject.model)
        if places is None:
            return self.max_tokens or self.tokens
        most = places - self.after
        asked = min(self.tokens, most) if self.max_tokens is None else self.max_tokens
        if most < 1 or asked > most:
            raise UsageError(
                f"{self.slug}: {asked} tokens of context and {self.after} after it are more than "
                f"the {places} positions of {subject.name}; give max_tokens of at most {most}."
            )
        return asked

    def split(self, examples: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """No example to fit on; those with a prompt are scored."""
        return [], [e for e in examples if e.id in self._prompts]

    def label(self, example: Any) -> str:
        """The question, else the domain."""
        return example.question or example.domain or ""

    def batch(self, subject: Subject, examples: Sequence[Any]) -> Prompts:
        """The prompts as tensors on the model's device."""
        prompts = [self._prompts[e.id] for e in examples]
        head, real_head = padded([p.head for p in prompts], left=True, device=subject.device)
        tail, real_tail = padded([p.tail for p in prompts], left=True, device=subject.device)
        forced = torch.tensor([p.forced for p in prompts], device=subject.device).long()
        pieces = [p.pieces for p in prompts]
        return Prompts(head, tail, forced, real_head, real_tail, pieces, self.after)

    def profiled(self, batch: Prompts) -> Prompts:
        """The end of the prompts and few tokens after it: clocks and counters are slow."""
        n, steps = PROFILED
        return replace(
            batch,
            head=batch.head[:, -n:],
            real_head=batch.real_head[:, -n:],
            forced=batch.forced[:, :steps],
            steps=min(batch.steps, steps),
        )

    def run(self, model: nn.Module, batch: Prompts) -> Written:
        """Read the head, let the cache be cut, read the tail, and go on."""
        feed, device = Feed(model), batch.head.device
        prefill, _ = cost.timed(lambda: feed(batch.head, batch.real_head), device)
        more, first = cost.timed(lambda: feed(batch.tail, batch.real_tail), device)
        goes_on = self._read if batch.forced.numel() else self._write
        seconds, scores = goes_on(feed, first, batch)
        slots, nbytes = held(feed.cache)
        return Written(
            scores=scores if batch.forced.numel() else None,
            tokens=scores.argmax(-1),
            forced=batch.forced,
            finite=scores.isfinite().all(-1).all(-1),
            prefill=prefill + more,
            decoding=seconds,
            real=torch.cat([batch.real_head, batch.real_tail], 1),
            slots=slots,
            nbytes=nbytes,
        )

    def _read(
        self, feed: Feed, first: Float[Tensor, "b v"], batch: Prompts
    ) -> tuple[float, Float[Tensor, "b t v"]]:
        """Seconds per token of a given continuation, and the scores of each of its tokens.

        Some tokens come one by one, up to a cut of the cache; the others in as few passes as give
        the same result.
        """
        given, n = batch.forced[:, :-1], 0
        every, seconds = [first[:, None]], 0.0
        while n < given.shape[1] and n < PACE:
            left = given.shape[1] - n
            some = feed.ahead(left)
            for i in range(n, n + (min(left, PACE) if some == left else some)):
                spent, scores = cost.timed(partial(feed, given[:, i : i + 1]), given.device)
                seconds += spent
                every.append(scores[:, None])
            n = len(every) - 1
        if n < given.shape[1]:
            every.append(feed.given(given[:, n:]))
        return seconds / max(1, n), torch.cat(every, 1)

    def _write(
        self, feed: Feed, first: Float[Tensor, "b v"], batch: Prompts
    ) -> tuple[float, Float[Tensor, "b t v"]]:
        """Seconds per token that the model writes, and the scores of each."""
        every, seconds = [first], 0.0
        done = torch.zeros(len(first), dtype=torch.bool)
        for _ in range(batch.steps - 1):
            last = every[-1].argmax(-1)
            done = done | torch.tensor([int(token) in self._ends for token in last])
            if bool(done.all()):
                break
            # What a finished sequence goes on with is not looked at.
            spent, scores = cost.timed(partial(feed, last[:, None]), last.device)
            seconds += spent
            every.append(scores)
        return seconds / max(1, len(every) - 1), torch.stack(every, 1)

    def seconds(self, seen: Pass, measured: float) -> float:
        """The prompt, and all tokens after it at the pace of those that came one by one."""
        written: Written = seen.outputs
        return written.prefill + written.decoding * (written.tokens.shape[1] - 1)

    def finite(self, outputs: Written) -> list[bool]:
        """For each example whether all scores were finite."""
        return [bool(one) for one in outputs.finite.tolist()]

    def costs(self, seen: Pass) -> dict[str, float]:
        """Seconds of the two phases, and what the cache holds, per example."""
        written, trace = seen.outputs, seen.trace
        b = len(written.tokens)
        resident = written.nbytes if trace is None else trace.bytes_resident
        read = written.nbytes if trace is None else trace.bytes_read
        return {
            "prefill_seconds": written.prefill / b,
            "token_seconds": written.decoding / b,
            "bytes_resident": resident / b,
            "bytes_read": read / b,
        }

    def layers(self, model: nn.Module) -> list[nn.Module]:
        """The decoder's layers."""
        return layers(model)

    def rows(self, seen: Pass, entered: Sequence[int]) -> Sequence[tuple[int, int]]:
        """Slots that each layer holds, and that the last query read."""
        slots = seen.outputs.slots
        if seen.trace is None:
            return list(zip(slots, slots, strict=True))
        return list(zip(seen.trace.resident, seen.trace.read, strict=True))

    def thumbnails(self, subject: Subject, batch: Prompts, untouched: Pass) -> list[bytes]:
        """The text of each token, as JSON."""
        return [json.dumps(pieces).encode() for pieces in batch.pieces]

    def groups(self, seen: Pass) -> list[NDArray[np.int16]]:
        """For each layer and token of the prompt the percentage of key heads that hold it."""
        if seen.trace is None:
            return []
        real = seen.outputs.real
        counts = [_held_by(tokens, seen.trace.seen) for tokens in seen.trace.tokens]
        whole = torch.stack(counts, 1)[..., : real.shape[1]].cpu()
        return [
            one[:, mask].numpy().astype(np.int16)
            for one, mask in zip(whole, real.cpu(), strict=True)
        ]


def _held_by(tokens: Int[Tensor, "b g k"], seen: int) -> Int[Tensor, "b n"]:
    """Percent of the heads that hold each token."""
    count = tokens.new_zeros(len(tokens), seen)
    count.scatter_add_(1, tokens.flatten(1), torch.ones_like(tokens).flatten(1))
    return count * 100 // tokens.shape[1]


def encode(tokenizer: Any, text: str, special: bool) -> tuple[list[int], list[str]]:
    """The tokens of a text, and the part of the text that each stands for.

    The parts together are the text; where several tokens share a character the first has it.
    """
    if not tokenizer.is_fast:
        ids = tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
        return ids, tokenizer.convert_ids_to_tokens(ids)
    found = tokenizer(text, add_special_tokens=special, return_offsets_mapping=True, verbose=False)
    pieces, at = [], 0
    for _, end in found["offset_mapping"]:
        pieces.append(text[at:end] if end > at else "")
        at = max(at, end)
    return list(found["input_ids"]), pieces
