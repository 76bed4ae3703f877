"""The commands about tokenizers; `tokenry.cli` takes them over as its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from tokenry import console
from tokenry.errors import UsageError

Json = Annotated[bool, Parameter(negative="", show_default=False)]

app = App(name="tokenry", help_format="markdown")


@app.command
def transplant(
    model: str,
    new_tokenizer: str,
    /,
    *,
    method: str,
    text: str,
    out: Path,
    source_text: str | None = None,
    dictionary: str | None = None,
    source_words: Path | None = None,
    target_words: Path | None = None,
    special: str | None = None,
    held_out: int = 20_000,
    train_steps: int = 0,
    rate: float = 1e-3,
    seed: int = 0,
    json: Json = False,
) -> None:
    r"""Move a language model to another tokenizer, and say what it lost and what it saves.

    Bits per byte are measured on texts that are held out from the move. A training that was killed
    goes on when the same command is given again.

    For example:

    ```
    tokenry transplant zoo:smollm2-135m german-tokenizer --method fvt --text german/ --out moved

    tokenry transplant zoo:smollm2-135m german-tokenizer --method "wechsel(by=words)" \
        --text german/ --source-text english/ --dictionary en-de.tsv --out moved --train-steps 200
    ```

    Args:
        model: `zoo:NAME`, a folder, or a name on the Hub.
        new_tokenizer: A folder, or a name on the Hub.
        method: Its name, with settings as in the example; `tokenry list --family vocab` shows all.
        text: A folder, file or table of texts that the model shall read.
        out: Folder to save the moved model in; `transplant.json` and `transplant-rows.jsonl` in it
            say what became of each row.
        source_text: The same of texts of the old tokenizer's language, for methods that learn from
            them.
        dictionary: A file with a word, a tab and its translation on each line, or `names:de` for
            names of countries, languages and scripts from English.
        source_words: Word vectors of the old language, a .vec or .bin file of fastText; learned
            from the texts when not given.
        target_words: Those of the new language.
        special: Special tokens of the new tokenizer with the old one whose row they take, as
            `"<end>=</s>,<begin>=<s>"`.
        held_out: Bytes of text to measure on, at most a fifth of the texts.
        train_steps: Steps of training the rows of tokens, and nothing else, on the rest.
        rate: Learning rate of that training.
        seed: Of all that is drawn.
        json: Print the findings for machines instead.
    """
    from tokenry.compare.transplants import transplant_on

    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # standard error is for the bar
    learned: Any = {"source_text": source_text, "dictionary": dictionary}
    learned |= {"source_words": source_words, "target_words": target_words}
    measured: Any = {"held_out": held_out, "train_steps": train_steps, "rate": rate, "seed": seed}
    found = transplant_on(
        model,
        new_tokenizer,
        method,
        text=text,
        special=None if special is None else _pairs(special),
        out=out,
        **learned,
        **measured,
    )
    if json:
        console.write_json({**found.to_dict(), "out": str(out)})
    else:
        console.write(f"{found}\n\nSaved: {out}")


def _pairs(text: str) -> dict[str, str]:
    """`new=old` joined by commas."""
    pairs = [one.partition("=") for one in text.split(",")]
    if not all(new and old for new, _, old in pairs):
        raise UsageError(f"transplant: special={text!r} is not like '<end>=</s>,<begin>=<s>'.")
    return {new.strip(): old.strip() for new, _, old in pairs}
