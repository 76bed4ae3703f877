"""Texts as words of bytes: a tokenizer that has no vocabulary to learn, and batches of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from tokenry import catalog
from tokenry.alphabet import LETTERS
from tokenry.errors import UsageError
from tokenry.method import Pooling
from tokenry.plugs.byte_text import as_bytes
from tokenry.plugs.packing import IGNORED

END = 256
"""The unit that ends a word. A word of no bytes begins a text and ends it."""


def byte_tokenizer(method: str | Pooling = "word-pooling") -> PreTrainedTokenizerFast:
    """A tokenizer with one token per byte, whose id is the byte, and `<end>`, 256, around texts.

    It splits text into the words of the method, chunks of long ones apart; `save_pretrained`
    writes a folder that `AutoTokenizer` loads.

    >>> byte_tokenizer().encode("a b")
    [97, 32, 98]
    """
    rule = catalog.configured(method, Pooling, "byte_tokenizer")
    alphabet = {letter: byte for byte, letter in enumerate(LETTERS)}
    inner = Tokenizer(models.BPE(vocab={**alphabet, "<end>": END}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(rule.pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.ByteLevel()
    end = "<end>"
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner, bos_token=end, eos_token=end, pad_token=end
    )


class WordCollator:
    """Makes batches of words of texts, for transformers' `Trainer` or a loop of one's own.

    Called with a list of texts (strings, bytes, ids of `byte_tokenizer`, or `{"input_ids": ids}`),
    it returns `input_ids` `(b, w, c)`, the bytes of each word with `END` behind them,
    `attention_mask` `(b, w)` and `labels` `(b, w, c + 1)`, which have each word's end too. A word
    of no bytes stands before each text, and wherever the ids hold an `END`.

    Args:
        method: "word-pooling", with settings in parentheses, or an instance.

    Raises:
        UsageError: If the method is no rule for words.
        UnknownNameError: If no method has this name.
    """

    def __init__(self, method: str | Pooling = "word-pooling") -> None:
        self.method = catalog.configured(method, Pooling, "WordCollator")

    def __call__(self, features: Sequence[Any]) -> dict[str, Tensor]:
        """One batch.

        Raises:
            UsageError: If there is no text, or an id is no byte.
        """
        if not features:
            raise UsageError("WordCollator: got no texts; a batch needs at least one.")
        rows = [self._words(i, feature) for i, feature in enumerate(features)]
        w = max(map(len, rows))
        c = max(1, max(len(word) for row in rows for word in row))
        units = torch.full((len(rows), w, c), END)
        mask = torch.zeros(len(rows), w, dtype=torch.long)
        labels = torch.full((len(rows), w, c + 1), IGNORED)
        for i, row in enumerate(rows):
            mask[i, : len(row)] = 1
            for j, word in enumerate(row):
                units[i, j, : len(word)] = labels[i, j, : len(word)] = torch.tensor([*word]).long()
                labels[i, j, len(word)] = END
        return {"input_ids": units, "attention_mask": mask, "labels": labels}

    def _words(self, number: int, feature: Any) -> list[bytes]:
        given = feature["input_ids"] if isinstance(feature, Mapping) else feature
        if isinstance(given, str | bytes):
            return [b"", *self.method.words(as_bytes(given))]
        ids = torch.as_tensor(given, dtype=torch.long).flatten().tolist()
        if any(not 0 <= one <= END for one in ids):
            raise UsageError(
                f"WordCollator: text {number} holds ids outside 0 to {END}; give bytes, with "
                f"{END} where a text ends, as byte_tokenizer writes them."
            )
        ends = [i for i, one in enumerate(ids) if one == END]
        found = [b""]
        for start, stop in zip([0, *(i + 1 for i in ends)], [*ends, len(ids)], strict=True):
            found += self.method.words(bytes(ids[start:stop]))
            found += [b""] if stop < len(ids) else []
        return found
