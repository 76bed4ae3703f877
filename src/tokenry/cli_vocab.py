"""The commands about tokenizers; `tokenry.cli` takes them over as its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

import tokenry
from tokenry import catalog, console
from tokenry.cli_arguments import Flag, check_folders
from tokenry.errors import UsageError

if TYPE_CHECKING:
    from tokenry.compare.moves import Moves

app = App(name="tokenry", help_format="markdown")
tokenizer = App(name="tokenizer", help="Learn a tokenizer from texts.", help_format="markdown")
app.command(tokenizer)


@tokenizer.command
def train(
    texts: list[str],
    /,
    *,
    out: Path,
    method: str = "bpe",
    size: int | None = None,
    on_error: str = "raise",
    json: Flag = False,
) -> None:
    """Learn a tokenizer from texts, into a folder that AutoTokenizer loads.

    Prints how many bytes a token stands for on text that was held out, beside BPE with as many
    tokens.

    Example: `tokenry tokenizer train manpages --method less-is-better --size 4000 --out tokens`

    Args:
        texts: Folders, files or tables of texts, or built-in ones such as `manpages`.
        out: The folder to write; new, or empty.
        method: The trainer, with settings as in "less-is-better(documents=400)".
        size: Most tokens, special ones included.
        on_error: "raise" names texts that cannot be read; "skip" leaves them out.
        json: Print the findings for machines instead.
    """
    from tokenry.plugs.learning import train_tokenizer

    found = train_tokenizer(texts, method, out=out, size=size, on_error=on_error)
    if json:
        console.write_json(found.to_dict())
    else:
        console.write(str(found))


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
    check_folders("audit", out)
    console.quiet_models()
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


@app.command
def transplant(
    model: str,
    new_tokenizer: str,
    /,
    *,
    method: str,
    text: str,
    out: Path,
    report: Path | None = None,
    source_text: str | None = None,
    dictionary: str | None = None,
    source_words: Path | None = None,
    target_words: Path | None = None,
    special: str | None = None,
    held_out: int = 20_000,
    train_steps: int = 0,
    rate: float = 1e-3,
    seed: int = 0,
    on_error: str = "raise",
    json: Flag = False,
) -> None:
    r"""Move a language model to another tokenizer, and say what it lost and what it saves.

    Bits per byte are measured on texts that are held out from the move. A training that was killed
    goes on when the same command is given again.

    For example:

    ```
    tokenry transplant zoo:smollm2-135m german-tokenizer --method fvt --text german/ --out moved

    tokenry transplant zoo:smollm2-135m german-tokenizer --method "wechsel(by=words)" \
        --text german/ --source-text english/ --dictionary en-de.tsv --out moved --train-steps 200

    tokenry transplant zoo:smollm2-135m german-tokenizer --method fvt,focus,mean-rows \
        --text german/ --out moved --report moved.html
    ```

    Args:
        model: `zoo:NAME`, a folder, or a name on the Hub.
        new_tokenizer: A folder, or a name on the Hub.
        method: Its name, with settings as in the example, or several, joined by commas, to have
            them side by side; `tokenry list --family vocab` shows all.
        text: A folder, file or table of texts that the model shall read.
        out: Folder to save the moved model in; `transplant.json` and `transplant-rows.jsonl` in it
            say what became of each row. Of several methods, each has a folder of its name there.
        report: A page to write, with the texts in old and new tokens side by side.
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
        on_error: "raise" names texts that cannot be read; "skip" leaves them out.
        json: Print the findings for machines instead.
    """
    from tokenry.compare.transplants import Grounds, transplants_on

    check_folders("transplant", report)
    console.quiet_models()
    grounds = Grounds(
        text=text,
        source_text=source_text,
        dictionary=dictionary,
        source_words=source_words,
        target_words=target_words,
        special=None if special is None else _pairs(special),
        held_out=held_out,
        train_steps=train_steps,
        rate=rate,
        seed=seed,
        on_error=on_error,
    )
    found = transplants_on(model, new_tokenizer, catalog.split(method), grounds, out=out)
    _tell(found, report, json)


def _tell(found: Moves, report: Path | None, json: bool) -> None:
    """Print what the moves did, and write the page."""
    page = {} if report is None else {"report": str(tokenry.report(found, report))}
    if json:
        console.write_json({**found.to_dict(), **page})
    else:
        console.write("\n".join([str(found), *(f"Report: {path}" for path in page.values())]))


def _pairs(text: str) -> dict[str, str]:
    """`new=old` joined by commas."""
    pairs = [one.partition("=") for one in text.split(",")]
    if not all(new and old for new, _, old in pairs):
        raise UsageError(f"transplant: special={text!r} is not like '<end>=</s>,<begin>=<s>'.")
    return {new.strip(): old.strip() for new, _, old in pairs}
