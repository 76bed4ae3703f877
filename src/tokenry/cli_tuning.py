"""The commands that learn from pairs or decide them; `tokenry.cli` takes them over as its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

import tokenry
from tokenry import catalog, console
from tokenry.errors import UsageError

Json = Annotated[bool, Parameter(negative="", show_default=False)]
Form = Literal["text", "letters", "none"]

app = App(name="tokenry", help_format="markdown")


@app.command
def tune(
    table: Path,
    /,
    *,
    out: Path,
    encoder: str = "zoo:minilm-l6",
    left: str | None = None,
    right: str | None = None,
    label: str | None = None,
    text: str | None = None,
    cluster: str | None = None,
    method: str | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    rate: float = 2e-5,
    per_group: int = 2,
    held_out: float = 0.2,
    distractors: Json = False,
    normalise: Form = "text",
    device: str | None = None,
    encoding: str | None = None,
    seed: int = 0,
    json: Json = False,
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
        encoder: `zoo:NAME`, a folder, or a name on the Hub.
        left: Column of one text of a pair; several, joined by commas, become one text.
        right: The same of the other text.
        label: Column that says whether a pair is the same: 1 or 0, yes or no.
        text: Column of texts with what they name.
        cluster: Column of what they name.
        method: An objective, with settings as in "supcon(temperature=.1)"; online-contrastive for
            labelled pairs and supcon otherwise, when not given.
        steps: Steps; three rounds of the training part when not given.
        batch_size: Rows of a step; 64, or all where there are fewer, when not given.
        rate: Highest learning rate.
        per_group: Texts of one thing that meet in a batch.
        held_out: Share of the things that is held out, one half to choose the best state by and the
            other to test it; 0 for none.
        distractors: Search among the right texts of the training part, too, when testing.
        normalise: How texts are written, as in `tokenry link`.
        device: Where to train, such as `cuda`.
        encoding: Of csv and jsonl files; UTF-8 when not given.
        seed: Of the parts, the order, and dropout.
        json: Print the findings for machines instead.
    """
    _quiet()
    columns: Any = {name: _columns(one) for name, one in _given(left, right, text).items()}
    found = tokenry.tune(
        table,
        encoder,
        **columns,
        label=label,
        cluster=cluster,
        method=method,
        out=out,
        steps=steps,
        batch_size=batch_size,
        rate=rate,
        per_group=per_group,
        held_out=held_out,
        distractors=distractors,
        normalise=normalise,
        device=device,
        encoding=encoding,
        seed=seed,
    )
    _say(found, json)


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
    encoder: str | None = None,
    normalise: Form = "text",
    device: str | None = None,
    encoding: str | None = None,
    out: Path | None = None,
    formulas: Json = False,
    json: Json = False,
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
        encoder: What gives texts vectors: `zoo:NAME`, a folder, or a name on the Hub.
        normalise: How texts are written, as in `tokenry link`.
        device: Where the encoder or classifier runs, such as `cuda`.
        encoding: Of csv and jsonl files; UTF-8 when not given.
        out: The table to write, with the columns `score` and `match`, or `predicted` and `score`.
        formulas: Write csv cells as they are; otherwise those that spreadsheets take for formulas
            get an apostrophe in front.
        json: Print the findings for machines instead.
    """
    if out is not None:
        from tokenry.tables.files import check_ending

        if not out.parent.is_dir():
            raise UsageError(f"classify-pairs: the folder of {out} does not exist; make it first.")
        check_ending(out)
    _quiet()
    columns: Any = {name: _columns(one) for name, one in _given(left, right, None).items()}
    found = tokenry.classify_pairs(
        table,
        **columns,
        method=method,
        classifier=classifier,
        label=label,
        threshold=threshold,
        encoder=encoder,
        normalise=normalise,
        device=device,
        encoding=encoding,
    )
    if out is not None:
        found.write(out, formulas=formulas)
    _say(found, json)
    if out is not None and not json:
        console.write(f"Table: {out}")


def _given(left: str | None, right: str | None, text: str | None) -> dict[str, str]:
    every = {"left": left, "right": right, "text": text}
    return {name: one for name, one in every.items() if one is not None}


def _columns(text: str) -> list[str]:
    return catalog.split(text)


def _quiet() -> None:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # standard error is for bars


def _say(found: Any, json: bool) -> None:
    if json:
        console.write_json(found.to_dict())
    else:
        console.write(str(found))
