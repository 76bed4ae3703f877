"""Encoders of mentions: marks that are tokens, and windows that never cut what stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from tokenry.errors import UsageError
from tokenry.method import Embed
from tokenry.ops.mentions import CLOSE, OPEN
from tokenry.plugs.text_encoder import text_encoder


def span_encoder(
    source: Any,
    *,
    marks: tuple[str, str] = (OPEN, CLOSE),
    pooling: Literal["cls", "mean"] = "cls",
    longest: int = 64,
) -> Any:
    """An encoder of sentence-transformers whose tokenizer knows the marks around a mention.

    New marks start at the mean of all token vectors. Those that the tokenizer has as tokens
    already, as in an encoder that was trained and saved, stay.

    Args:
        source: `zoo:NAME`, a folder, a name on the Hub, or a pair (model, tokenizer).
        marks: What opens and what closes a mention.
        pooling: The first token, or the mean of the real ones.
        longest: Tokens of a window, at most.

    Raises:
        MissingExtraError: If sentence-transformers is not installed.
        UsageError: If the tokenizer splits a mark all the same.
    """
    encoder = text_encoder(source, pooling=pooling, longest=longest)
    tokenizer, model = encoder.tokenizer, encoder[0].auto_model
    new = [mark for mark in marks if mark not in tokenizer.get_vocab()]
    if new:
        tokenizer.add_special_tokens(
            {"additional_special_tokens": new}, replace_extra_special_tokens=False
        )
        table = model.get_input_embeddings().weight
        mean = table.detach().mean(0)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        with torch.no_grad():
            model.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids(new)] = mean
    check_marks(tokenizer, marks)
    return encoder


def check_marks(tokenizer: Any, marks: tuple[str, str] = (OPEN, CLOSE)) -> None:
    """Refuse a tokenizer that splits a mark.

    Raises:
        UsageError: If it does.
    """
    for mark in marks:
        ids = tokenizer(f"a {mark} b", add_special_tokens=False)["input_ids"]
        if ids.count(tokenizer.get_vocab().get(mark, -1)) != 1:
            raise UsageError(
                f"{type(tokenizer).__name__}: splits the mark {mark!r} into pieces; "
                "span_encoder adds it."
            )


def embed(encoder: Any, marks: tuple[str, str] = (OPEN, CLOSE), batch_size: int = 64) -> Embed:
    """What gives windows their vectors: each fitted first, each distinct one encoded once.

    Raises:
        UsageError: If the tokenizer splits a mark.
    """
    check_marks(encoder.tokenizer, marks)

    def vectors(texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        read = [fitted(text, encoder.tokenizer, encoder.max_seq_length, marks) for text in texts]
        distinct = list(dict.fromkeys(read))
        place = {text: i for i, text in enumerate(distinct)}
        made = encoder.encode(
            distinct, batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(made)[[place[text] for text in read]]

    return vectors


def fitted(text: str, tokenizer: Any, longest: int, marks: tuple[str, str] = (OPEN, CLOSE)) -> str:
    """A window that is read whole: words fall off its ends, the mention and its marks never.

    What stands before the mention gets half of the room, and what the words after it leave. A
    mention that alone is too long is cut by the encoder, at its end; a text without marks stays.
    """
    before, opened, rest = text.partition(marks[0])
    mention, closed, after = rest.partition(marks[1])
    if not (opened and closed):
        return text
    middle = opened + mention + closed
    room = longest - tokenizer.num_special_tokens_to_add() - _count(middle, tokenizer)
    left, right = (part.split() for part in (before, after))
    sizes = [[_count(word, tokenizer) for word in part] for part in (left, right)]
    wanted = [sum(part) for part in sizes]
    if sum(wanted) <= room:
        return text
    allowed = max(room // 2, room - wanted[1], 0)
    stays = _prefix(sizes[0][::-1], allowed)
    spent = sum(sizes[0][len(left) - stays :])
    follows = _prefix(sizes[1], max(room - spent, 0))
    return " ".join([*left[len(left) - stays :], middle, *right[:follows]])


def _count(text: str, tokenizer: Any) -> int:
    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _prefix(sizes: list[int], room: int) -> int:
    """How many of the first fit into the room."""
    total = 0
    for number, size in enumerate(sizes):
        total += size
        if total > room:
            return number
    return len(sizes)
