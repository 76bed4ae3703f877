"""Bits per byte: the one loss that can be compared between tokenizers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tokenry.errors import UsageError
from tokenry.plugs.scoring import Reader
from tokenry.progress import showing, track


@dataclass(frozen=True, slots=True)
class Bits:
    """What it takes a model to write texts, one value per text.

    Attributes:
        bits: Bits of its tokens.
        sizes: Its bytes in UTF-8.
        tokens: Its tokens.
        unknown: Tokens that stand for something the tokenizer cannot write; what they hide is not
            paid for, so that figures with unknown tokens look better than they are.
    """

    bits: tuple[float, ...]
    sizes: tuple[int, ...]
    tokens: tuple[int, ...]
    unknown: int = 0

    @property
    def per_byte(self) -> float:
        """Bits per byte over all texts."""
        return sum(self.bits) / sum(self.sizes)

    @property
    def bytes_per_token(self) -> float:
        """How many bytes a token stands for."""
        return sum(self.sizes) / sum(self.tokens)


def bits_per_byte(
    model: nn.Module,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    chunk: int = 2048,
    batch_size: int = 4,
    progress: bool | None = None,
) -> Bits:
    r"""Bits per byte of texts, as a causal language model writes them with its tokenizer.

    $-\frac{1}{B} \sum_i \log_2 p(x_i \mid x_{<i})$ over all tokens of a text of B bytes. Texts are
    cut into the same parts of `chunk` bytes whatever the tokenizer, and each part is read by
    itself, so that models with different tokenizers know the same bytes before each byte. A part
    begins with the beginning-of-text token; where the tokenizer has none, the first token costs
    the logarithm of the number of tokens.

    Args:
        model: Takes `input_ids` and `attention_mask` and returns `logits`.
        tokenizer: Its fast tokenizer.
        texts: What is written, at least one byte in all.
        chunk: Most bytes of a part; at least 4.
        batch_size: Parts in a pass.
        progress: Show a bar; None shows one on a terminal.

    Returns:
        Bits, bytes and tokens of each text.

    Raises:
        UsageError: If there is nothing to write, an argument is out of range, or the tokenizer is
            not fast.
    """
    _check(texts, chunk, batch_size)
    reader = Reader(
        model=model,
        tokenizer=tokenizer,
        batch_size=batch_size,
        bos=tokenizer.bos_token_id is not None,
        in_parts=False,
    )
    owned = [(i, part) for i, text in enumerate(texts) for part in parts(text, chunk)]
    owned.sort(key=lambda one: len(one[1]))
    bits, tokens, unknown = [0.0] * len(texts), [0] * len(texts), 0
    training = model.training
    model.eval()
    try:
        with showing(progress), track(total=len(owned), unit="part") as bar:
            for start in range(0, len(owned), batch_size):
                batch = owned[start : start + batch_size]
                found = reader.surprisals([part for _, part in batch])
                for (i, part), nats in zip(batch, found, strict=True):
                    ids = reader.encode(part).ids[reader.bos :]
                    bits[i] += _bits(nats, reader.bos, len(tokenizer))
                    tokens[i] += len(ids)
                    unknown += ids.count(tokenizer.unk_token_id)
                bar.update(len(batch))
    finally:
        model.train(training)
    return Bits(tuple(bits), tuple(len(text.encode()) for text in texts), tuple(tokens), unknown)


def parts(text: str, most: int) -> Iterator[str]:
    r"""A text in parts of at most `most` bytes, cut after a line if one ends in the second half.

    Else a part ends before a space, where there is one, or anywhere between two characters.

    >>> list(parts("one two\nthree four", 10))
    ['one two\n', 'three four']
    """
    data = text.encode()
    while data:
        if len(data) <= most:
            yield data.decode()
            return
        end = data.rfind(b"\n", most // 2, most) + 1 or data.rfind(b" ", most // 2, most + 1)
        if end < 1:
            end = most
            while data[end] & 0xC0 == 0x80:  # inside a character
                end -= 1
        yield data[:end].decode()
        data = data[end:]


def _check(texts: Sequence[str], chunk: int, batch_size: int) -> None:
    if chunk < 4 or batch_size < 1:
        raise UsageError(
            f"bits_per_byte: chunk={chunk} and batch_size={batch_size}; a part holds at least 4 "
            "bytes, a pass at least 1 part."
        )
    if not any(texts):
        raise UsageError("bits_per_byte: the texts are empty; give at least one byte.")


def _bits(nats: torch.Tensor, begun: bool, size: int) -> float:
    """The bits of a part; its first value is NaN."""
    first = 0.0 if begun or not len(nats) else math.log2(size)
    return first + float(nats[1:].double().sum()) / math.log(2)
