"""`tokenry.tune`: train an encoder on a table of pairs, and see what it brings on unseen things."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

from tokenry.errors import UsageError
from tokenry.method import PairObjective
from tokenry.ops import splits
from tokenry.plugs import tuning
from tokenry.plugs.text_encoder import saved_encoder
from tokenry.tables import frames
from tokenry.tables.normalise import Form, rule
from tokenry.tables.tuning_data import Examples, columns_of, left_out, read
from tokenry.tables.tuning_measures import cut_of, measures

BETWEEN = "between a thing of one part and a thing of another; held_out=0 trains on all rows"
ROUNDS = 3
"""How often the training part is gone through where no steps are named."""


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class TunedEncoder:
    """A tuned encoder and what it brought.

    Attributes:
        encoder: It, to hand to `link` and the others.
        tuned: How the training went.
        before: What the encoder came to on the test part, before; the first measure decides.
        after: The same afterwards.
        rows: How many rows each part has.
        threshold: The cosine that tells matches of the validation part best; None without one.
        notes: What was left out.
    """

    encoder: Any
    tuned: tuning.Tuned
    before: dict[str, float]
    after: dict[str, float]
    rows: dict[str, int]
    threshold: float | None
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        parts = ", ".join(f"{count} {name}" for name, count in self.rows.items())
        lines = [str(self.tuned), f"Rows: {parts}."]
        for name, found in self.after.items():
            lines.append(f"Test {name}: {self.before[name]:.3f} before, {found:.3f} after.")
        if self.threshold is not None:
            lines.append(f"Threshold: {self.threshold:.3f}.")
        return "\n".join([*lines, *self.notes])

    def to_dict(self) -> dict[str, Any]:
        """The findings as plain data."""
        return {
            "method": self.tuned.method,
            "steps": len(self.tuned.losses),
            "seconds": self.tuned.seconds,
            "folder": None if self.tuned.folder is None else str(self.tuned.folder),
            "rows": self.rows,
            "before": self.before,
            "after": self.after,
            "threshold": self.threshold,
            "notes": list(self.notes),
        }


def tune(
    table: Any,
    encoder: Any = "zoo:minilm-l6",
    *,
    left: str | Sequence[str] | None = None,
    right: str | Sequence[str] | None = None,
    label: str | None = None,
    text: str | Sequence[str] | None = None,
    cluster: str | None = None,
    method: str | PairObjective | None = None,
    out: str | PathLike[str] | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    rate: float = 2e-5,
    per_group: int = 2,
    held_out: float = 0.2,
    distractors: bool = False,
    normalise: Form | Callable[[str], str | None] = "text",
    device: str | None = None,
    encoding: str | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> TunedEncoder:
    """Train an encoder so that the names of one thing are close to each other.

    The table holds pairs that are the same (`left`, `right`), pairs that are labelled (`label`, 1
    for the same), or texts with the thing that they name (`text`, `cluster`). What pairs connect,
    through others too, is one thing. A share of the things, not of the rows, is held out; one half
    of it says when the encoder was best, the other half what that came to.

    Args:
        table: A frame, an Arrow table, a dict of columns, a list of dicts, or a file.
        encoder: `zoo:NAME`, a folder, a name on the Hub, or a `SentenceTransformer`, which is
            trained in place.
        left: Column of one text, or several columns, which are joined as `linktransformer` does.
        right: The same of the other text.
        label: Column that says whether a pair is the same.
        text: Column, or columns, of texts with a thing each.
        cluster: Column of the thing.
        method: An objective; `online-contrastive` for labelled pairs and `supcon` otherwise, when
            not given.
        out: Folder to save the encoder in; new, or empty.
        steps: Steps; three rounds of the training part when not given.
        batch_size: Rows of a step; 64, or the training part where it is smaller, when not given.
        rate: Highest learning rate.
        per_group: Texts of one thing that meet in a batch.
        held_out: Share of the things that is held out; 0 for none.
        distractors: Search among the right texts of the training part, too, when measuring.
        normalise: How texts are written; the same as in `link`.
        device: Where to train, such as `cuda`; where the encoder is when not given.
        encoding: Of a csv or jsonl file.
        seed: Of the parts, the order, and dropout.
        progress: Show a bar; None shows one on a terminal.

    Raises:
        UsageError: If the columns fit none of the three forms, a number is out of range, or a part
            has nothing to measure.
    """
    columns = columns_of(left, right, label, text, cluster)
    model = saved_encoder(encoder, device)
    frame = frames.read(table, "the table of pairs", encoding=encoding)
    data = read(frame, columns, rule(normalise), model)
    parts = _parts(data, held_out, seed)
    train = parts["train"]
    study = _Study(model, parts, train.rights() if distractors else (), held_out > 0)
    before = study.test()
    size = min(64, len(train.rows)) if batch_size is None else batch_size
    given: Any = {"steps": steps or max(1, ROUNDS * len(train.rows) // max(1, size))}
    given |= {"batch_size": size, "rate": rate, "per_group": per_group, "seed": seed}
    given |= {"groups": train.groups(), "labels": train.labels, "watch": study.watch}
    objective = method or ("supcon" if data.labels is None else "online-contrastive")
    found = tuning.tune(model, train.rows, objective, out=out, progress=progress, **given)
    return study.result(found, before, data)


def _parts(data: Examples, held_out: float, seed: int) -> dict[str, Examples]:
    """Parts that share no thing; refused before an hour of training where one says nothing."""
    if not 0 <= held_out < 1:
        raise UsageError(f"tune: held_out={held_out} is outside [0, 1); it is a share of things.")
    draw = random.Random(seed)  # noqa: S311 - an order
    shares = splits.by_group(data.things(), float(held_out), draw, data.joined())
    parts = data.split(shares)
    for name, part in parts.items():
        if name != "train" and held_out and not part.measurable():
            sizes = ", ".join(f"{len(one.rows)} {of}" for of, one in parts.items())
            raise UsageError(
                f"tune: the {name} part has no pair to be found ({sizes} rows); give more rows, a "
                f"larger held_out than {held_out}, or held_out=0 to measure nothing."
            )
    return parts


class _Study:
    """Measures an encoder on the parts that are held out, if there are any."""

    def __init__(
        self, model: Any, parts: dict[str, Examples], beside: Sequence[str], measured: bool
    ) -> None:
        self._model, self._parts, self._beside = model, parts, beside
        self._measured = measured

    @property
    def watch(self) -> Callable[[], float] | None:
        """Says how good the encoder is now."""
        return self._first if self._measured else None

    def test(self) -> dict[str, float]:
        """The measures on the test part."""
        return self._of("test") if self._measured else {}

    def cut(self) -> float | None:
        """The threshold that does best on the validation part."""
        if not self._measured:
            return None
        return cut_of(self._model, self._parts["validation"], self._beside)

    def result(self, tuned: tuning.Tuned, before: dict[str, float], data: Examples) -> TunedEncoder:
        """What came of it."""
        rows = {name: len(part.rows) for name, part in self._parts.items()}
        between = len(data.rows) - sum(rows.values())
        return TunedEncoder(
            encoder=self._model,
            tuned=tuned,
            before=before,
            after=self.test(),
            rows=rows,
            threshold=self.cut(),
            notes=data.notes + left_out(between, "row", BETWEEN),
        )

    def _first(self) -> float:
        return next(iter(self._of("validation").values()))

    def _of(self, part: str) -> dict[str, float]:
        return measures(self._model, self._parts[part], self._beside)
