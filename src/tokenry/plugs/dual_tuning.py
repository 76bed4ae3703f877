"""Train a dual encoder on records of a picture and a text, by any objective over the two views."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from tokenry.errors import UsageError
from tokenry.method import Batch, Objective
from tokenry.plugs.dual_encoder import DualEncoder, parameters
from tokenry.plugs.tuning import Tuned, descend, number, set_rate, share, training
from tokenry.plugs.tuning_examples import numbered
from tokenry.progress import stepping

Record = tuple[Any, str]
Records = Sequence[Record] | Callable[[int, random.Random], Record]
"""Pictures with their texts, or what gives record i as it is read this time."""


def tune_dual(
    encoder: DualEncoder,
    records: Records,
    method: Objective,
    batches: Iterable[Int[np.ndarray, " b"]],
    *,
    steps: int,
    labels: Sequence[int] | Int[np.ndarray, " n"] | None = None,
    rate: float = 5e-6,
    decay: float = 0.01,
    warm: float = 0.1,
    seed: int = 0,
    progress: bool | None = None,
) -> Tuned:
    """Train a dual encoder in place.

    AdamW with betas of 0.9 and 0.98; the learning rate rises over the share `warm` of the steps and
    falls to zero in a straight line. Without labels, records of a batch with equal texts are one
    group.

    Args:
        encoder: The encoder.
        records: Pictures with their texts, or a function of a number and what it may draw with.
        method: An objective over the views `picture` and `text`, such as `Clippings`.
        batches: The numbers of the records of each step; `tokenry.ops.class_batches` makes them.
        steps: Steps, at least one.
        labels: The class of each record.
        rate: Highest learning rate.
        decay: Weight decay.
        warm: Share of the steps in which the rate rises.
        seed: Of what records draw, and of dropout.
        progress: Show a bar; None shows one on a terminal.

    Raises:
        UsageError: If a number is out of range, or there are fewer batches than steps.
        TokenryError: If the loss is no number.
    """
    _check(steps, rate)
    read = records if callable(records) else _fixed(records)
    start, losses, draw = time.perf_counter(), [], random.Random(seed)  # noqa: S311 - augmentation
    weights = parameters(encoder)
    optimizer = torch.optim.AdamW(weights, lr=rate, betas=(0.9, 0.98), eps=1e-6, weight_decay=decay)
    with training(encoder.model, seed), stepping(steps, progress) as bar:
        for step, chosen in enumerate(islice(batches, steps)):
            set_rate(optimizer, rate * share(step, steps, warm))
            some = [read(int(i), draw) for i in chosen]
            own = None if labels is None else [int(labels[i]) for i in chosen]
            loss = _loss(encoder, method, some, own)
            losses.append(number("tune_dual", loss, step, rate))
            descend(encoder.model, loss, optimizer)
            bar.update()
            bar.set_postfix(loss=f"{losses[-1]:.3f}")
    if len(losses) < steps:
        raise UsageError(f"tune_dual: {len(losses)} batches for {steps} steps; give more.")
    seconds = time.perf_counter() - start
    return Tuned(method=method.describe(), losses=tuple(losses), seconds=seconds, folder=None)


def _check(steps: int, rate: float) -> None:
    if steps < 1 or not 0 < rate < math.inf:
        raise UsageError(
            f"tune_dual: steps={steps}, rate={rate}; steps are at least 1, the rate is positive."
        )


def _loss(
    encoder: DualEncoder, method: Objective, some: Sequence[Record], labels: list[int] | None
) -> torch.Tensor:
    pictures, texts = zip(*some, strict=True)
    vectors = {"picture": encoder.of_pictures(pictures), "text": encoder.of_texts(texts)}
    groups = torch.tensor(numbered(texts) if labels is None else labels)
    batch = Batch(vectors=vectors, groups=groups.to(vectors["text"].device))
    return method.loss(batch).total


def _fixed(records: Sequence[Record]) -> Callable[[int, random.Random], Record]:
    return lambda i, draw: records[i]
