"""The commands about tokenizers; `tokenry.cli` takes them over as its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from tokenry import console

app = App(name="tokenry", help_flags=(), version_flags=(), help_format="markdown")
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
    json: Annotated[bool, Parameter(negative="", show_default=False)] = False,
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
        json: Print the findings for machines instead.
    """
    from tokenry.plugs.learning import train_tokenizer

    found = train_tokenizer(texts, method, out=out, size=size)
    if json:
        console.write_json(found.to_dict())
    else:
        console.write(str(found))
