"""Tune a text encoder on pairs of texts by any objective, into a folder that others load."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tokenry import catalog, zoo
from tokenry.errors import TokenryError, UsageError
from tokenry.method import Batch, PairObjective
from tokenry.plugs.dropped_heads import dropped_heads
from tokenry.plugs.fresh_folder import fresh_folder, whole
from tokenry.plugs.text_encoder import sentence_transformers
from tokenry.plugs.tuning_examples import Best, Examples, Pair, examples, of_pairs
from tokenry.progress import stepping

_CLIP = 1.0  # most length of the gradient


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a tuning came to.

    Attributes:
        method: The objective.
        losses: The loss of each step.
        seconds: How long it took.
        folder: Where the encoder was saved; None where it was not.
        watched: The steps after which `watch` looked, and what it said; 0 is before the first.
    """

    method: str
    losses: tuple[float, ...]
    seconds: float
    folder: Path | None
    watched: tuple[tuple[int, float], ...] = ()

    def __str__(self) -> str:
        tenth = max(1, len(self.losses) // 10)
        first, last = (sum(part) / tenth for part in (self.losses[:tenth], self.losses[-tenth:]))
        where = f"\nEncoder: {self.folder}" if self.folder else ""
        return (
            f"{self.method}: {len(self.losses)} steps in {self.seconds:.0f} s, "
            f"loss {first:.3f} at first and {last:.3f} at last{where}"
        )


def tune(
    encoder: Any,
    pairs: Sequence[Pair],
    method: str | PairObjective = "in-batch",
    *,
    steps: int,
    batch_size: int = 32,
    rate: float = 2e-5,
    decay: float = 0.01,
    warm: float = 0.1,
    groups: Sequence[Hashable] | None = None,
    labels: Sequence[bool] | None = None,
    per_group: int = 2,
    watch: Callable[[], float] | None = None,
    looks: int = 4,
    out: str | PathLike[str] | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Tuned:
    """Train an encoder in place so that the two texts of a pair find each other.

    AdamW; the learning rate rises over the share `warm` of the steps and falls to zero in a
    straight line. Both texts are read in training mode, so that dropout, or the heads that the
    objective drops in its place, make two views even of equal texts. Every pair comes once before
    any comes again.

    Args:
        encoder: A `SentenceTransformer`, or a `MultiVectorEncoder` where the objective reads
            tokens; `tokenry.plugs.text_encoder` builds both.
        pairs: Pairs of texts, or single texts, which are paired with themselves.
        method: Name of an objective, with settings as in `mirror-bert(temperature=0.2)`, or a
            configured instance.
        steps: Steps, at least one.
        batch_size: Pairs of a step, at least two.
        rate: Highest learning rate.
        decay: Weight decay.
        warm: Share of the steps in which the rate rises.
        groups: Of each pair; pairs of one group are not told from each other. By default those
            that share a text, directly or through others.
        labels: Whether the two texts of each pair are the same, for an objective that asks.
        per_group: Texts of one group that meet in a batch, for an objective over single texts.
        watch: Says how good the encoder is now, higher is better; the best weights are kept, those
            from before the first step included.
        looks: How often it is asked, evenly spread over the steps.
        out: Folder to save the encoder in; new, or empty.
        seed: Of the order of pairs, what the objective draws, and dropout.
        progress: Show a bar; None shows one on a terminal.

    Raises:
        UsageError: If a number is out of range, pairs are too few, the objective does not fit the
            encoder, or the folder holds something.
        UnknownNameError: If no method has this name.
        UnsupportedModelError: If the objective drops heads, and the encoder's are not known.
        TokenryError: If the loss is no number.
    """
    rule = _objective(method, encoder)
    data = examples(rule, pairs, groups, labels)
    folder = _checked(len(data.texts), steps, batch_size, rate, looks, out)
    start, losses, draw = time.perf_counter(), [], random.Random(seed)  # noqa: S311 - an order
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=rate, weight_decay=decay)
    best = Best(encoder, watch, steps, looks)
    with (
        _training_by(rule, encoder, seed),
        stepping(steps, progress) as bar,
    ):
        for step, chosen in enumerate(islice(data.batches(batch_size, per_group, draw), steps)):
            set_rate(optimizer, rate * share(step, steps, warm))
            loss = _loss(encoder, rule, data, chosen, draw)
            losses.append(number("tune", loss, step, rate))
            descend(encoder, loss, optimizer)
            best.look(step + 1)
            bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
            bar.update()
    best.restore()
    _save(encoder, folder)
    return Tuned(rule.describe(), tuple(losses), time.perf_counter() - start, folder, best.seen)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Change the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def number(who: str, loss: Tensor, step: int, rate: float) -> float:
    """The loss of a step.

    Raises:
        TokenryError: If it is no number.
    """
    found = float(loss.detach())
    if not math.isfinite(found):
        raise TokenryError(
            f"{who}: the loss of step {step + 1} is {found}; take a smaller rate than {rate}."
        )
    return found


def descend(model: nn.Module, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """One step down a loss, with a gradient of length one at most."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
    optimizer.step()


def _loss(
    encoder: Any, rule: PairObjective, data: Examples, chosen: list[int], draw: random.Random
) -> Tensor:
    read = [rule.pair(*data.texts[i], draw) for i in chosen]
    sides = (("left", "query"),) if rule.alone else (("left", "query"), ("right", "document"))
    vectors, real = {}, {}
    for side, (name, task) in enumerate(sides):
        found = _vectors(encoder, [pair[side] for pair in read], rule.tokens, task)
        vectors[name], real[name] = found
    of = data.groups
    groups = of_pairs([data.texts[i] for i in chosen]) if of is None else [of[i] for i in chosen]
    marks = data.labels
    labels = {} if marks is None else {"same": torch.tensor([int(marks[i]) for i in chosen])}
    batch = Batch(
        vectors=vectors,
        real=real if rule.tokens else {},
        labels={name: one.to(encoder.device) for name, one in labels.items()},
        groups=torch.tensor(groups).to(encoder.device),
    )
    return rule.loss(batch).total


def _vectors(encoder: Any, texts: list[str], tokens: bool, task: str) -> tuple[Tensor, Tensor]:
    given = {"task": task} if tokens else {}
    features = encoder.preprocess(texts, **given)
    features = {
        name: value.to(encoder.device) if isinstance(value, Tensor) else value
        for name, value in features.items()
    }
    made = encoder(features, **given)
    vectors = made["token_embeddings" if tokens else "sentence_embedding"]
    return vectors, made["attention_mask"].bool()


def share(step: int, steps: int, warm: float) -> float:
    """The learning rate of a step as a share of the highest."""
    rise = max(1, round(warm * steps))
    return min((step + 1) / rise, (steps - step) / max(steps - rise, 1))


@contextmanager
def training(encoder: Any, seed: int) -> Iterator[None]:
    """Training mode under a seed of its own; afterwards all but the weights is as before."""
    before = encoder.training
    encoder.train()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        encoder.train(before)
        for weight in encoder.parameters():
            weight.grad = None


@contextmanager
def _training_by(rule: PairObjective, encoder: Any, seed: int) -> Iterator[None]:
    with training(encoder, seed), dropped_heads(encoder, rule.heads_dropped):
        yield


def _objective(method: str | PairObjective, encoder: Any) -> PairObjective:
    rule = catalog.configured(method, PairObjective, "tune")
    parts = sentence_transformers()
    wanted = parts.MultiVectorEncoder if rule.tokens else parts.SentenceTransformer
    if not isinstance(encoder, wanted):
        raise UsageError(
            f"tune: {type(rule).__name__} trains a {wanted.__name__}, got "
            f"{type(encoder).__name__}; text_encoder(source, tokens={rule.tokens}) builds one."
        )
    return rule


def _checked(
    count: int,
    steps: int,
    batch_size: int,
    rate: float,
    looks: int,
    out: str | PathLike[str] | None,
) -> Path | None:
    if steps < 1 or batch_size < 2 or not 0 < rate < math.inf or looks < 1:
        raise UsageError(
            f"tune: steps={steps}, batch_size={batch_size}, rate={rate}, looks={looks}; steps and "
            "looks are at least 1, the batch is at least 2, and the rate is positive."
        )
    if count < batch_size:
        raise UsageError(
            f"tune: {count} pairs fill no batch of {batch_size}; give more, or a smaller "
            "batch_size."
        )
    return None if out is None else fresh_folder("tune", out)


def _save(encoder: Any, folder: Path | None) -> None:
    if folder is not None:
        with whole(folder) as place:
            zoo.save(place, encoder, create_model_card=False)
