"""Compare methods on a model and data: quality and cost from the same passes, with statistics."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenry.compare.results import Results
    from tokenry.compare.run import compare
    from tokenry.compare.tasks import Scores, Task, TextTask, VisionTask

__all__ = ["Results", "Scores", "Task", "TextTask", "VisionTask", "compare"]

_HOME = {"Results": "results", "compare": "run"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME.get(name, 'tasks')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
