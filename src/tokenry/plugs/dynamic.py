"""Batches whose texts have a tokenizer of their own, as embeddings that a model reads."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from tokenry import catalog
from tokenry.alphabet import to_letters
from tokenry.method import (
    BatchMerger,
    EmbeddingRows,
    Embeddings,
    MergedBatch,
    Move,
    Vocab,
    VocabMap,
)
from tokenry.ops.padding import padded
from tokenry.plugs.moving import embeddings_of
from tokenry.plugs.vocabulary import vocabulary

IGNORED = -100


def new_rows(
    method: VocabMap, vocab: Vocab, old: Embeddings, tokens: Sequence[bytes]
) -> EmbeddingRows:
    """Rows for tokens that a vocabulary does not have.

    Args:
        method: Makes them.
        vocab: The vocabulary.
        old: Its rows.
        tokens: The bytes that the new tokens stand for.
    """
    if not tokens:
        empty = Embeddings(
            input=old.input[:0],
            output=None if old.output is None else old.output[:0],
            bias=None if old.bias is None else old.bias[:0],
        )
        return EmbeddingRows(embeddings=empty, origin=torch.zeros(0, dtype=torch.long), parents=())
    target = Vocab(
        name="new tokens",
        kind=vocab.kind,
        spelled=tuple(tokens),
        pieces=tuple(map(to_letters, tokens)),
        added=frozenset(),
        special={},
        merges=np.zeros((0, 3), np.int64),
        scores=None,
        scribe=vocab.scribe,
    )
    return method.rows(Move(source=vocab, target=target, embeddings=old))


class RowCache:
    """Input rows of new tokens, made when they are first needed.

    Args:
        method: Makes them.
        vocab: The vocabulary of the model.
        old: The model's rows.
        capacity: Rows kept between batches; those that were needed longest ago go first.

    Attributes:
        made: How many rows were made, those made again included.
    """

    def __init__(self, method: VocabMap, vocab: Vocab, old: Embeddings, capacity: int) -> None:
        self._method, self._vocab, self._old = method, vocab, old
        self._capacity, self.made = capacity, 0
        self._rows: OrderedDict[bytes, Tensor] = OrderedDict()

    def __len__(self) -> int:
        """Rows that are kept."""
        return len(self._rows)

    def __call__(self, tokens: Sequence[bytes]) -> Float[Tensor, "n d"]:
        """A row for each token."""
        absent = [token for token in dict.fromkeys(tokens) if token not in self._rows]
        if absent:
            made = new_rows(self._method, self._vocab, self._old, absent).embeddings.input
            self._rows.update(zip(absent, made.unbind(), strict=True))
            self.made += len(absent)
        for token in tokens:
            self._rows.move_to_end(token)
        found = [self._rows[token] for token in tokens]
        while len(self._rows) > self._capacity:
            self._rows.popitem(last=False)
        return torch.stack(found) if found else self._old.input[:0]


class DynamicCollator:
    """Makes batches of embeddings, with the tokens that are frequent in each merged.

    Called with a list of features, as tokenizers of transformers make them one by one, it returns
    what a model is called with: `inputs_embeds`, `attention_mask` and, for decoders that take them,
    `position_ids`. Texts are padded on the right, for decoders on the left. Old tokens
    keep the model's rows, new ones get rows by `rows`. What a feature has for each of its tokens
    (`labels`, `token_type_ids`) follows the first part of a merged token; what it has once stays.

    A text's tokens depend on its batch: `merge` and `embed` do the two halves, and what is between
    them, a `MergedBatch`, is worth storing with results.

    Args:
        model: A model of transformers, whose embedding does not change meanwhile.
        tokenizer: Its fast tokenizer.
        method: What merges: "dynamic-tokenization", with settings in parentheses, or an instance.
        rows: What makes rows of new tokens: "fvt", "zett(hypernetwork=...)", or an instance.
        merges: Most merges of a batch; two numbers draw one between them for each batch, as for
            training; None leaves it to the method.
        capacity: Rows of new tokens that are kept between batches.
        seed: Of the numbers that are drawn.

    Raises:
        UsageError: If a method is of another kind.
        UnknownNameError: If no method has this name.

    Source: Feher et al. 2024, sections 3 and 4.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        method: str | BatchMerger = "dynamic-tokenization",
        rows: str | VocabMap = "fvt",
        *,
        merges: int | tuple[int, int] | None = None,
        capacity: int = 5000,
        seed: int = 0,
    ) -> None:
        self.method = catalog.configured(method, BatchMerger, "DynamicCollator: method")
        maker = catalog.configured(rows, VocabMap, "DynamicCollator: rows")
        self.vocab = vocabulary(tokenizer)
        self.old = embeddings_of(model, self.vocab)
        self.cache = RowCache(maker, self.vocab, self.old, capacity)
        self._embedding = model.get_input_embeddings()
        self._generates = bool(model.can_generate()) and not model.config.is_encoder_decoder
        self._placed = self._generates and "position_ids" in signature(model.forward).parameters
        self._merges, self._draw = merges, random.Random(seed)  # noqa: S311 - no secret

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """A batch for the model."""
        merged = self.merge(features)
        return self.embed(merged) | self._others(features, merged)

    def merge(self, features: Sequence[Mapping[str, Any]]) -> MergedBatch:
        """The tokens of a batch; padding is left out."""
        texts = [_real(one, one["input_ids"]) for one in features]
        most = (
            self._draw.randint(*self._merges) if isinstance(self._merges, tuple) else self._merges
        )
        return self.method.merge(texts, self.vocab, most)

    @torch.no_grad()
    def embed(self, merged: MergedBatch) -> dict[str, Tensor]:
        """What the model is called with for a batch of tokens."""
        weight, known = self._embedding.weight, len(self.vocab)
        used = sorted({token for text in merged.sequences for token in text})
        new = self.cache([merged.tokens[token - known] for token in used if token >= known])
        old = torch.tensor([token for token in used if token < known], device=weight.device).long()
        table = torch.cat([weight[old], new.to(weight)])
        place = {token: row for row, token in enumerate(used)}
        ids = [[place[token] for token in text] for text in merged.sequences]
        mask = self._padded([[1] * len(text) for text in ids], 0).to(weight.device)
        found = functional_call(
            self._embedding, {"weight": table}, (self._padded(ids, 0).to(weight.device),)
        )
        made = {"inputs_embeds": found, "attention_mask": mask}
        if self._placed:
            made["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
        return made

    def _others(
        self, features: Sequence[Mapping[str, Any]], merged: MergedBatch
    ) -> dict[str, Tensor]:
        """What features have beside tokens."""
        made = {}
        for name in features[0] if features else ():
            if name in ("input_ids", "attention_mask"):
                continue
            values = [one[name] for one in features]
            if isinstance(values[0], Sequence) or bool(getattr(values[0], "ndim", False)):
                parts = [_real(one, value) for one, value in zip(features, values, strict=True)]
                follow = [
                    [part[start] for start in starts]
                    for part, starts in zip(parts, merged.starts, strict=True)
                ]
                made[name] = self._padded(follow, IGNORED if name == "labels" else 0)
            else:
                made[name] = torch.tensor(values)
        return {name: value.to(self._embedding.weight.device) for name, value in made.items()}

    def _padded(self, rows: Sequence[Sequence[int]], fill: int) -> Tensor:
        return padded(rows, fill, left=self._generates)[0]


def _real(feature: Mapping[str, Any], values: Any) -> list[int]:
    """Values of a feature's tokens but for padding."""
    mask = feature.get("attention_mask", [1] * len(values))
    return [int(value) for value, real in zip(values, mask, strict=True) if real]
