"""The commands about tokenizers; `tokenry.cli` takes them over as its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

import tokenry
from tokenry import catalog, console
from tokenry.errors import UsageError

app = App(name="tokenry", help_flags=(), version_flags=(), help_format="markdown")

Flag = Annotated[bool, Parameter(negative="", show_default=False)]


@app.command
def audit(
    tokenizers: list[str],
    /,
    *,
    text: Path,
    out: Path = Path("report.html"),
    judges: str | None = None,
    lexicon: Path | None = None,
    morphemes: Path | None = None,
    language: str = "tr",
    parallel: Flag = False,
    seed: int = 0,
    json: Flag = False,
) -> None:
    r"""Say what tokenizers are like, side by side, on your texts, and write a report.

    For example:

    ```
    tokenry audit zoo:smollm2-135m zoo:minilm-l6 --text texts/ --out report.html

    tokenry audit my/tokenizer.json --text texts/ --parallel \
        --lexicon turkish/words.txt --morphemes turkish/morphemes.txt --language tr
    ```

    Args:
        tokenizers: One or several: `zoo:NAME`, a folder, or a tokenizer.json.
        text: A folder whose sub-folders are categories such as languages, a text file, or a table
            with columns text and domain.
        out: The report to write.
        judges: Names, joined by commas, with settings as in `"qtok(other=2),parity"`;
            `tokenry list --family vocab` shows all. When not given, those that fit the texts.
        lexicon: Valid words of a language, one on each line.
        morphemes: Its roots and affixes, one on each line.
        language: The code of that language, and the name of its category.
        parallel: Documents of the same name say the same in each category: also give premiums.
        seed: Of the resampling.
        json: Print the findings for machines instead.
    """
    if not out.parent.is_dir():
        raise UsageError(f"tokenry: the folder of {out} does not exist; make it first.")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    found = tokenry.audit(
        tokenizers,
        text,
        None if judges is None else catalog.split(judges),
        lexicon=lexicon or (),
        morphemes=morphemes or (),
        language=language,
        parallel=parallel,
        seed=seed,
    )
    tokenry.report(found, out)
    if json:
        console.write_json({**found.to_dict(), "report": str(out)})
    else:
        console.write(f"{found}\n\nReport: {out}")
