"""What a comparison finds, as plain data: nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tokenry.ops.resampling import Interval as Interval

UNTOUCHED = "none"
"""Label of the model without any method; always part of a comparison, at keep 1."""

Verdict = Literal["identical", "better", "worse", "not distinguishable"]
Speed = Literal["faster", "slower", "not distinguishable"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A further figure of each example, shown beside score and seconds.

    Attributes:
        name: Its name in `Row.costs` or `Row.scores`.
        title: Its name for people.
        unit: What it counts.
        of: The cost or score that it is made of, or "seconds"; its own name when empty.
        quantile: Which quantile over the examples it is; None for the mean.
        over: A second cost or score: the figure is the mean of `of` over the mean of this one.
        harmonic: A second cost or score: the figure is the harmonic mean of both means.
        span: Whether it has a bootstrap interval.
    """

    name: str
    title: str
    unit: Literal["seconds", "bytes", "number"]
    of: str = ""
    quantile: float | None = None
    over: str = ""
    harmonic: str = ""
    span: bool = False


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """What a task measures.

    Attributes:
        slug: Its name.
        title: Its name as a headline.
        metric: What one score is.
        binary: Whether a score is right (1) or wrong (0).
        higher_is_better: The direction of the score.
        explanation: What is done, in words.
        kind: Kind of the models that it is for.
        settings: What is named on every row, such as when the question comes.
        figures: What is shown beside score and seconds.
        dial: Whether methods are run at several keeps; else a method has one row, at keep 1.
        grid: Two conditions of the examples, by name, that the scores are shown by: down and
            across; none for no such table.
        weight: The secondary score that an example counts by in the mean; empty where all count
            alike. F1 is such a mean: of each record's own F1, by what was found and what is true.
    """

    slug: str
    title: str
    metric: str
    binary: bool
    higher_is_better: bool
    explanation: str
    kind: str = "vision"
    settings: dict[str, str] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()
    dial: bool = True
    grid: tuple[str, ...] = ()
    weight: str = ""


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """One method of a comparison, at whatever keep.

    Attributes:
        label: Its name in the results: the slug, and the settings that are not the defaults.
        cls: Name of its class.
        module: Where that is.
        settings: The settings that are not the defaults, besides `keep`: `margin=0.5`.
        listed: Whether the catalog finds the class under the card's slug.
        card: What is known of it; see `tokenry.card.Card`.
        stack: Of a stack its methods, whose settings name their keep; a stack has neither class
            nor settings of its own.
        dial: Whether it has the setting `keep`; one without acts at keep 1 too.
        contract: What kind of method it is, by the name of its contract.
    """

    label: str
    cls: str
    module: str
    settings: str
    listed: bool
    card: dict[str, Any]
    stack: tuple[MethodInfo, ...] = ()
    dial: bool = True
    contract: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One example under one configuration.

    Attributes:
        task: Slug of the task.
        method: Label of the method; "none" is the untouched model.
        keep: The dial.
        example: Name of the example.
        score: The task's score.
        scores: Secondary scores by name.
        seconds: Seconds per example: median over the repeats of its batch, over the batch's size.
        peak_bytes: Most bytes held at once by what one pass over a whole batch computes.
        tokens: Share of the tokens that was really processed; of a cache, held or read.
        batch: Number of the batch that it was timed in.
        costs: Further costs per example by name.
        settings: Settings of the task that it was measured under, by name.
    """

    task: str
    method: str
    keep: float
    example: str
    score: float
    scores: dict[str, float]
    seconds: float
    peak_bytes: int
    tokens: float
    batch: int
    costs: dict[str, float] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """One configuration on one task, against the untouched model on the same examples.

    Attributes:
        task: Slug of the task.
        method: Label of the method.
        keep: The dial.
        n: Number of examples.
        score: Mean score.
        difference: Mean of score minus the untouched model's score.
        p_value: McNemar's exact test for right/wrong scores; None for others.
        verdict: What the difference comes to.
        seconds: Geometric mean of the seconds per example.
        speedup: Geometric mean of the untouched model's seconds over these.
        faster: What the speedup comes to.
        peak_bytes: Most bytes held at once by what one pass computes.
        tokens: Share of the tokens that was really processed.
        flops: Floating-point operations per example.
        on_front: Whether no other configuration is shown to be as good on score and seconds and
            better on one of them.
        figures: The task's further figures by name: means, or quantiles over the examples.
        fronts: The same as `on_front` with each of the task's costs in bytes in the place of
            seconds, by name.
        spans: Those of the figures that have an interval, with it.
    """

    task: str
    method: str
    keep: float
    n: int
    score: Interval
    difference: Interval
    p_value: float | None
    verdict: Verdict
    seconds: Interval
    speedup: Interval
    faster: Speed
    peak_bytes: int
    tokens: float
    flops: float
    on_front: bool
    figures: dict[str, float] = field(default_factory=dict)
    fronts: dict[str, bool] = field(default_factory=dict)
    spans: dict[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the time of one configuration goes, seen in a pass of its own.

    Attributes:
        method: Label of the method.
        keep: The dial.
        layer_seconds: Seconds per example in each layer.
        tokens: Rows that entered attention and MLP of each layer; of a cache, slots that each
            layer holds, and that the last query read.
        flops: Floating-point operations per example.
        peak_bytes: Most bytes held at once by what one pass over a batch computes.
        other_seconds: Seconds per example outside the layers.
    """

    method: str
    keep: float
    layer_seconds: tuple[float, ...]
    tokens: tuple[tuple[int, int], ...]
    flops: float
    peak_bytes: int
    other_seconds: float


@dataclass(frozen=True, slots=True)
class Picture:
    """What became of the tokens of one example.

    Attributes:
        method: Label of the method.
        keep: The dial.
        example: Name of the example.
        label: Its label; empty when it has none.
        score: Its score on the task that was asked for.
        grid: Rows and columns of `groups`.
        groups: Of an image, for each patch the group it ended in, -1 when it was dropped; of a
            text, for each layer and token the share of key heads that hold the token, in percent;
            of a text that was written, who proposed each token (1 a draft) and in which pass; of a
            query, which tokens of two documents answer its tokens, as the task `search` says.
        thumbnail: The image as the model saw it, as WebP; or the text's tokens, as a JSON list;
            or those of a query and two documents.
    """

    method: str
    keep: float
    example: str
    label: str
    score: float
    grid: tuple[int, int]
    groups: NDArray[np.int16]
    thumbnail: bytes


@dataclass(frozen=True, slots=True)
class Skipped:
    """A configuration that could not run, and why."""

    method: str
    keep: float
    reason: str


@dataclass(frozen=True, slots=True)
class Best:
    """The fastest configuration that loses no more than was allowed.

    Attributes:
        method: Label of the method; "none" when no method qualifies.
        keep: The dial.
        summary: Its figures.
        confidence: In words: what is known of its loss and speed, and how surely.
        code: Lines that switch it on.
    """

    method: str
    keep: float
    summary: Summary
    confidence: str
    code: str

    @property
    def is_untouched(self) -> bool:
        """Whether no method qualifies, so that the model is best left as it is."""
        return self.method == UNTOUCHED
