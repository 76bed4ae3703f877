"""`tokenry.classify_pairs`: a score and a verdict for each row of a table of pairs, or of texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from tokenry.counted import counted
from tokenry.errors import UsageError
from tokenry.method import Linker, Scored, Side
from tokenry.ops.agreement import agreement
from tokenry.plugs.text_classifier import TextClassifier
from tokenry.progress import showing
from tokenry.tables import frames, sides
from tokenry.tables.aids import Given, linker
from tokenry.tables.engine import arrow
from tokenry.tables.frames import Frame
from tokenry.tables.labels import truth
from tokenry.tables.normalise import Form, rule
from tokenry.tables.settings import check_reachable
from tokenry.tables.stages import Stages
from tokenry.tables.widened import Widened

if TYPE_CHECKING:
    import pyarrow as pa

_METHOD = "linktransformer"
Names = str | Sequence[str]


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Classified(Widened):
    """A table with what was found for each of its rows.

    Attributes:
        frame: The table.
        columns: What is added to it, by name.
        method: What scored.
        threshold: The score from which on a pair is a match; None for a classifier.
        figures: Precision, recall and f1 on rows with a label that nothing was learned from.
    """

    columns: dict[str, NDArray[Any]]
    method: str
    threshold: float | None
    figures: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The findings as plain data, without the rows."""
        return {
            "rows": len(self),
            "method": self.method,
            "threshold": self.threshold,
            "counts": self._counts(),
            **self.figures,
        }

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self._counts().items())
        lines = [f"{counted(len(self), 'row')} ({self.method}): {counts}."]
        if self.figures:
            lines.append(", ".join(f"{name} {value:.4f}" for name, value in self.figures.items()))
        return "\n".join(lines)

    def _counts(self) -> dict[str, int]:
        if "predicted" in self.columns:
            names, counts = np.unique(self.columns["predicted"].astype(str), return_counts=True)
            return dict(zip(names.tolist(), counts.tolist(), strict=True))
        found = int(self.columns["match"].sum())
        return {"matches": found, "others": len(self) - found}

    def _table(self) -> pa.Table:
        table = self.frame.table
        for name, values in self.columns.items():
            fresh = name
            while fresh in table.column_names:
                fresh = f"_{fresh}"
            table = table.append_column(fresh, arrow().array(values.tolist(), from_pandas=True))
        return table


def classify_pairs(
    table: Any,
    left: Names,
    right: Names | None = None,
    *,
    method: str | Linker = _METHOD,
    classifier: Any = None,
    label: str | None = None,
    threshold: float | None = None,
    encoder: Any = None,
    referee: Any = None,
    normalise: Form | Callable[[str], str | None] = "text",
    device: str | None = None,
    encoding: str | None = None,
    progress: bool | None = None,
) -> Classified:
    """Say of each row of a table of pairs whether the two are the same; or classify texts.

    A linker scores each pair. Where some rows have a label and others none, the linker learns from
    the former: its threshold, or what each of several linkers is worth (`hybrid`). Where all have
    one, nothing is learned and the verdicts are measured.

    A classifier of transformers reads each pair, or with `left` alone each text, as it was trained
    to: nothing is normalised, and a row gets its likeliest label and that label's probability.

    Args:
        table: A table of any type that `tokenry.link` takes.
        left: The column, or columns, of one side.
        right: Those of the other side, in the same order; only a classifier does without.
        method: A linker by name, with settings, or an instance.
        classifier: A folder or a name on the Hub, or a `TextClassifier`, in place of a linker.
        label: A column of labels, 1 for the same; for a linker alone, as `threshold`.
        threshold: The score from which on a pair is a match; what was learned, or the linker's own,
            when not given.
        encoder: What gives texts vectors, as in `tokenry.link`.
        referee: A language model to ask, as in `tokenry.link`.
        normalise: How texts are written; the same as in `tokenry.link`.
        device: Where a named encoder or classifier runs.
        encoding: Of a csv or jsonl file.
        progress: Show bars; None shows them on a terminal.

    Returns:
        The table with columns `score` and `match`, or `predicted` and `score` of a classifier.

    Raises:
        UsageError: If columns do not go together, or a label is neither yes nor no.
        UnknownNameError: If there is no such column or method.
    """
    frame = frames.read(table, "the table of pairs", encoding=encoding)
    first, second = (sides.listed(one) for one in (left, right))
    frame.check("classify_pairs", (*first, *second, *(() if label is None else (label,))))
    if classifier is not None:
        _no_settings(threshold=threshold, label=label)
        with showing(progress):
            return _classified(frame, first, second, classifier, device)
    _refuse_uneven(first, second)
    matching = linker(method, "classify_pairs")
    marks = None if label is None else _marks(frame, label)
    given = Given(encoder=encoder, referee=referee, known=_known(marks), device=device)
    with showing(progress):
        score, own = _scored(frame, first, second, matching, given, rule(normalise), threshold)
    cut = own if threshold is None else threshold
    match = score >= cut  # NaN is no match
    return Classified(
        frame=frame,
        columns={"score": score, "match": match},
        method=matching.describe(),
        threshold=cut,
        figures={} if marks is None or None in marks else _figures(match, np.array(marks, bool)),
    )


def _refuse_uneven(left: tuple[str, ...], right: tuple[str, ...]) -> None:
    """A linker compares columns one by one."""
    if len(left) != len(right) or not left:
        raise UsageError(
            f"classify_pairs: left names {len(left)} columns and right {len(right)}; they go "
            "together one by one. Only a classifier reads texts alone."
        )


def _no_settings(**given: Any) -> None:
    """Refuse what says something to linkers only."""
    for name, value in given.items():
        if value is not None:
            raise UsageError(
                f"classify_pairs: {name}={value!r} is for linkers; a classifier takes its "
                f"likeliest label, without learning or measuring. Leave {name} out."
            )


def _scored(
    frame: Frame,
    left: tuple[str, ...],
    right: tuple[str, ...],
    matching: Linker,
    given: Given,
    own: Callable[[str], str | None],
    threshold: float | None,
) -> tuple[Float[np.ndarray, " n"], float]:
    """The score of each row's pair, and the linker's threshold."""
    both = []
    for names in (left, right):
        keys = sides.normalised(frame, names, own)
        columns = {new: keys.column(old).to_pylist() for new, old in zip(left, names, strict=True)}
        both.append(Side(columns=columns, keys=left, count=len(frame)))
    rows = np.arange(len(frame))
    with Stages(None) as stages:
        aids, _ = given.aids(stages.folder / "vectors", False)
        check_reachable("classify_pairs", matching, aids, threshold)
        matcher = matching.prepare(both[0], both[1], aids)
        return np.asarray(matcher.score(rows, rows), dtype=np.float64), matcher.threshold


def _classified(
    frame: Frame, left: tuple[str, ...], right: tuple[str, ...], given: Any, device: str | None
) -> Classified:
    model = given if isinstance(given, TextClassifier) else TextClassifier.load(given, device)
    texts = sides.texts_of(frame, left, model.separator)
    beside = sides.texts_of(frame, right, model.separator) if right else None
    shares = model(texts, beside)
    best = shares.argmax(1)
    return Classified(
        frame=frame,
        columns={
            "predicted": np.array(model.labels, dtype=object)[best],
            "score": shares[np.arange(len(best)), best],
        },
        method=type(model.model).__name__,
        threshold=None,
        figures={},
    )


def _marks(frame: Frame, label: str) -> list[bool | None]:
    return [truth(one, "classify_pairs") for one in frame.table.column(label).to_pylist()]


def _known(marks: list[bool | None] | None) -> Scored | None:
    """Pairs to learn from, where others are not labelled."""
    if marks is None or None not in marks:
        return None
    rows = np.array([i for i, mark in enumerate(marks) if mark is not None], dtype=np.int64)
    if not len(rows):
        raise UsageError("classify_pairs: no row has a label; leave label out, or label some.")
    return Scored(rows, rows, np.array([float(marks[i] or 0) for i in rows]))


def _figures(match: Bool[np.ndarray, " n"], same: Bool[np.ndarray, " n"]) -> dict[str, float]:
    counts = (int(some.sum()) for some in (match & same, match, same))
    return agreement(*counts)._asdict()
