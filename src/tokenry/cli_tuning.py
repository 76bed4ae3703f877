"""The commands that learn from pairs or decide them; `tokenry.cli` takes them over as its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cyclopts import App, Parameter

import tokenry
from tokenry import console
from tokenry.cli_arguments import Flag
from tokenry.cli_files import columns, writable

Form = Literal["text", "letters", "none"]

app = App(name="tokenry", help_format="markdown")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Reading:
    """How texts are read.

    Args:
        encoder: What gives texts vectors: `zoo:NAME`, a folder, or a name on the Hub.
        normalise: How texts are written: `text` (case, punctuation and spaces do not count),
            `letters` (nor do accents) or `none`.
        device: Where the model runs, such as `cuda`.
        encoding: Of csv and jsonl files; UTF-8 when not given.
    """

    encoder: str | None = None
    normalise: Form = "text"
    device: str | None = None
    encoding: str | None = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Training:
    """How long and on what an encoder is trained.

    Args:
        method: An objective, with settings as in "supcon(temperature=.1)"; online-contrastive for
            labelled pairs and supcon otherwise, when not given.
        steps: Steps; three rounds of the training part when not given.
        batch_size: Rows of a step; 64, or all where there are fewer, when not given.
        rate: Highest learning rate.
        per_group: Texts of one thing that meet in a batch.
        held_out: Share of the things that is held out, one half to choose the best state by and the
            other to test it; 0 for none.
        distractors: Search among the right texts of the training part, too, when testing.
        seed: Of the parts, the order, and dropout.
    """

    method: str | None = None
    steps: int | None = None
    batch_size: int | None = None
    rate: float = 2e-5
    per_group: int = 2
    held_out: float = 0.2
    distractors: Flag = False
    seed: int = 0


_READING, _TRAINING = Reading(), Training()


@app.command
def tune(
    table: Path,
    /,
    *,
    out: Path,
    left: str | None = None,
    right: str | None = None,
    label: str | None = None,
    text: str | None = None,
    cluster: str | None = None,
    json: Flag = False,
    training: Training = _TRAINING,
    reading: Reading = _READING,
) -> None:
    r"""Train an encoder on pairs of names, and say what it brought on things it has not seen.

    For example:

    ```
    tokenry tune pairs.csv --left old --right new --out tuned

    tokenry tune labelled.csv --left a --right b --label same --out tuned

    tokenry tune names.csv --text name --cluster company --encoder zoo:minilm-l6 --out tuned
    ```

    The folder is an encoder for `--encoder` of `tokenry link` and the others.

    Args:
        table: A .csv, .tsv, .jsonl or .parquet table of pairs, or of texts with what they name.
        out: Folder to save the encoder in; new, or empty.
        left: Column of one text of a pair; several, joined by commas, become one text.
        right: The same of the other text.
        label: Column that says whether a pair is the same: 1 or 0, yes or no.
        text: Column of texts with what they name.
        cluster: Column of what they name.
        json: Print the findings for machines instead.
        training: How long and on what.
        reading: How texts are read.
    """
    console.quiet_models()
    named: Any = _columns(left=left, right=right, text=text)
    given = {**asdict(training), **_read(reading)}
    found = tokenry.tune(table, out=out, label=label, cluster=cluster, **named, **given)
    console.write_found(found, json)


@app.command(name="classify-pairs")
def classify_pairs(
    table: Path,
    /,
    *,
    left: str,
    right: str | None = None,
    method: str = "linktransformer",
    classifier: str | None = None,
    label: str | None = None,
    threshold: float | None = None,
    out: Path | None = None,
    formulas: Flag = False,
    json: Flag = False,
    reading: Reading = _READING,
) -> None:
    r"""Say of each row of a table of pairs whether the two are the same; or classify texts.

    For example:

    ```
    tokenry classify-pairs pairs.csv --left a --right b --out decided.csv

    tokenry classify-pairs pairs.csv --left a --right b --label same --method hybrid

    tokenry classify-pairs news.csv --left text --classifier my/classifier --out labelled.csv
    ```

    Args:
        table: A .csv, .tsv, .jsonl or .parquet table.
        left: Column of one side; several, joined by commas, become one text.
        right: The same of the other side; only a classifier does without.
        method: A linker, with settings as in `"fuzzy(scorer=jaro-winkler)"`.
        classifier: A folder or a name on the Hub of a classifier of sequences, in place of a
            linker.
        label: Column of labels, 1 for the same. Where some rows have none, the linker learns from
            the others; where all have one, the verdicts are measured.
        threshold: The score from which on a pair is a match; learned, or the linker's own, when not
            given.
        out: The table to write, with the columns `score` and `match`, or `predicted` and `score`.
        formulas: Write csv cells as they are; otherwise those that spreadsheets take for formulas
            get an apostrophe in front.
        json: Print the findings for machines instead.
        reading: How texts are read.
    """
    writable("classify-pairs", out)
    console.quiet_models()
    named: Any = _columns(left=left, right=right)
    given: Any = {"method": method, "classifier": classifier, "threshold": threshold}
    found = tokenry.classify_pairs(table, label=label, **named, **given, **_read(reading))
    if out is not None:
        found.write(out, formulas=formulas)
    console.write_found(found, json)
    if out is not None and not json:
        console.write(f"Table: {out}")


def _read(reading: Reading) -> dict[str, Any]:
    """What was given; the rest is left to the public functions."""
    return {name: one for name, one in asdict(reading).items() if one is not None}


def _columns(**given: str | None) -> dict[str, list[str]]:
    return {name: columns(one) for name, one in given.items() if one is not None}
