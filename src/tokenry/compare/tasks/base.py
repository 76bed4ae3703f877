"""What a task is: what the model is given, what is timed, and how an example is scored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from tokenry.compare.records import Figure, TaskInfo
from tokenry.errors import UsageError
from tokenry.plugs.attach import attach

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from tokenry.method import Method


@dataclass(frozen=True, slots=True)
class Subject:
    """The model that is compared with itself.

    Attributes:
        model: The model, in evaluation mode and on `device`.
        processor: What turns raw examples into its input.
        name: Its name for people.
        device: Where it runs.
        image_size: Side in pixels that images are brought to; None leaves it to the processor.
        source: What a user loads it by; empty when it was built in memory.
        kind: What kind of model it is, as in `tokenry.compare.kinds.KINDS`.
    """

    model: nn.Module
    processor: Any
    name: str
    device: torch.device
    image_size: int | None = None
    source: str = ""
    kind: str = "vision"


@dataclass(frozen=True, slots=True)
class Pass:
    """One run over a batch.

    Attributes:
        outputs: What `Task.run` returned.
        trace: What became of the tokens; None for the untouched model.
    """

    outputs: Any
    trace: Any


@dataclass(frozen=True, slots=True)
class Scores:
    """One figure per example of a batch, and secondary figures by name."""

    values: Sequence[float]
    secondary: dict[str, Sequence[float]] = field(default_factory=dict)


class Task(ABC):
    """What one example is, and how it is scored.

    Only `run` is timed. Tasks that share `batch` and `run` can be asked for together and are
    then scored from the same forward pass. A vision task of your own is one small class:

    ```python
    class Length(VisionTask):
        slug = "length"
        title = "Length of the embedding"
        metric = "length relative to the untouched model's"
        explanation = "Does the embedding keep its length?"

        def score(self, seen, untouched, examples):
            ratio = seen.outputs.pooled.norm(dim=1) / untouched.outputs.pooled.norm(dim=1)
            return Scores(ratio.tolist())
    ```

    It goes wherever a task's name goes: `tokenry.compare(model, methods, data, task=Length())`.
    Settings are constructor arguments; `describe` must name them, since results are stored under
    what it returns.
    """

    kind: ClassVar[str]
    """The kind of models that it is for."""
    slug: ClassVar[str]
    title: ClassVar[str]
    metric: str
    explanation: str
    binary: ClassVar[bool] = False
    higher_is_better: ClassVar[bool] = True
    dial: ClassVar[bool] = True
    """Whether its methods are run at several keeps."""
    figures: tuple[Figure, ...] = ()
    """What is shown beside score and seconds, of secondary scores and of `costs`."""
    grid: ClassVar[tuple[str, ...]] = ()
    """Two of an example's `conditions` that the scores are shown by: down and across."""
    weight: ClassVar[str] = ""
    """The secondary score that an example counts by; empty where all count alike."""

    @property
    def settings(self) -> dict[str, str]:
        """Settings that stand on every row."""
        return {}

    @property
    def shares(self) -> tuple[Any, ...]:
        """Tasks for which this is equal are scored from the same pass."""
        return type(self).run, type(self).batch

    @property
    def info(self) -> TaskInfo:
        """What the task measures, as plain data."""
        return TaskInfo(
            self.slug,
            self.title,
            self.metric,
            self.binary,
            self.higher_is_better,
            self.explanation,
            self.kind,
            self.settings,
            self.figures,
            self.dial,
            self.grid,
            self.weight,
        )

    def describe(self) -> str:
        """The task and its settings; results are stored under it."""
        return self.slug

    def prepare(self, subject: Subject, examples: Sequence[Any]) -> None:  # noqa: B027 - optional
        """Check that the task fits model and data, and note what it needs of them.

        Raises:
            UsageError: If it does not fit.
        """

    def take(self, data: Any) -> None:  # noqa: B027 - optional
        """Note what is read of the data beside its examples, such as the documents of queries."""

    @contextmanager
    def switched(self, model: nn.Module, methods: Sequence[Method]) -> Iterator[Any]:
        """The methods at work, as something with a `trace`; None for the untouched model."""
        if not methods:
            yield None
            return
        with attach(model, methods) as attachment:
            yield attachment

    def usable(self, subject: Subject, examples: Sequence[Any]) -> Sequence[Any]:
        """The examples that the task can use, of which a limit then takes its share.

        Raises:
            UsageError: If there is none.
        """
        return examples

    def split(self, examples: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """The examples that the untouched model is fitted on, and those that are scored."""
        return [], list(examples)

    @abstractmethod
    def batch(self, subject: Subject, examples: Sequence[Any]) -> Any:
        """The model's input for some examples, on its device; not timed."""

    def profiled(self, batch: Any) -> Any:
        """What a configuration is warmed up and profiled on: as a rule the whole batch."""
        return batch

    @abstractmethod
    def run(self, model: nn.Module, batch: Any) -> Any:
        """One pass: the part that is timed."""

    @abstractmethod
    def finite(self, outputs: Any) -> list[bool]:
        """For each example whether its outputs are free of NaN and infinity."""

    def observe(self, seen: Pass, examples: Sequence[Any]) -> None:  # noqa: B027 - optional
        """Note the untouched model's outputs for some of the examples to fit on."""

    def fit(self) -> None:  # noqa: B027 - most tasks need no fitting
        """Fit on what was observed."""

    @abstractmethod
    def score(self, seen: Pass, untouched: Pass, examples: Sequence[Any]) -> Scores:
        """Score each example.

        Args:
            seen: The pass of the method.
            untouched: The pass of the untouched model over the same batch; when the untouched
                model itself is scored, both are the same.
            examples: The examples of the batch.

        Returns:
            As many figures as there are examples; those outside `split`'s second part are not
            used.
        """

    def seconds(self, seen: Pass, measured: float) -> float:
        """Seconds that the pass stands for; `measured` is how long `run` took."""
        return measured

    def peak(self, seen: Pass, measured: int) -> int:
        """Most bytes that the pass held at once; `measured` are those of torch's tensors."""
        return measured

    def costs(self, seen: Pass) -> dict[str, float]:
        """Costs per example beside its seconds, by name."""
        return {}

    def label(self, example: Any) -> str:
        """What people know an example by, beside its name; empty when nothing."""
        return example.label or ""

    def conditions(self, example: Any) -> dict[str, str]:
        """What sets an example apart, by name, such as its length; empty when nothing does."""
        return {}

    def layers(self, model: nn.Module) -> list[nn.Module]:
        """The layers whose seconds the profile tells apart."""
        return []

    def rows(self, seen: Pass, entered: Sequence[int]) -> Sequence[tuple[int, int]]:
        """Two counts of tokens for each layer: in a kind's own words, see `Profile.tokens`.

        Args:
            seen: The pass.
            entered: Rows that entered each layer.
        """
        return [(n, n) for n in entered]

    def thumbnails(self, subject: Subject, batch: Any, untouched: Pass) -> list[bytes]:
        """What each example looked like to the model, as `Picture.thumbnail`; none by default."""
        return []

    def groups(self, seen: Pass) -> list[NDArray[np.int16]]:
        """What became of each example's tokens, as `Picture.groups`; none by default."""
        return []


def whole_number(who: str, name: str, value: Any) -> None:
    """Raise UsageError unless the value is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{who}: {name}={value!r} is not a whole number of at least 1.")
