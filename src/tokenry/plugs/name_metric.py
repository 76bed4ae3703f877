"""An encoder of names over their characters, trained on a log of aliases."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tokenry.errors import UsageError
from tokenry.ops.alias_graph import AliasCounts
from tokenry.ops.batches import rounds
from tokenry.ops.name_match import balanced, distances, match_divergence
from tokenry.plugs.text_encoder import text_encoder
from tokenry.plugs.tuning import descend, number, set_rate, share, training
from tokenry.progress import stepping

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_START = (2.0, 4.0)  # b_0 and b_1: half where the distance is one half


@dataclass(frozen=True, kw_only=True, slots=True)
class NameTraining:
    """What training on a log of aliases came to.

    Attributes:
        losses: The divergence of each step.
        bias: b_0 of the probability of a match, sigmoid(b_0 - b_1 d).
        slope: b_1 of it.
        seconds: How long it took.
    """

    losses: tuple[float, ...]
    bias: float
    slope: float
    seconds: float


def name_encoder(
    names: Sequence[str],
    *,
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    longest: int = 40,
    characters: int = 2000,
    seed: int = 0,
) -> Any:
    """A small transformer over characters, with random weights; texts become vectors.

    Args:
        names: What its characters are taken from, in lower case.
        width: Of the vectors.
        layers: Of the transformer.
        heads: Of attention.
        longest: Characters that are read, at most.
        characters: The most frequent so many are known; others are all read as one.
        seed: Of the weights.

    Returns:
        A `SentenceTransformer`, which `tokenry.link` takes as its `encoder`; `save_pretrained`
        writes it to a folder.

    Raises:
        MissingExtraError: If sentence-transformers is not installed.
        UsageError: If there are no names.
    """
    from transformers import BertConfig, BertModel

    known = Counter("".join(names).lower())
    if not known:
        raise UsageError("name_encoder: there are no names; give those of the log.")
    order = [one for one, _ in sorted(known.items(), key=lambda item: (-item[1], item[0]))]
    vocabulary = {token: at for at, token in enumerate([*_SPECIAL, *order[:characters]])}
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=2 * width,
        max_position_embeddings=longest + 2,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(config)
    return text_encoder((model, _by_character(vocabulary)), longest=longest + 2)


def _by_character(vocabulary: dict[str, int]) -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    split = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106 - no secret
    split.normalizer = normalizers.Lowercase()
    split.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    split.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=split,
        pad_token="[PAD]",  # noqa: S106 - no secret
        unk_token="[UNK]",  # noqa: S106
        cls_token="[CLS]",  # noqa: S106
        sep_token="[SEP]",  # noqa: S106
    )


def train_names(
    encoder: Any,
    aliases: Sequence[str],
    ids: Sequence[Hashable],
    counts: Sequence[float | int] | None = None,
    *,
    steps: int,
    batch_size: int = 128,
    rate: float = 1e-3,
    seed: int = 0,
    progress: bool | None = None,
) -> NameTraining:
    """Train an encoder in place so that near names are those that people pick the same id for.

    The probability that two names match, `sigmoid(b_0 - b_1 d)`, is drawn to the probability that
    two people who type them pick the same id, with pairs that match, random ones and hard ones in
    equal number.

    Args:
        encoder: Of `name_encoder`, or any `SentenceTransformer`.
        aliases: Of each entry of the log.
        ids: What was picked in each entry.
        counts: How often each entry came; once by default.
        steps: Steps, at least one.
        batch_size: Pairs of names of one id in a step.
        rate: Highest learning rate.
        seed: Of what is drawn.
        progress: Show a bar; None shows one on a terminal.

    Raises:
        UsageError: If steps or batch are too small, or fewer ids than a batch have two aliases.
        TokenryError: If the loss is no number.

    Source: Libgober and Jerzak 2025, section 3; the form of the loss is ours.
    """
    log = AliasCounts.of(aliases, ids, counts)
    pairs = _Pairs(log, seed)
    if steps < 1 or not 2 <= batch_size <= len(pairs.named):
        raise UsageError(
            f"train_names: steps={steps}, batch_size={batch_size}; steps are at least 1, and a "
            f"batch is between 2 and the {len(pairs.named)} ids of the log that have two aliases."
        )
    start, losses = time.perf_counter(), []
    line = nn.Parameter(torch.tensor(_START, device=encoder.device))
    optimizer = torch.optim.AdamW([*encoder.parameters(), line], lr=rate, weight_decay=0.01)
    order = rounds(len(pairs.named), batch_size, random.Random(seed))  # noqa: S311 - an order
    with training(encoder, seed), stepping(steps, progress) as bar:
        for step, chosen in enumerate(islice(order, steps)):
            set_rate(optimizer, rate * share(step, steps, 0.05))
            loss = _loss(encoder, pairs, chosen, line)
            losses.append(number("train_names", loss, step, rate))
            descend(encoder, loss, optimizer)
            bar.update()
    bias, slope = line.tolist()
    seconds = time.perf_counter() - start
    return NameTraining(losses=tuple(losses), bias=bias, slope=slope, seconds=seconds)


class _Pairs:
    """Draws two aliases of an id, each as often as it was typed."""

    def __init__(self, log: AliasCounts, seed: int) -> None:
        self.aliases, self.shares = log.aliases, log.shares()
        self.columns = log.counts.tocsc()
        self.named = np.flatnonzero(np.diff(self.columns.indptr) > 1)
        self.random = np.random.default_rng(seed)

    def draw(self, chosen: Sequence[int]) -> tuple[list[int], list[int]]:
        one, other = [], []
        for column in self.named[list(chosen)]:
            part = slice(*self.columns.indptr[column : column + 2])
            # The root lets rare names be seen too.
            weights = np.sqrt(self.columns.data[part])
            both = self.random.choice(
                self.columns.indices[part], 2, replace=False, p=weights / weights.sum()
            )
            one.append(int(both[0]))
            other.append(int(both[1]))
        return one, other

    def match(self, one: Sequence[int], other: Sequence[int]) -> Tensor:
        table = (self.shares[list(one)] @ self.shares[list(other)].T).toarray()
        return torch.tensor(table, dtype=torch.float32).clamp(0, 1)


def _loss(encoder: Any, pairs: _Pairs, chosen: Sequence[int], line: Tensor) -> Tensor:
    one, other = pairs.draw(chosen)
    vectors = _vectors(encoder, [pairs.aliases[a] for a in (*one, *other)])
    far = distances(vectors[: len(one)], vectors[len(one) :])
    match = pairs.match(one, other).to(far.device)
    rows, columns = balanced(far, match)
    return match_divergence(far[rows, columns], match[rows, columns], line[0], line[1])


def _vectors(encoder: Any, texts: list[str]) -> Tensor:
    features = {
        name: value.to(encoder.device) if isinstance(value, Tensor) else value
        for name, value in encoder.preprocess(texts).items()
    }
    vectors: Tensor = encoder(features)["sentence_embedding"]
    return vectors
