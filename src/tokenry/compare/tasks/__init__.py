"""Tasks: what an example is worth. Your own is one small class; see `Task`."""

from __future__ import annotations

from tokenry.compare.tasks.agreement import Agreement
from tokenry.compare.tasks.answers import Answers
from tokenry.compare.tasks.base import Pass, Scores, Subject, Task
from tokenry.compare.tasks.classification import Classification
from tokenry.compare.tasks.continuation import LMAgreement, Perplexity
from tokenry.compare.tasks.dense import Dense
from tokenry.compare.tasks.linking import Linking
from tokenry.compare.tasks.needles import Needles
from tokenry.compare.tasks.probe import Probe
from tokenry.compare.tasks.retrieval import Retrieval
from tokenry.compare.tasks.search import Search
from tokenry.compare.tasks.text import TextTask
from tokenry.compare.tasks.vision import VisionTask
from tokenry.compare.tasks.writing import Writing
from tokenry.errors import UnknownNameError

__all__ = [
    "Agreement",
    "Answers",
    "Classification",
    "Dense",
    "LMAgreement",
    "Linking",
    "Needles",
    "Pass",
    "Perplexity",
    "Probe",
    "Retrieval",
    "Scores",
    "Search",
    "Subject",
    "Task",
    "TextTask",
    "VisionTask",
    "Writing",
    "find",
    "names",
]

_BUILT_IN: tuple[type[Task], ...] = (
    Agreement,
    Classification,
    Probe,
    Retrieval,
    Dense,
    LMAgreement,
    Perplexity,
    Answers,
    Needles,
    Writing,
    Search,
    Linking,
)


def names() -> tuple[str, ...]:
    """The names of the built-in tasks."""
    return tuple(task.slug for task in _BUILT_IN)


def find(slug: str) -> type[Task]:
    """The class of a built-in task.

    Raises:
        UnknownNameError: If there is none of this name.
    """
    for task in _BUILT_IN:
        if task.slug == slug:
            return task
    raise UnknownNameError("task", slug, names(), "Your own task is passed as an instance.")
