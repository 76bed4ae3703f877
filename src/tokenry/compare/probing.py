"""The verb `probe`: what a model does with its tokens, measured on texts with exact answers."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import nn
from tqdm import tqdm

from tokenry import catalog, zoo
from tokenry.compare.records import Interval
from tokenry.compare.results import frame_backend
from tokenry.compare.stats import LEVEL, RESAMPLES
from tokenry.compare.subject import shown, undisturbed
from tokenry.errors import UsageError
from tokenry.method import Condition, Item, Measurement, Probe
from tokenry.plugs.scoring import Reader


@dataclass(frozen=True, slots=True)
class Group:
    """The scores of all items with the same conditions.

    Attributes:
        conditions: What these items have in common, by name.
        n: How many there are.
        score: Their mean or median, with its bootstrap interval over items.
    """

    conditions: Mapping[str, Condition]
    n: int
    score: Interval


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe found in a model.

    Attributes:
        model: Name of the model.
        probe: The probe, with its settings.
        seed: Of the items and of the resampling.
        measurement: One score per item, and figures over all items.
        left_out: Items that are longer than the model's positions.
        query_aware: Whether context and question were read in one pass.
        bos: Whether the beginning-of-text token stood in front.
    """

    model: str
    probe: str
    seed: int
    measurement: Measurement
    left_out: int
    query_aware: bool
    bos: bool

    def summary(self, by: Sequence[str] | None = None) -> tuple[Group, ...]:
        """The scores in groups of equal conditions, in the order in which they first occur.

        Args:
            by: Names of conditions; None takes those that the probe itself groups by.

        Raises:
            UsageError: If no item has such a condition.
        """
        names = self.measurement.by if by is None else tuple(by)
        groups: dict[tuple[Condition, ...], list[float]] = {}
        for score in self.measurement.scores:
            for name in names:
                if name not in score.conditions:
                    raise UsageError(
                        f"summary: by={name!r} is no condition of {self.probe}; there are "
                        f"{', '.join(score.conditions)}."
                    )
            key = tuple(score.conditions[name] for name in names)
            groups.setdefault(key, []).append(score.value)
        statistic = self.measurement.statistic
        return tuple(
            Group(
                dict(zip(names, key, strict=True)),
                len(values),
                interval(np.array(values), statistic, self.seed),
            )
            for key, values in groups.items()
        )

    def to_frame(self, backend: Literal["pandas", "polars"] | None = None) -> Any:
        """One row per item as a data frame, each condition and secondary score a column.

        Args:
            backend: Which library's; None takes the one that is installed, pandas first.

        Raises:
            MissingExtraError: If it is not installed.
            UsageError: If `backend` is something else.
        """
        import narwhals

        scores = self.measurement.scores
        columns: dict[str, list[Any]] = {"item": [score.item for score in scores]}
        for name in dict.fromkeys(name for score in scores for name in score.conditions):
            columns[name] = [score.conditions.get(name) for score in scores]
        columns["score"] = [score.value for score in scores]
        for name in dict.fromkeys(name for score in scores for name in score.more):
            columns[name] = [score.more.get(name) for score in scores]
        return narwhals.from_dict(columns, backend=frame_backend(backend)).to_native()

    def to_dict(self) -> dict[str, Any]:
        """Everything but the single scores, as plain data."""
        return {
            "model": self.model,
            "probe": self.probe,
            "seed": self.seed,
            "query_aware": self.query_aware,
            "bos": self.bos,
            "metric": self.measurement.metric,
            "statistic": self.measurement.statistic,
            "items": len(self.measurement.scores),
            "left_out": self.left_out,
            "groups": [
                {
                    **group.conditions,
                    "n": group.n,
                    "value": group.score.value,
                    "low": group.score.low,
                    "high": group.score.high,
                }
                for group in self.summary()
            ],
            "findings": dict(self.measurement.findings),
        }

    def __str__(self) -> str:
        names = self.measurement.by
        what = f"{self.measurement.statistic} {self.measurement.metric}"
        rows = [[*names, "n", what, "95 % interval"]]
        for group in self.summary():
            value = group.score
            cells = [str(group.conditions[name]) for name in names]
            bounds = f"{value.low:.4g} to {value.high:.4g}"
            rows.append([*cells, str(group.n), f"{value.value:.4g}", bounds])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"{self.probe} of {self.model}"]
        lines += [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        ]
        lines += [f"{name}: {value:.4g}" for name, value in self.measurement.findings.items()]
        if self.left_out:
            lines.append(f"{self.left_out} items are longer than the model takes, and left out")
        return "\n".join(lines)


def probe(
    model: Any,
    probe: str | Probe,
    *,
    tokenizer: Any = None,
    seed: int = 0,
    limit: int | None = None,
    batch_size: int = 4,
    query_aware: bool = False,
    bos: bool = False,
    device: str | torch.device | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> Probed:
    """Put the texts of a probe to a causal language model and measure its responses.

    Under `tokenry.attach`, the model is measured with what is attached to it. A cache policy then
    cuts what stands before the question (or the second list) without having seen that.

    Args:
        model: A name for `tokenry.zoo.load`, a `zoo.Loaded`, or a model that transformers loaded.
        probe: Name of a probe, alone or with settings as in "verbatim-memory(lengths=(3, 10))",
            or a configured instance.
        tokenizer: The model's; needed only when it was not loaded by name.
        seed: Of the items and of the resampling.
        limit: At most so many items, drawn by the seed.
        batch_size: Texts in a pass.
        query_aware: Read context and question in one pass, so that a cache policy sees both.
        bos: Put the beginning-of-text token in front of each text.
        device: Where to run; None stays where the model is.
        progress: Show a bar; None shows one on a terminal.
        **settings: Settings of the probe, when it is given by name.

    Returns:
        The scores, their groups with intervals, and a table of them as a string.

    Raises:
        UnknownNameError: If no probe or setting has this name.
        UsageError: If an argument is out of range, or no item fits into the model's positions.
    """
    for name, value in (("limit", limit), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise UsageError(f"probe: {name}={value} is not positive; give at least 1.")
    one = _configured(probe, settings)
    loaded, name = _found(model, tokenizer)
    reader = Reader(
        model=loaded.model,
        tokenizer=loaded.processor,
        batch_size=batch_size,
        bos=bos,
        in_parts=not query_aware,
    )
    items = one.items(seed)
    if limit is not None and limit < len(items):
        items = _sample(items, limit, seed)
    order = _fitting(items, reader, f"{one.describe()} on {name}")
    home = next(loaded.model.parameters()).device
    with undisturbed(loaded.model, home if device is None else torch.device(device)):
        found = reader.respond([items[i] for i in order])
        hidden = None if progress is None else not progress
        bar = tqdm(found, total=len(order), unit="item", delay=2, leave=False, disable=hidden)
        responses = dict(zip(order, bar, strict=True))
    kept = sorted(order)
    measured = one.measure([items[i] for i in kept], [responses[i] for i in kept])
    left_out = len(items) - len(kept)
    return Probed(name, one.describe(), seed, measured, left_out, query_aware, bos)


def interval(
    values: NDArray[np.float64], statistic: Literal["mean", "median"], seed: int
) -> Interval:
    """The mean or median with its percentile bootstrap interval; of one value, that value."""
    function = np.mean if statistic == "mean" else np.median
    value = float(function(values))
    if len(values) == 1 or np.ptp(values) == 0:
        return Interval(value, value, value)
    found = stats.bootstrap(
        (values,),
        function,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(value, min(float(found.low), value), max(float(found.high), value))


def _sample(items: Sequence[Item], limit: int, seed: int) -> list[Item]:
    chosen = random.Random(seed).sample(range(len(items)), limit)  # noqa: S311 - no secret
    return [items[i] for i in sorted(chosen)]


def _fitting(items: Sequence[Item], reader: Reader, what: str) -> list[int]:
    """Which items the model takes, shortest first: neighbours of one length need no padding."""
    most = reader.positions
    sizes = sorted((reader.room(item), i) for i, item in enumerate(items))
    order = [i for size, i in sizes if most is None or size <= most]
    if not order:
        raise UsageError(
            f"probe: {what}: the shortest item takes {sizes[0][0]} tokens, and the model has "
            f"{most} positions; ask for shorter ones."
        )
    return order


def _configured(given: str | Probe, settings: Mapping[str, Any]) -> Probe:
    if isinstance(given, str):
        one: Any = catalog.make(given, **settings)
    elif settings:
        raise UsageError(
            f"probe: {given!r} is configured already; set {', '.join(settings)} on it instead."
        )
    else:
        one = given
    if not isinstance(one, Probe):
        raise UsageError(
            f"probe: {type(one).__name__} is no probe; allowed: "
            f"{', '.join(catalog.names('probes'))}."
        )
    return one


def _found(model: Any, tokenizer: Any) -> tuple[zoo.Loaded, str]:
    """The model with its tokenizer, and its name."""
    if isinstance(model, str | Path):
        loaded = zoo.load(model, kind="causal-lm")
        return zoo.Loaded(loaded.model, tokenizer or loaded.processor), shown(str(model))
    if isinstance(model, zoo.Loaded):
        source = str(getattr(model.model, "name_or_path", ""))
        kept = zoo.Loaded(model.model, tokenizer or model.processor)
        return kept, shown(source) or type(model.model).__name__
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"probe: model is a {type(model).__name__}; give a name such as 'zoo:smollm2-135m', "
            "a folder, or a loaded model."
        )
    source = str(getattr(model, "name_or_path", ""))
    if tokenizer is None:
        tokenizer = _tokenizer(model, source)
    anything: Any = model  # a model of one's own need not be transformers'
    return zoo.Loaded(anything, tokenizer), shown(source) or type(model).__name__


def _tokenizer(model: nn.Module, source: str) -> Any:
    from transformers import AutoTokenizer

    problem: Exception | str = "it was not loaded by name"
    if source:
        try:
            return AutoTokenizer.from_pretrained(source)
        except (OSError, ValueError) as error:
            problem = error
    raise UsageError(
        f"probe: {type(model).__name__} has no known tokenizer ({problem}); give tokenizer=."
    )
