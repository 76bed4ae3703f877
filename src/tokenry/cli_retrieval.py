"""The commands about retrieval; `tokenry.cli` takes them over as its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

import tokenry
from tokenry import catalog, console

Json = Annotated[bool, Parameter(negative="", show_default=False)]

app = App(name="tokenry", help_format="markdown")


@app.command
def chunks(
    documents: str,
    questions: Path | None = None,
    /,
    *,
    chunkers: str | None = None,
    encoder: str | None = None,
    tokens: str | None = None,
    metric: str = "chunk-metrics",
    seed: int = 0,
    json: Json = False,
) -> None:
    r"""Say which chunks of your documents bring back most evidence and least of the rest.

    For example:

    ```
    tokenry chunks handbook/ questions.jsonl

    tokenry chunks chunking --encoder zoo:minilm-l6 \
        --chunkers "fixed-chunks(size=100),cluster-chunks(size=200)" --metric "chunk-metrics(k=0)"
    ```

    Args:
        documents: A folder, file or table of texts, or `chunking`, which ships with questions.
        questions: A table with columns question, document and evidence: quotes, or start and end.
            When not given, the documents' headings are the questions.
        chunkers: Names, joined by commas, with settings as in the example; each is compared with
            the first.
        encoder: What ranks chunks and cuts by meaning, such as `zoo:minilm-l6`; BM25 ranks when it
            is not given.
        tokens: The tokenizer that sizes count in; words when neither it nor an encoder is given.
        metric: What is measured, with settings.
        seed: Of the resampling.
        json: Print the findings for machines instead.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    found = tokenry.chunks(
        documents,
        questions,
        None if chunkers is None else catalog.split(chunkers),
        encoder=encoder,
        tokens=tokens,
        metric=metric,
        seed=seed,
    )
    if json:
        console.write_json(found.to_dict())
    else:
        console.write(str(found))
