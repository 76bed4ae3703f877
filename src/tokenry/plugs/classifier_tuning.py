"""Train a classifier of sequences on texts or pairs of texts with a label each."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tokenry import zoo
from tokenry.errors import UsageError
from tokenry.ops.batches import rounds
from tokenry.plugs.device import device_of
from tokenry.plugs.fresh_folder import fresh_folder, whole
from tokenry.plugs.text_classifier import TextClassifier
from tokenry.plugs.tuning import Tuned, descend, number, set_rate, share, training
from tokenry.plugs.tuning_examples import Best
from tokenry.progress import stepping
from tokenry.zoo.loading import explained


def fresh_classifier(
    source: Any, labels: Sequence[str], *, device: str | None = None, seed: int = 0
) -> TextClassifier:
    """A classifier with these labels on top of any text model; its head starts at random.

    A head of as many labels that the model has already is the start, where there is one.

    Args:
        source: `zoo:NAME`, a folder, or a name on the Hub; safetensors only.
        labels: Names of the labels, at least two.
        device: Where it runs.
        seed: Of the head.

    Raises:
        UsageError: If there are fewer than two labels, or the model cannot be loaded.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    if len(set(labels)) < max(2, len(labels)):
        raise UsageError(f"a classifier has two labels or more, none twice; got {labels!r}.")
    name, place = str(source), device_of(device)
    folder = str(zoo.folder(name)) if name.startswith("zoo:") else name
    named = dict(enumerate(labels))
    settings = {"id2label": named, "label2id": {label: i for i, label in named.items()}}
    with explained(name), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = AutoConfig.from_pretrained(folder, num_labels=len(labels), **settings)
        config.problem_type = "single_label_classification"
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, config=config, use_safetensors=True, ignore_mismatched_sizes=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder)
    return TextClassifier(model if place is None else model.to(place), tokenizer)


def tune_head(
    classifier: TextClassifier,
    texts: Sequence[tuple[str, str | None]],
    labels: Sequence[int],
    *,
    steps: int,
    batch_size: int = 32,
    rate: float = 2e-5,
    decay: float = 0.01,
    balanced: bool = False,
    watch: Callable[[], float] | None = None,
    out: str | PathLike[str] | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Tuned:
    """Train a classifier in place, by the cross-entropy of its labels.

    AdamW; the learning rate rises over a tenth of the steps and falls to zero in a straight line.

    Args:
        classifier: The classifier.
        texts: Texts, each with what is read beside it, or None.
        labels: The number of the label of each.
        steps: Steps, at least one.
        batch_size: Texts of a step.
        rate: Highest learning rate.
        decay: Weight decay.
        balanced: Let all labels weigh the same, however rare.
        watch: Says how good it is now, higher is better; the best weights of four looks are kept.
        out: Folder to save it in; new, or empty.
        seed: Of the order, and of dropout.
        progress: Show a bar; None shows one on a terminal.

    Raises:
        UsageError: If a number is out of range, texts are too few, or the folder holds something.
        TokenryError: If the loss is no number.
    """
    folder = _checked(len(texts), steps, batch_size, rate, out)
    start, losses, draw = time.perf_counter(), [], random.Random(seed)  # noqa: S311 - an order
    model = classifier.model
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    loss_of = nn.CrossEntropyLoss(weight=_weights(labels, len(classifier.labels), balanced, model))
    best = Best(model, watch, steps, looks=4)
    with training(model, seed), stepping(steps, progress) as bar:
        for step, chosen in enumerate(islice(rounds(len(texts), batch_size, draw), steps)):
            set_rate(optimizer, rate * share(step, steps, 0.1))
            some, wanted = [texts[i] for i in chosen], [labels[i] for i in chosen]
            logits = classifier.logits(*_sides(some))
            loss = loss_of(logits, torch.tensor(wanted, device=logits.device))
            losses.append(number("tune_classifier", loss, step, rate))
            descend(model, loss, optimizer)
            best.look(step + 1)
            bar.update()
    best.restore()
    _save(classifier, folder)
    seconds = time.perf_counter() - start
    return Tuned("cross-entropy", tuple(losses), seconds, folder, best.seen)


def _sides(some: Sequence[tuple[str, str | None]]) -> tuple[list[str], list[str] | None]:
    beside = [other or "" for _, other in some]
    return [one for one, _ in some], None if some[0][1] is None else beside


def _weights(
    labels: Sequence[int], count: int, balanced: bool, model: nn.Module
) -> torch.Tensor | None:
    if not balanced:
        return None
    sizes = torch.bincount(torch.tensor(labels), minlength=count).clamp(min=1)
    return (len(labels) / (count * sizes)).to(next(model.parameters()).device)


def _checked(
    count: int, steps: int, batch_size: int, rate: float, out: str | PathLike[str] | None
) -> Path | None:
    if steps < 1 or not 1 <= batch_size <= count or not 0 < rate < math.inf:
        raise UsageError(
            f"tune_classifier: steps={steps}, batch_size={batch_size}, rate={rate} for {count} "
            "texts; take one step at least, a batch that the texts fill, and a positive rate."
        )
    return None if out is None else fresh_folder("tune_classifier", out)


def _save(classifier: TextClassifier, folder: Path | None) -> None:
    if folder is None:
        return
    with whole(folder) as place:
        zoo.save(place, classifier.model, classifier.tokenizer)
