"""A study: everything about a comparison that is settled before the first pass."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from tokenry.compare import subject as subjects
from tokenry.compare.code import Source
from tokenry.compare.configurations import Configuration, source_digest
from tokenry.compare.kinds import KINDS
from tokenry.compare.records import MethodInfo, Skipped
from tokenry.compare.tasks import Task
from tokenry.compare.tasks import find as find_task
from tokenry.compare.tasks import names as task_names
from tokenry.compare.tasks.base import Subject, whole_number
from tokenry.compare.tasks.vision import sizes
from tokenry.errors import UsageError

if TYPE_CHECKING:
    from tokenry.data import Collection, ImageData, TextData


@dataclass(frozen=True, slots=True)
class Options:
    """The numbers that a user can set.

    Attributes:
        keeps: The values of the dial.
        limit: Most examples; None for all.
        seed: Of all that is drawn.
        batch_size: Examples per pass.
        repeats: Timed passes per batch and configuration; their median counts.
        budget_seconds: Time after which no batch begins; None for no end.

    Raises:
        UsageError: If one is out of range.
    """

    keeps: tuple[float, ...]
    limit: int | None
    seed: int
    batch_size: int
    repeats: int
    budget_seconds: float | None

    def __post_init__(self) -> None:
        counts = {"batch_size": self.batch_size, "repeats": self.repeats}
        counts |= {} if self.limit is None else {"limit": self.limit}
        for name, value in counts.items():
            whole_number("compare", name, value)
        if self.budget_seconds is not None and not self.budget_seconds > 0:
            raise UsageError(f"compare: budget_seconds={self.budget_seconds!r} is not above 0.")


@dataclass(frozen=True, slots=True)
class Part:
    """One task's share of the examples.

    Attributes:
        task: The task.
        identity: What it is called in the store: its settings, source code, and what it is fitted
            on.
        fitted: Names of the examples that it is fitted on.
        scored: Names of the examples that it scores.
    """

    task: Task
    identity: str
    fitted: frozenset[str]
    scored: frozenset[str]


@dataclass(slots=True)
class Study:
    """What is compared on what, and how.

    Attributes:
        subject: The model.
        parts: The tasks; the first one's `batch` and `run` serve all.
        configurations: What is run, the untouched model first; those that turn out to be
            impossible are taken out.
        methods: What is known of the methods.
        skipped: What cannot be run, and why.
        data: Name of the data.
        fits: Examples of the untouched model to fit on, and the tasks that are fitted on them.
        scored: Examples that some task scores, in an order that any first part represents.
        facts: All that scores and seconds depend on, besides task, method, keep and example.
        environment: For people.
        options: The user's numbers.
    """

    subject: Subject
    parts: list[Part]
    configurations: list[Configuration]
    methods: list[MethodInfo]
    skipped: list[Skipped]
    data: str
    fits: list[tuple[list[Any], list[Task]]]
    scored: list[Any]
    facts: dict[str, Any]
    environment: dict[str, str]
    options: Options

    @property
    def lead(self) -> Task:
        """The task whose `batch` and `run` serve all."""
        return self.parts[0].task

    def skip(self, configuration: Configuration, reason: str) -> None:
        """Take a configuration out."""
        self.configurations.remove(configuration)
        self.skipped.append(Skipped(configuration.label, configuration.keep, reason))

    def request(self, number: int, complete: bool) -> dict[str, Any]:
        """The study as the store keeps it, for `Results.open`."""
        return {
            "study": number,
            "model": self.subject.name,
            "data": self.data,
            "tasks": [
                {"identity": p.identity, "scored": sorted(p.scored), **asdict(p.task.info)}
                for p in self.parts
            ],
            "methods": [asdict(info) for info in self.methods],
            "configurations": [[c.label, c.keep, c.identity] for c in self.configurations],
            "keeps": list(self.options.keeps),
            "skipped": [asdict(skipped) for skipped in self.skipped],
            "examples": [[e.id, self.lead.label(e)] for e in self.scored],
            "conditions": {e.id: self.lead.conditions(e) for e in self.scored},
            "environment": self.environment,
            "source": asdict(self._source()),
            "seed": self.options.seed,
            "complete": complete,
        }

    def _source(self) -> Source:
        """What a user needs to see the same model and the same input."""
        model, side = self.subject.model, self.subject.image_size
        known = type(model).__module__.startswith("transformers.")
        return Source(
            name=self.subject.source,
            cls=type(model).__name__ if known else "",
            inputs={} if side is None else sizes(self.subject.processor, side),
            kind=self.subject.kind,
            chat=bool(getattr(self.subject.processor, "chat_template", None)),
        )


def named(given: Any) -> list[Task | type[Task]]:
    """What was asked for as tasks: classes of those that were named, instances of others.

    Raises:
        UnknownNameError: If there is none of a name.
        UsageError: If something is not a task.
    """
    found: list[Task | type[Task]] = []
    for one in given if isinstance(given, list | tuple) else [given]:
        task = find_task(one) if isinstance(one, str) else one
        if not (isinstance(one, str) or isinstance(task, Task)):
            raise UsageError(
                f"compare: task={task!r} is not a task; give a name or an instance of a subclass "
                "of tokenry.compare.tasks.Task."
            )
        found.append(task)
    if not found:
        raise UsageError("compare: task is empty; give at least one, such as 'agreement'.")
    return found


def tasks(chosen: Sequence[Task | type[Task]], settings: dict[str, Any], who: str) -> list[Task]:
    """The tasks, made and checked against each other.

    Args:
        chosen: Of `named`.
        settings: Settings for those that were named; None is one that was not given.
        who: Kind of the model.

    Raises:
        UsageError: If one does not fit the kind of model or the settings, or they cannot be scored
            from the same pass.
    """
    for one in chosen:
        _check_kind(one, who)
    found = [_made(one, settings) for one in chosen]
    for task in found[1:]:
        if task.shares != found[0].shares:
            raise UsageError(
                f"compare: the tasks {found[0].slug} and {task.slug} give the model different "
                "things to do, so one pass cannot serve both; compare them one by one."
            )
    if len({task.slug for task in found}) < len(found):
        raise UsageError("compare: a task is given twice.")
    return found


def _check_kind(task: Task | type[Task], kind: str) -> None:
    if task.kind != kind:
        fitting = [name for name in task_names() if find_task(name).kind == kind]
        raise UsageError(
            f"compare: the task {task.slug} is for a {KINDS[task.kind].title}, but the model is a "
            f"{KINDS[kind].title}; the tasks that fit it are {', '.join(fitting)}."
        )


def _made(task: Task | type[Task], settings: dict[str, Any]) -> Task:
    taken = inspect.signature(task).parameters if isinstance(task, type) else {}
    given = {name: value for name, value in settings.items() if value is not None}
    for name in given:
        if name not in taken:
            how = "give it to the task itself" if isinstance(task, Task) else "leave it out"
            raise UsageError(f"compare: {name} is no setting of the task {task.slug}; {how}.")
    return task if isinstance(task, Task) else task(**given)


def parts(chosen: Sequence[Task], subject: Subject, examples: Sequence[Any]) -> list[Part]:
    """Prepare the tasks, and give each its examples.

    Raises:
        UsageError: If a task does not fit the model or the data.
    """
    found = []
    for task in chosen:
        task.prepare(subject, examples)
        fitted, scored = (frozenset(e.id for e in part) for part in task.split(examples))
        basis = hashlib.sha256("\n".join(sorted(fitted)).encode()).hexdigest()[:12]
        identity = f"{task.describe()}#{source_digest(type(task))}"
        found.append(Part(task, f"{identity}@{basis}" if fitted else identity, fitted, scored))
    return found


def ordered(examples: Sequence[Any], wanted: frozenset[str], seed: int) -> list[Any]:
    """The wanted examples in an order that depends on nothing but their names and the seed.

    Data often comes sorted; the first part of a shuffled list stands for the whole of it, and the
    order stays when other examples come in between.
    """
    return sorted(
        (e for e in examples if e.id in wanted),
        key=lambda e: hashlib.sha256(f"{seed}:{e.id}".encode()).digest(),
    )


def settle(
    subject: Subject,
    methods: tuple[list[MethodInfo], list[Configuration], list[Skipped]],
    chosen: Sequence[Task],
    data: ImageData | TextData | Collection,
    options: Options,
) -> Study:
    """Check that everything fits together.

    Args:
        subject: The model, on its device.
        methods: What `configure` made of the methods.
        chosen: The tasks.
        data: What is measured on, before it is limited.
        options: The rest.

    Raises:
        UsageError: If a task, the model and the data do not fit each other.
    """
    infos, configurations, skipped = methods
    every: Any = data
    fitting = replace(every, examples=tuple(chosen[0].usable(subject, data.examples)))
    used = fitting if options.limit is None else fitting.limit(options.limit, options.seed)
    shares = parts(chosen, subject, used.examples)
    facts = subjects.facts(subject)
    # The hash of the whole data: a larger limit then only adds examples.
    facts |= {"data": data.hash, "batch_size": options.batch_size}
    facts |= {"repeats": options.repeats, "seed": options.seed}
    return Study(
        subject=subject,
        parts=shares,
        configurations=configurations,
        methods=infos,
        skipped=skipped,
        data=data.name,
        fits=[
            (ordered(used.examples, names, options.seed), tasks)
            for names, tasks in _by_fitted(shares).items()
        ],
        scored=ordered(used.examples, frozenset().union(*(p.scored for p in shares)), options.seed),
        facts=facts,
        environment=subjects.environment(subject, facts) | _credit(data),
        options=options,
    )


def _credit(data: ImageData | TextData | Collection) -> dict[str, str]:
    """The licence that the data carries, for whoever shows the report."""
    return {"licence of the data": data.license} if data.license else {}


def _by_fitted(shares: Sequence[Part]) -> dict[frozenset[str], list[Task]]:
    """The tasks that are fitted on anything, by what they are fitted on."""
    found: dict[frozenset[str], list[Task]] = {}
    for part in shares:
        if part.fitted:
            found.setdefault(part.fitted, []).append(part.task)
    return found
