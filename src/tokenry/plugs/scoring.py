"""Ask a causal language model for the surprisal of words, or for its greedy answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tokenry.errors import UsageError
from tokenry.method import Item, Response
from tokenry.ops.padding import padded
from tokenry.plugs.generate import padding_of
from tokenry.plugs.past import CACHE
from tokenry.plugs.positions import positions

Span = tuple[int, int]

_ROWS = 128  # positions whose distribution over the vocabulary exists in float32 at once
_SLACK = 4  # tokens that an answer may take beyond those of the right one


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as tokens.

    Attributes:
        ids: The tokens, the beginning-of-text token in front when it was asked for.
        spans: Characters of the text that each token stands for; empty for special tokens.
        split: How many tokens stand for the context.
    """

    ids: list[int]
    spans: list[Span]
    split: int


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A causal language model and its tokenizer, under whatever is attached to the model.

    Args:
        model: Takes `input_ids` and `attention_mask` and returns `logits`; `in_parts` and
            `answers` need a model of transformers.
        tokenizer: A fast tokenizer: it knows which characters each token stands for.
        batch_size: Texts in a pass.
        bos: Put the beginning-of-text token in front. It changes the surprisal of the first words;
            nothing else is put in front of or behind a text, whatever the tokenizer would do.
        in_parts: Read the context and the rest of a text in two passes over one cache, so that
            a cache policy cuts before it sees the rest; else in one pass.

    Raises:
        UsageError: If the tokenizer is not fast, or lacks the beginning-of-text token.
    """

    model: nn.Module
    tokenizer: Any
    batch_size: int = 4
    bos: bool = False
    in_parts: bool = True

    def __post_init__(self) -> None:
        name = type(self.tokenizer).__name__
        if not getattr(self.tokenizer, "is_fast", False):
            raise UsageError(
                f"Reader: {name} cannot tell which characters a token stands for; load the fast "
                "tokenizer of this model."
            )
        if self.bos and self.tokenizer.bos_token_id is None:
            raise UsageError(
                f"Reader: bos=True, but {name} has no beginning-of-text token; give bos=False."
            )

    @property
    def positions(self) -> int | None:
        """The longest text in tokens that the model takes at once; None when it does not say."""
        return positions(self.model)

    def encode(self, text: str, split: int = 0) -> Encoded:
        """A text as tokens; tokens that begin at character `split` or later are the rest."""
        found = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        ids, spans = list(found["input_ids"]), [tuple(s) for s in found["offset_mapping"]]
        count = sum(start < split for start, _ in spans)
        if self.bos:
            ids, spans, count = [self.tokenizer.bos_token_id, *ids], [(0, 0), *spans], count + 1
        return Encoded(ids, spans, count)

    def room(self, item: Item) -> int:
        """Tokens that an item takes, its answer included."""
        return self._count(item.text) + (self._longest([item]) if item.answers else 0)

    def respond(self, items: Sequence[Item]) -> Iterator[Response]:
        """The response to each item, batch by batch.

        Args:
            items: All ask for surprisals, all for answers, or all for states of the same depths.

        Raises:
            UsageError: If an item does not fit into the model's positions.
        """
        for start in range(0, len(items), self.batch_size):
            batch = items[start : start + self.batch_size]
            texts = [self.encode(item.text, len(item.context)) for item in batch]
            if batch[0].depths:
                for text, found in zip(texts, self._states(texts, batch[0].depths), strict=True):
                    yield Response(len(text.ids), states=tuple(map(tuple, found.tolist())))
                continue
            if batch[0].answers:
                answers = self._answers(texts, self._longest(batch))
                for text, answer in zip(texts, answers, strict=True):
                    yield Response(len(text.ids), answer)
                continue
            for item, text, surprisals in zip(batch, texts, self._scored(texts), strict=True):
                words = word_sums(surprisals, text.spans, item.words, item.text)
                yield Response(len(text.ids), surprisals=words)

    @torch.no_grad()
    def surprisals(self, texts: Sequence[str]) -> list[Float[Tensor, " n"]]:
        r"""Surprisal $-\ln p(x_i \mid x_{<i})$ of each token of each text, however long, in nats.

        A text beyond the model's positions is read in windows that overlap by half, and each token
        is scored in the first window that holds it.

        Returns:
            One value per token of `encode(text)`; NaN for the first, which nothing precedes.
        """
        encoded = [self.encode(text).ids for text in texts]
        most = self.positions or max(map(len, encoded), default=1)
        windows = [
            (index, start)
            for index, ids in enumerate(encoded)
            for start in range(0, max(len(ids) - most // 2, 1), max(most - most // 2, 1))
        ]
        found = [torch.full((len(ids),), torch.nan) for ids in encoded]
        for i in range(0, len(windows), self.batch_size):
            batch = windows[i : i + self.batch_size]
            rows = [Encoded(encoded[n][s : s + most], [], 0) for n, s in batch]
            for (n, s), row in zip(batch, self._scored(rows), strict=True):
                new = found[n][s : s + most].isnan()
                found[n][s : s + most][new] = row[new]
        return found

    @torch.no_grad()
    def _states(self, texts: Sequence[Encoded], depths: Sequence[float]) -> Float[Tensor, "b l d"]:
        """Mean states of each text's own tokens, so deep in the model."""
        self._refuse_long(max(len(text.ids) for text in texts))
        ids, mask = self._pad([text.ids for text in texts], left=False)
        output = self.model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        own = mask.clone()
        own[:, : int(self.bos)] = 0
        means = []
        for depth in depths:
            place = round(depth * (len(output.hidden_states) - 1))
            states = output.hidden_states[place].float()
            means.append((states * own[..., None]).sum(1) / own.sum(1, keepdim=True))
        return torch.stack(means, 1).cpu()

    @torch.no_grad()
    def _scored(self, texts: Sequence[Encoded]) -> list[Float[Tensor, " n"]]:
        """Surprisal of each token; NaN for the first."""
        splits = [text.split if self.in_parts else 0 for text in texts]
        parts = [[t.ids[:s] for t, s in zip(texts, splits, strict=True)]] if any(splits) else []
        parts.append([t.ids[s:] for t, s in zip(texts, splits, strict=True)])
        self._refuse_long(max(len(text.ids) for text in texts))
        # The context ends, the rest begins at the same column: padding on the outer sides.
        layout = [self._pad(part, left=i < len(parts) - 1) for i, part in enumerate(parts)]
        mask = torch.cat([m for _, m in layout], 1)
        cache, before = None, None
        columns: list[Tensor] = []
        for ids, _ in layout:
            start = sum(c.shape[1] for c in columns)
            output = self._pass(ids, mask[:, : start + ids.shape[1]], start, cache, len(parts) > 1)
            cache = getattr(output, CACHE, None)
            columns.append(_nll(output.logits, ids, before))
            before = output.logits[:, -1]
        table = torch.cat(columns, 1).cpu()
        rows = [row[real] for row, real in zip(table, mask.bool().cpu(), strict=True)]
        for row in rows:
            row[0] = torch.nan
        return rows

    def _pass(
        self, ids: Int[Tensor, "b n"], mask: Int[Tensor, "b s"], start: int, cache: Any, keep: bool
    ) -> Any:
        """One pass; with a cache to go on with when `keep`."""
        if not keep:
            return self.model(input_ids=ids, attention_mask=mask)
        places = (mask.cumsum(1) - 1).clamp(min=0)[:, start:]
        return self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=places,
            **{CACHE: cache},
            use_cache=True,
        )

    @torch.no_grad()
    def _answers(self, texts: Sequence[Encoded], longest: int) -> list[str]:
        """What the model goes on with, the likeliest token each time."""
        self._refuse_long(max(len(text.ids) for text in texts) + longest)
        splits = [text.split if self.in_parts else 0 for text in texts]
        context, seen = self._pad([t.ids[:s] for t, s in zip(texts, splits, strict=True)], True)
        rest, asked = self._pad([t.ids[s:] for t, s in zip(texts, splits, strict=True)], True)
        more = {}
        if context.shape[1]:
            output = self._pass(context, seen, 0, None, True)
            more[CACHE] = output[CACHE]
        model: Any = self.model
        ids = torch.cat([context, rest], 1)
        written = model.generate(
            input_ids=ids,
            attention_mask=torch.cat([seen, asked], 1),
            max_new_tokens=longest,
            do_sample=False,
            pad_token_id=padding_of(self.tokenizer),
            **more,
        )[:, ids.shape[1] :]
        found: list[str] = self.tokenizer.batch_decode(written, skip_special_tokens=True)
        return found

    def _longest(self, items: Sequence[Item]) -> int:
        return max(self._count(json.dumps(item.answers)) for item in items) + _SLACK

    def _count(self, text: str) -> int:
        found = self.tokenizer(text, add_special_tokens=False, verbose=False)
        return len(found["input_ids"]) + self.bos

    def _pad(
        self, rows: Sequence[list[int]], left: bool
    ) -> tuple[Int[Tensor, "b n"], Int[Tensor, "b n"]]:
        """Rows of one length, and where they are real."""
        device = next(self.model.parameters()).device
        ids, real = padded(rows, padding_of(self.tokenizer), left=left, device=device)
        return ids, real.long()

    def _refuse_long(self, n: int) -> None:
        if self.positions is not None and n > self.positions:
            raise UsageError(
                f"Reader: {n} tokens do not fit into the {self.positions} positions of "
                f"{type(self.model).__name__}; give shorter texts."
            )


def word_sums(
    surprisals: Float[Tensor, " n"], spans: Sequence[Span], words: Sequence[Span], text: str
) -> tuple[float, ...]:
    """Surprisal of each word: the sum over the tokens that hold a character of it.

    Args:
        surprisals: One per token.
        spans: Characters of each token; the space before a word does not count.
        words: Characters of each word.
        text: What they are spans of.

    Raises:
        UsageError: If one token holds characters of two words.
    """
    found = [0.0] * len(words)
    for value, (start, end) in zip(surprisals.tolist(), spans, strict=True):
        while start < end and text[start].isspace():
            start += 1
        held = [i for i, (first, last) in enumerate(words) if start < last and end > first]
        if start < end and len(held) > 1:
            raise UsageError(
                f"Reader: the token {text[start:end]!r} holds characters of {len(held)} words, "
                "whose surprisals cannot be told apart; ask for words that stand apart."
            )
        if start < end and held:
            found[held[0]] += value
    return tuple(found)


def characters_per_token(tokenizer: Any, text: str) -> float:
    """How many characters a token of `text` stands for on average.

    Args:
        tokenizer: Of transformers.
        text: Not empty.
    """
    count = len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    return len(text) / count


def _nll(
    logits: Float[Tensor, "b n v"], ids: Int[Tensor, "b n"], before: Float[Tensor, "b v"] | None
) -> Float[Tensor, "b n"]:
    """Surprisal of each token given what is before it; `before` foresees the first column."""
    shifted = logits[:, :-1]
    first = logits[:, :1].new_zeros(logits.shape[0], 1, logits.shape[2])
    shifted = torch.cat([first if before is None else before[:, None], shifted], 1)
    parts = []
    for rows, targets in zip(
        torch.split(shifted, _ROWS, 1), torch.split(ids, _ROWS, 1), strict=True
    ):
        scores = rows.float().log_softmax(-1)
        parts.append(-scores.gather(-1, targets[..., None]).squeeze(-1))
    return torch.cat(parts, 1)
