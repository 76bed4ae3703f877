"""Classification by the model's own head, against the labels of the data."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from tokenry.compare.tasks.base import Pass, Scores, Subject
from tokenry.compare.tasks.vision import VisionTask
from tokenry.errors import UsageError


class Classification(VisionTask):
    """Whether the model's own head names the right class.

    The data's labels are matched to the names in the model's `config.id2label`, whatever their
    case, underscores or hyphens; a name that lists synonyms ("tabby, tabby cat") matches each.
    """

    slug = "classification"
    title = "Right class by the model's own head"
    metric = "top-1 accuracy"
    binary = True
    explanation = "Whether the class with the highest score of the model's own head is the label."

    def __init__(self) -> None:
        self._classes: dict[str, list[int]] = {}

    def prepare(self, subject: Subject, examples: Sequence[Any]) -> None:
        """Match the labels of the data to the classes of the head.

        Raises:
            UsageError: If none matches.
        """
        super().prepare(subject, examples)
        names: dict[int, str] = dict(getattr(subject.model.config, "id2label", None) or {})
        by_name: dict[str, list[int]] = {}
        for index, name in names.items():
            for synonym in {_plain(part) for part in (name, *name.split(","))}:
                by_name.setdefault(synonym, []).append(int(index))
        labels = {str(e.label) for e in examples if e.label is not None}
        self._classes = {label: by_name.get(_plain(label), []) for label in labels}
        unmatched = sorted(label for label, classes in self._classes.items() if not classes)
        some = list(names.values())[:3]
        if len(unmatched) == len(labels):
            raise UsageError(
                f"classification: none of the {len(labels)} labels of the data (such as "
                f"{', '.join(map(repr, unmatched[:3])) or 'none given'}) is a class of "
                f"{subject.name}, whose classes are {', '.join(map(repr, some))}, ...; "
                "take task='probe', which needs no head, or rename the labels."
            )
        if unmatched:
            warnings.warn(
                f"classification: {len(unmatched)} of {len(labels)} labels are no class of "
                f"{subject.name} and their images are not scored: "
                f"{', '.join(map(repr, unmatched[:3]))}.",
                stacklevel=2,
            )

    def split(self, examples: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """No example to fit on; those with a label that the head knows are scored."""
        return [], [e for e in examples if self._classes.get(str(e.label))]

    def score(self, seen: Pass, untouched: Pass, examples: Sequence[Any]) -> Scores:
        """1 where the head names the label, else 0.

        Raises:
            UsageError: If the model has no head.
        """
        logits = seen.outputs.logits
        if logits is None:
            raise UsageError(
                "classification: the model has no classification head; load it as a "
                "...ForImageClassification, or take task='probe', which needs none."
            )
        chosen = logits.argmax(1).tolist()
        pairs = zip(chosen, examples, strict=True)
        return Scores([float(c in self._classes.get(str(e.label), [])) for c, e in pairs])


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())
