"""Texts cut into windows that an encoder can read, with where each token stands in the text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tokenry.errors import UnsupportedModelError

WINDOW_TOKENS = 1 << 13
"""Tokens of one pass, padding included."""


@dataclass(frozen=True, slots=True)
class Window:
    """Neighbouring tokens of a text.

    Attributes:
        text: Number of the text.
        piece: The part of the text that they stand for.
        ids: The tokens.
        spans: For each, where it begins and ends in the text.
    """

    text: int
    piece: str
    ids: list[int]
    spans: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class WindowStates:
    """What an encoder made of a window.

    Attributes:
        vectors: One per token that counts.
        ids: The tokens.
        spans: Where they stand in the text; a token that stands for no part of it has an end equal
            to its beginning.
        total: Sum of the vectors that the pooled vector is the mean of.
        count: How many those are.
    """

    vectors: Float[Tensor, "n d"]
    ids: Int[Tensor, " n"]
    spans: Int[Tensor, "n 2"]
    total: Float[Tensor, " d"]
    count: int


def readable(text: str) -> str:
    """The text with lone surrogates, which no tokenizer takes, as replacement characters."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def windows(texts: list[str], tokenizer: Any, room: int) -> list[Window]:
    """Cut texts into windows of about the same length, none longer than `room` tokens.

    A text without tokens has no window.
    """
    found: list[Window] = []
    for number, text in enumerate(map(readable, texts)):
        read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        ids, spans = read["input_ids"], [tuple(span) for span in read["offset_mapping"]]
        count = -(-len(ids) // room)
        for part in range(count):
            cut = slice(part * len(ids) // count, (part + 1) * len(ids) // count)
            piece = text[spans[cut][0][0] : spans[cut][-1][1]]
            found.append(Window(number, piece, ids[cut], spans[cut]))
    return found


def batches(lengths: list[int]) -> Iterator[list[int]]:
    """Numbers of windows that go into one pass: of like lengths, the longest first."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    while order:
        size = max(1, WINDOW_TOKENS // max(lengths[order[0]], 1))
        yield order[:size]
        order = order[size:]


class PlainReader:
    """Token states of a transformers encoder: its last hidden state.

    Args:
        model: In evaluation mode; of an encoder-decoder its encoder reads.
        tokenizer: A fast one, which knows where tokens stand.
        length: Most tokens of a window, special ones included; None for what the model can.

    Raises:
        UnsupportedModelError: If the tokenizer does not know where tokens stand.
    """

    def __init__(self, model: nn.Module, tokenizer: Any, length: int | None = None) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise UnsupportedModelError(
                f"{type(tokenizer).__name__}: does not say where tokens stand in a text; take a "
                "checkpoint with a tokenizer.json."
            )
        held: Any = model.config
        both = getattr(held, "is_encoder_decoder", False)
        self.model: nn.Module = cast("Any", model).get_encoder() if both else model
        self.tokenizer = tokenizer
        self._before, self._behind = _frame(tokenizer)
        limit = min(tokenizer.model_max_length, _places(self.model))
        framing = len(self._before) + len(self._behind)
        self.room = min(length or limit, limit) - framing
        self.dimension = self.pooled = int(held.hidden_size)

    def read(self, parts: list[Window], mode: str) -> list[WindowStates]:
        """The states of windows; documents and queries are read alike."""
        found: dict[int, WindowStates] = {}
        for batch in batches([len(part.ids) for part in parts]):
            states = self._pass([parts[number] for number in batch])
            found.update(zip(batch, states, strict=True))
        return [found[number] for number in range(len(parts))]

    def _pass(self, parts: list[Window]) -> Iterator[WindowStates]:
        rows = [[*self._before, *part.ids, *self._behind] for part in parts]
        longest = max(map(len, rows))
        pad = self.tokenizer.pad_token_id or 0
        device = next(self.model.parameters()).device
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows], device=device)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        mask = (torch.arange(longest, device=device) < lengths[:, None]).long()
        with torch.inference_mode():
            states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state.float().cpu()
        first = len(self._before)
        for part, row, whole in zip(parts, states, rows, strict=True):
            yield WindowStates(
                row[first : first + len(part.ids)],
                torch.tensor(part.ids),
                torch.tensor(part.spans),
                row[: len(whole)].sum(0),
                len(whole),
            )


def _places(model: nn.Module) -> int:
    """How many tokens a model has positions for; RoBERTa and its kin count behind the padding's."""
    held: Any = model.config
    tables = (
        one
        for name, one in model.named_modules()
        if name.endswith("position_embeddings") and isinstance(one, nn.Embedding)
    )
    taken = next((one.padding_idx + 1 for one in tables if one.padding_idx is not None), 0)
    return int(getattr(held, "max_position_embeddings", 1 << 30)) - taken


def _frame(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that stand before and behind a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    raise UnsupportedModelError(
        f"{type(tokenizer).__name__}: writes a text differently between special tokens; tokens "
        "cannot be told from their frame."
    )
