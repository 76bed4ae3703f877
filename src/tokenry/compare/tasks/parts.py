"""Which part of the data is learned from, and which is tested on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenry.errors import UsageError


def require_labels(task: str, examples: Sequence[Any]) -> None:
    """Raise UsageError unless the examples have labels."""
    if not any(example.label is not None for example in examples):
        raise UsageError(
            f"{task}: the data has no labels; put the images into one subfolder per label, or "
            "take task='agreement', which needs none."
        )


def domains(task: str, examples: Sequence[Any]) -> list[str]:
    """The domains of the data (such as the vendors of drawings) in order of appearance.

    Raises:
        UsageError: If there are fewer than two.
    """
    found = list(dict.fromkeys(e.domain for e in examples if e.domain is not None))
    if len(found) < 2:
        raise UsageError(
            f"{task}: needs images of two domains, got {len(found)}; for example two vendors' "
            "drawings of the same things."
        )
    return found
