"""The commands that label or rewrite rows by a model; `tokenry.cli` takes them over as its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

import tokenry
from tokenry import console
from tokenry.cli_arguments import Flag
from tokenry.cli_files import columns, writable
from tokenry.errors import UsageError

app = App(name="tokenry", help_format="markdown")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Training:
    """How long and on what a classifier is trained.

    Args:
        steps: Steps; three rounds of the training part when not given.
        batch_size: Rows of a step; 32, or all where there are fewer, when not given.
        rate: Highest learning rate.
        balanced: Let all labels weigh the same, however rare.
        held_out: Share of the left texts that is held out, one half to choose the best state by and
            the other to test it; 0 for none.
        device: Where the model runs, such as `cuda`.
        seed: Of the parts, the head, the order, and dropout.
    """

    steps: int | None = None
    batch_size: int | None = None
    rate: float = 2e-5
    balanced: Flag = False
    held_out: float = 0.3
    device: str | None = None
    seed: int = 0


_TRAINING = Training()


@app.command(name="tune-classifier")
def tune_classifier(
    table: Path,
    /,
    *,
    left: str,
    label: str,
    out: Path,
    right: str | None = None,
    classifier: str = "zoo:minilm-l6",
    encoding: str | None = None,
    json: Flag = False,
    training: Training = _TRAINING,
) -> None:
    r"""Train a model to label pairs that it reads together, or texts; say what it is worth.

    For example:

    ```
    tokenry tune-classifier labelled.csv --left a --right b --label same --out classifier

    tokenry tune-classifier news.csv --left text --label topic --out classifier
    ```

    The folder is a classifier for `--classifier` of `tokenry classify-pairs`.

    Args:
        table: A .csv, .tsv, .jsonl or .parquet table.
        left: Column of the texts; several, joined by commas, become one text.
        label: Column of labels, of two kinds or more.
        out: Folder to save the classifier in; new, or empty.
        right: Column of what is read beside each text.
        classifier: Any text model: `zoo:NAME`, a folder, or a name on the Hub.
        encoding: Of csv and jsonl files; UTF-8 when not given.
        json: Print the findings for machines instead.
        training: How long and on what.
    """
    console.quiet_models()
    given: Any = {"left": columns(left), "encoding": encoding, **asdict(training)}
    beside = None if right is None else columns(right)
    found = tokenry.tune_classifier(table, classifier, right=beside, label=label, out=out, **given)
    console.write_found(found, json)


@app.command(name="transform-rows")
def transform_rows(
    table: Path,
    /,
    *,
    on: str,
    referee: str,
    task: str = "Correct the spelling.",
    shot: Annotated[list[str] | None, Parameter(negative="")] = None,
    column: str | None = None,
    tokens: int = 64,
    folder: Path | None = None,
    out: Path | None = None,
    formulas: Flag = False,
    encoding: str | None = None,
    json: Flag = False,
) -> None:
    r"""Let a language model write the texts of a table anew.

    For example:

    ```
    tokenry transform-rows firms.csv --on name --task "Leave out the legal form." \
        --shot "Acme Ltd=Acme" --referee zoo:smollm2-135m --out firms-plain.csv
    ```

    Args:
        table: A .csv, .tsv, .jsonl or .parquet table.
        on: The column; several, joined by commas, become one text.
        referee: The language model: `zoo:NAME`, a folder, a name on the Hub, or an address with the
            model's name, such as `http://localhost:8000/v1#model`.
        task: What shall be done with a text, as a sentence.
        shot: An example, TEXT=NEW; may be given several times. Small models need some.
        column: The name of the new column; transformed_ and the old one's when not given.
        tokens: The longest reply.
        folder: Keeps what was written; the same command goes on there where it was stopped.
        out: The table to write.
        formulas: Write csv cells as they are; otherwise those that spreadsheets take for formulas
            get an apostrophe in front.
        encoding: Of csv and jsonl files; UTF-8 when not given.
        json: Print the findings for machines instead.
    """
    writable("transform-rows", out)
    console.quiet_models()
    shots = [_shot(one) for one in shot or ()]
    found = tokenry.transform_rows(
        table,
        columns(on),
        task,
        referee=referee,
        shots=shots,
        column=column,
        tokens=tokens,
        folder=folder,
        encoding=encoding,
    )
    if out is not None:
        found.write(out, formulas=formulas)
    console.write_found(found, json)
    if out is not None and not json:
        console.write(f"Table: {out}")


def _shot(given: str) -> tuple[str, str]:
    before, sign, after = given.partition("=")
    if not sign:
        raise UsageError(f"transform-rows: --shot {given!r} has no =; write TEXT=NEW.")
    return before, after
