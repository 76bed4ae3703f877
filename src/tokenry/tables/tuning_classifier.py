"""`tokenry.tune_classifier`: train a model to label texts or pairs, and see what it is worth."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from tokenry.errors import UsageError
from tokenry.ops import splits
from tokenry.ops.fields import joined
from tokenry.ops.verdict_counts import label_scores
from tokenry.plugs import classifier_tuning
from tokenry.plugs.text_classifier import TextClassifier
from tokenry.plugs.tuning import Tuned
from tokenry.tables import frames, sides
from tokenry.tables.frames import Frame
from tokenry.tables.labels import truth
from tokenry.tables.normalise import rule
from tokenry.tables.tuning_data import left_out

ROUNDS = 3
"""How often the training part is gone through where no steps are named."""

Names = str | Sequence[str]


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class TunedClassifier:
    """A trained classifier and what it is worth on texts that it has not seen.

    Attributes:
        classifier: It, for `classifier=` of `tokenry.classify_pairs`.
        tuned: How the training went.
        test: Accuracy and F1 on the test part: F1 of yes where labels say yes and no, the mean over
            labels otherwise. Empty where nothing was held out.
        commonest: The accuracy of always saying the commonest label of the training part.
        rows: How many rows each part has.
        notes: What was left out.
    """

    classifier: TextClassifier
    tuned: Tuned
    test: dict[str, float]
    commonest: float | None
    rows: dict[str, int]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = ", ".join(f"{count} {name}" for name, count in self.rows.items())
        lines = [str(self.tuned), f"Rows: {parts}; labels: {', '.join(self.classifier.labels)}."]
        if self.test:
            figures = ", ".join(f"{name} {value:.3f}" for name, value in self.test.items())
            lines.append(f"Test {figures}; always the commonest label: {self.commonest:.3f}.")
        return "\n".join([*lines, *self.notes])

    def to_dict(self) -> dict[str, Any]:
        """The findings as plain data."""
        return {
            "steps": len(self.tuned.losses),
            "seconds": self.tuned.seconds,
            "folder": None if self.tuned.folder is None else str(self.tuned.folder),
            "labels": list(self.classifier.labels),
            "rows": self.rows,
            "test": self.test,
            "commonest": self.commonest,
            "notes": list(self.notes),
        }


def tune_classifier(
    table: Any,
    classifier: Any = "zoo:minilm-l6",
    *,
    left: Names,
    right: Names | None = None,
    label: str,
    out: str | PathLike[str] | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    rate: float = 2e-5,
    balanced: bool = False,
    held_out: float = 0.3,
    device: str | None = None,
    encoding: str | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> TunedClassifier:
    """Train a model that reads both texts of a pair together, or texts alone, and labels them.

    An encoder (`tokenry.tune`) gives each text a vector of its own, which can be searched. This
    reads the two at once: slower, often more exact, and good for the few pairs that a linker found
    likely. `tokenry.classify_pairs` takes the result.

    A share of the left texts is held out, so that none of them is learned by heart; one half of it
    says when the classifier was best, the other half what that came to.

    Args:
        table: A table of any type that `tokenry.link` takes.
        classifier: Any text model: `zoo:NAME`, a folder or a name on the Hub; or a
            `TextClassifier` with these labels, which is trained in place.
        left: Column of the texts; several columns become one text.
        right: The same of what is read beside each.
        label: Column of labels, of two kinds or more.
        out: Folder to save it in; new, or empty.
        steps: Steps; three rounds of the training part when not given.
        batch_size: Rows of a step; 32, or the training part where it is smaller, when not given.
        rate: Highest learning rate.
        balanced: Let all labels weigh the same, however rare.
        held_out: Share of the left texts that is held out; 0 for none.
        device: Where to train, such as `cuda`.
        encoding: Of a csv or jsonl file.
        seed: Of the parts, the head, the order, and dropout.
        progress: Show a bar; None shows one on a terminal.

    Raises:
        UsageError: If a number is out of range, or a part has too few rows or labels.
        UnknownNameError: If there is no such column.
    """
    frame = frames.read(table, "the table", encoding=encoding)
    both = tuple((one,) if isinstance(one, str) else tuple(one or ()) for one in (left, right))
    frame.check("tune_classifier", (*both[0], *both[1], label))
    labels = _labelled(frame, both[0], label)
    model = _model(classifier, sorted(set(labels.values())), device, seed)
    study = _study(model, _texts(frame, both, model), labels, held_out, seed)
    rows = {name: len(part) for name, part in study.parts.items()}
    size = min(32, rows["train"]) if batch_size is None else batch_size
    tuned = classifier_tuning.tune_head(
        model,
        *study.part("train"),
        steps=steps or max(1, ROUNDS * rows["train"] // max(1, size)),
        batch_size=size,
        rate=rate,
        balanced=balanced,
        watch=study.watch if rows["test"] else None,
        out=out,
        seed=seed,
        progress=progress,
    )
    return study.result(tuned, len(frame) - len(labels))


class _Study(NamedTuple):
    """A classifier, and the rows that it learns from and is measured on."""

    model: TextClassifier
    texts: list[tuple[str, str | None]]
    numbers: dict[int, int]
    parts: dict[str, list[int]]

    def part(self, name: str) -> tuple[list[tuple[str, str | None]], list[int]]:
        """The texts of a part, and the numbers of their labels."""
        rows = self.parts[name]
        return [self.texts[i] for i in rows], [self.numbers[i] for i in rows]

    def measured(self, name: str) -> dict[str, float]:
        """Accuracy and F1 on a part."""
        texts, true = self.part(name)
        beside = None if texts[0][1] is None else [other or "" for _, other in texts]
        given = self.model([one for one, _ in texts], beside).argmax(1)
        return label_scores(given, np.array(true), _yes(self.model.labels))

    def watch(self) -> float:
        """How good the classifier is now."""
        return self.measured("validation")["F1"]

    def result(self, tuned: Tuned, empty: int) -> TunedClassifier:
        """What came of it."""
        held = bool(self.parts["test"])
        return TunedClassifier(
            classifier=self.model,
            tuned=tuned,
            test=self.measured("test") if held else {},
            commonest=self._commonest() if held else None,
            rows={name: len(part) for name, part in self.parts.items()},
            notes=left_out(empty, "row", "without a text or label"),
        )

    def _commonest(self) -> float:
        """How often the commonest label of the training part is right on the test part."""
        most = Counter(self.part("train")[1]).most_common(1)[0][0]
        return float(np.mean(np.array(self.part("test")[1]) == most))


def _labelled(frame: Frame, left: tuple[str, ...], label: str) -> dict[int, str]:
    """The label of each row with a left text and a label."""
    given = frame.table.column(label).to_pylist()
    keys = sides.normalised(frame, left, rule("none"))
    there = joined([keys.column(name).to_pylist() for name in left], " ")
    named = {row: _name(one) for row, one in enumerate(given) if there[row] is not None}
    return {row: name for row, name in named.items() if name}


def _name(value: Any) -> str:
    """A label as a name; empty for none. A column with gaps turns whole numbers into others."""
    if value is None or value != value:
        return ""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip()


def _model(given: Any, names: list[str], device: str | None, seed: int) -> TextClassifier:
    if len(names) < 2:
        raise UsageError(
            f"tune_classifier: the label column holds {', '.join(names) or 'nothing'} alone; two "
            "labels are needed to tell one from the other."
        )
    if not isinstance(given, TextClassifier):
        return classifier_tuning.fresh_classifier(given, names, device=device, seed=seed)
    if missing := set(names) - set(given.labels):
        raise UsageError(
            f"tune_classifier: the classifier knows {', '.join(given.labels)}, and not "
            f"{', '.join(sorted(missing))}; name a model, so that it gets a head of its own."
        )
    return given


def _texts(
    frame: Frame, both: tuple[tuple[str, ...], ...], model: TextClassifier
) -> list[tuple[str, str | None]]:
    """What is read of each row, as `classify_pairs` reads it."""
    first = sides.texts_of(frame, both[0], model.separator)
    beside = sides.texts_of(frame, both[1], model.separator) if both[1] else [None] * len(frame)
    return list(zip(first, beside, strict=True))


def _study(
    model: TextClassifier,
    texts: list[tuple[str, str | None]],
    labels: dict[int, str],
    held_out: float,
    seed: int,
) -> _Study:
    """The rows in parts; no left text is in two."""
    if not 0 <= held_out < 1:
        raise UsageError(f"tune_classifier: held_out={held_out} is outside [0, 1); it is a share.")
    draw = random.Random(seed)  # noqa: S311 - an order
    of = splits.by_group([texts[i][0] for i in labels], float(held_out), draw)
    parts: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for row in labels:
        parts[of[texts[row][0]]].append(row)
    few = [name for name, part in parts.items() if held_out and len({labels[i] for i in part}) < 2]
    if few or len({labels[i] for i in parts["train"]}) < 2:
        sizes = ", ".join(f"{len(part)} {name}" for name, part in parts.items())
        raise UsageError(
            f"tune_classifier: the {few[0] if few else 'train'} part has one label alone ({sizes} "
            "rows); give more rows, or another held_out (0 to measure nothing)."
        )
    return _Study(model, texts, {i: model.labels.index(one) for i, one in labels.items()}, parts)


def _yes(labels: Sequence[str]) -> int | None:
    """Which of two labels says yes; None where they say something else."""
    try:
        said = [truth(label) for label in labels]
    except UsageError:
        return None
    return said.index(True) if sorted(map(bool, said)) == [False, True] else None
