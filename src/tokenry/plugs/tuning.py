"""Tune a text encoder on pairs of texts by any objective, into a folder that others load."""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from tokenry import catalog
from tokenry.errors import TokenryError, UsageError
from tokenry.method import Batch, PairObjective
from tokenry.plugs.text_encoder import sentence_transformers

Pair = str | tuple[str, str]

_CLIP = 1.0  # most length of the gradient


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuned:
    """What a tuning came to.

    Attributes:
        method: The objective.
        losses: The loss of each step.
        seconds: How long it took.
        folder: Where the encoder was saved; None where it was not.
    """

    method: str
    losses: tuple[float, ...]
    seconds: float
    folder: Path | None

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
    out: str | Path | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Tuned:
    """Train an encoder in place so that the two texts of a pair find each other.

    AdamW; the learning rate rises over the share `warm` of the steps and falls to zero in a
    straight line. Both texts are read in training mode, so that dropout makes two views even of
    equal texts. Every pair comes once before any comes again.

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
            that share a text.
        out: Folder to save the encoder in; new, or empty.
        seed: Of the order of pairs, what the objective draws, and dropout.
        progress: Show a bar; None shows one on a terminal.

    Raises:
        UsageError: If a number is out of range, pairs are too few, the objective does not fit the
            encoder, or the folder holds something.
        UnknownNameError: If no method has this name.
        TokenryError: If the loss is no number.
    """
    rule = _objective(method, encoder)
    texts = [(one, one) if isinstance(one, str) else one for one in pairs]
    folder = _checked(len(texts), steps, batch_size, rate, groups, out)
    start, losses, draw = time.perf_counter(), [], random.Random(seed)  # noqa: S311 - an order
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=rate, weight_decay=decay)
    with (
        _training(encoder, seed),
        tqdm(total=steps, unit="step", leave=False, disable=_hidden(progress)) as bar,
    ):
        for step, chosen in enumerate(islice(_order(len(texts), batch_size, draw), steps)):
            for group in optimizer.param_groups:
                group["lr"] = rate * _share(step, steps, warm)
            read = [rule.pair(*texts[i], draw) for i in chosen]
            same = [texts[i] for i in chosen] if groups is None else [groups[i] for i in chosen]
            losses.append(_step(encoder, rule, read, _numbers(same, groups is None), optimizer))
            if not math.isfinite(losses[-1]):
                raise TokenryError(
                    f"tune: the loss of step {step + 1} is {losses[-1]}; take a smaller rate than "
                    f"{rate}."
                )
            bar.update()
            bar.set_postfix(loss=f"{losses[-1]:.3f}")
    if folder is not None:
        _save(encoder, folder)
    return Tuned(
        method=rule.describe(),
        losses=tuple(losses),
        seconds=time.perf_counter() - start,
        folder=folder,
    )


def _step(
    encoder: Any,
    rule: PairObjective,
    read: list[tuple[str, str]],
    groups: Tensor,
    optimizer: torch.optim.Optimizer,
) -> float:
    vectors, real = {}, {}
    for side, name, task in ((0, "left", "query"), (1, "right", "document")):
        found = _vectors(encoder, [pair[side] for pair in read], rule.tokens, task)
        vectors[name], real[name] = found
    batch = Batch(
        vectors=vectors, real=real if rule.tokens else {}, groups=groups.to(encoder.device)
    )
    loss = rule.loss(batch).total
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(encoder.parameters(), _CLIP)
    optimizer.step()
    return float(loss.detach())


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


def _order(count: int, batch_size: int, draw: random.Random) -> Iterator[list[int]]:
    """Rows of each step, no row twice in one; what is left over of a round is skipped."""
    while True:
        order = draw.sample(range(count), count)
        for start in range(0, count - batch_size + 1, batch_size):
            yield order[start : start + batch_size]


def _numbers(same: list[Any], pairs: bool) -> Tensor:
    """A number for each group; of pairs, those that share a text are one group."""
    root = list(range(len(same)))
    seen: dict[Any, int] = {}
    for i, one in enumerate(same):
        for text in one if pairs else (one,):
            first = root[seen.setdefault(text, i)]
            mine = root[i]
            root = [first if r == mine else r for r in root]
    return torch.tensor(root)


def _share(step: int, steps: int, warm: float) -> float:
    rise = max(1, round(warm * steps))
    return min((step + 1) / rise, (steps - step) / max(steps - rise, 1))


@contextmanager
def _training(encoder: Any, seed: int) -> Iterator[None]:
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


def _objective(method: str | PairObjective, encoder: Any) -> PairObjective:
    rule = catalog.make(method) if isinstance(method, str) else method
    if not isinstance(rule, PairObjective):
        raise UsageError(
            f"tune: {type(rule).__name__} is no objective over pairs of texts; `in-batch` is one."
        )
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
    groups: Sequence[Hashable] | None,
    out: str | Path | None,
) -> Path | None:
    if steps < 1 or batch_size < 2 or not 0 < rate < math.inf:
        raise UsageError(
            f"tune: steps={steps}, batch_size={batch_size}, rate={rate}; steps are at least 1, the "
            "batch is at least 2, and the rate is positive."
        )
    if count < batch_size:
        raise UsageError(
            f"tune: {count} pairs fill no batch of {batch_size}; give more, or a smaller "
            "batch_size."
        )
    if groups is not None and len(groups) != count:
        raise UsageError(f"tune: {len(groups)} groups for {count} pairs; give one for each.")
    folder = None if out is None else Path(out)
    if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"tune: {folder} holds something; give a new folder.")
    return folder


def _save(encoder: Any, folder: Path) -> None:
    """All of it, or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
        encoder.save_pretrained(str(Path(fresh) / "encoder"), create_model_card=False)
        (Path(fresh) / "encoder").replace(folder)


def _hidden(progress: bool | None) -> bool | None:
    return None if progress is None else not progress
