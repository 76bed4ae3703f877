"""The command line: each command is a thin call of the public function of the same name.

Exit codes: 0 all well, 1 a gate failed, 2 wrong usage, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import App, CycloptsError

import tokenry
from tokenry import (
    catalog,
    cli_catalog,
    cli_clusters,
    cli_linking,
    cli_retrieval,
    cli_rows,
    cli_tuning,
    cli_vocab,
    console,
)
from tokenry.cli_arguments import Flag, check_folders, numbers
from tokenry.errors import TokenryError, UsageError

if TYPE_CHECKING:
    from tokenry.compare.results import Results

GATE_FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130

app = App(
    name="tokenry",
    help="Published ways to treat the tokens of transformer models: which one is worth it for you?",
    version=lambda: tokenry.__version__,
    help_format="markdown",
)
for _group, _commands in (
    (cli_catalog.app, ("list", "show", "find")),
    (cli_vocab.app, ("audit", "tokenizer", "transplant")),
    (cli_retrieval.app, ("chunks", "copy", "evaluate", "eval", "index", "search")),
    (cli_clusters.app, ("cluster", "evaluate-links")),
    (cli_linking.app, ("aggregate", "dedupe", "link")),
    (cli_tuning.app, ("classify-pairs", "tune")),
    (cli_rows.app, ("transform-rows", "tune-classifier")),
):
    for _command in _commands:
        app.command(_group[_command], name=_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after `tokenry`; those of this process when not given.

    Returns:
        The exit code.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        command, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
        return command(*bound.args, **bound.kwargs) or 0
    except (CycloptsError, TokenryError) as error:
        hint = " See `tokenry --help`." if isinstance(error, CycloptsError) else ""
        console.say(f"tokenry: {error}{hint}")
        return WRONG_USAGE
    except KeyboardInterrupt:
        console.say("tokenry: stopped.")
        return INTERRUPTED


@app.command
def compare(
    model: str,
    /,
    *,
    data: str,
    methods: str,
    keep: str = "1,.75,.5,.25",
    task: str | None = None,
    out: Path = Path("report.html"),
    folder: Path = Path("results"),
    limit: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    repeats: int = 1,
    budget_seconds: float | None = None,
    image_size: int | None = None,
    query: Literal["aware", "free"] | None = None,
    max_tokens: int | None = None,
    block: str | None = None,
    device: str | None = None,
    max_loss: float | None = None,
    by: Literal["seconds", "bytes_resident", "bytes_read", "index_bytes", "p95"] = "seconds",
    picture: Path | None = None,
    json: Flag = False,
) -> int:
    r"""Measure what methods cost and what they lose, and write a report.

    What is measured is stored at once. Ctrl-C keeps it, and the same command goes on from there.

    For example:

    ```
    tokenry compare zoo:dinov2-small-saliency --data emoji --methods pitome,tome

    tokenry compare facebook/dinov2-small --data photos \
        --methods "pitome(margin=.5),tome,tome(schedule=ratio)" --keep 1,.7,.5 --limit 200

    tokenry compare zoo:smollm2-135m --data notes/ --methods snapkv,streaming-llm --keep 1,.5,.25

    tokenry compare zoo:minilm-l6 --data manpages --methods bm25,index-search,token-pooling

    tokenry compare zoo:minilm-l6 --data emoji-names \
        --methods exact,char-ngrams,fuzzy,linktransformer,hybrid
    ```

    Args:
        model: `zoo:NAME`, a folder, or a name on the Hub: a vision model, a causal language
            model, or a text encoder.
        data: For a vision model a folder or table of pictures, or `emoji`, `emoji:google`,
            `emoji:twitter`, `digits`; for a language model a folder, file or table of texts,
            `manpages`, or a probe with answers such as `needle-threading`; for a text encoder
            `manpages`, `lee`, a folder in the form of BEIR or TREC, or of texts with
            queries.jsonl; for linkers `emoji-names`, a folder with the tables left, right and
            matches, or labelled pairs as ditto packs them, or one table such as `febrl1`.
        methods: Names, joined by commas, with settings as in `"pitome(margin=.5),tome"`;
            `tokenry list` shows all, and `tokenry show NAME` the settings.
        keep: Shares of tokens to process, or of cache slots to hold, each in (0, 1], joined by
            commas.
        task: What is scored, joined by commas. For a vision model agreement (the default),
            classification, probe, retrieval, dense; for a language model lm-agreement (the
            default), perplexity, answers, needles; for a text encoder search; for linkers
            linking.
        out: The report to write.
        folder: Keeps what is measured; the same command goes on there where it was stopped.
        limit: At most so many examples.
        seed: Of all that is drawn.
        batch_size: Examples per pass; 8 pictures or 1 text when not given.
        repeats: Timed passes per batch; their median counts.
        budget_seconds: Stop before this is over.
        image_size: Side in pixels that pictures are brought to, a multiple of the patch size.
        query: When the question about a text comes: `aware`, in the prompt before the cache is cut
            (the default where there is a question), or `free`, after the text was read and cut.
        max_tokens: Most tokens of a text, or of each document that is searched. When not given,
            whole documents; of a text 512 where it goes on itself and 2048 where a question is
            asked, or what the model has positions for.
        block: Which records linkers compare, rules joined by commas as for `tokenry link`; all when
            not given.
        device: Where to run, such as `cuda`; where the model is when not given.
        max_loss: A gate: exit with 1 unless a method is shown to be faster and to lose no more
            score than this. Without it, 0.01 is allowed and nothing fails.
        by: What the best shall have least of: `seconds`, or for a language model `bytes_resident`
            or `bytes_read` of the cache, for a text encoder `index_bytes` or `p95`; then the gate
            asks for less of that, not for speed.
        picture: Also draw the Pareto plot and pictures of tokens or slots, as a PNG file.
        json: Print the findings for machines instead.
    """
    if max_loss is not None and not max_loss >= 0:
        raise UsageError(f"compare: max_loss={max_loss!r} is negative; it is a loss of score.")
    check_folders("compare", out, picture)
    console.quiet_models()
    given: Any = {"limit": limit, "seed": seed, "batch_size": batch_size, "repeats": repeats}
    given |= {"image_size": image_size, "query": query, "max_tokens": max_tokens}
    given |= {"folder": folder, "device": device, "budget_seconds": budget_seconds}
    given |= {"task": task and catalog.split(task), "block": block and catalog.split(block)}
    with console.noting_interrupts() as interrupts:
        names = catalog.split(methods)
        found = tokenry.compare(model, names, data, keep=numbers("compare", "keep", keep), **given)
    return _conclude(found, bool(interrupts), folder, out, picture, (max_loss, by), json)


@app.command
def report(
    results: Path, /, *, out: Path = Path("report.html"), picture: Path | None = None
) -> None:
    """Write the report of a comparison again, from its folder of measurements.

    Example: `tokenry report results --out report.html`

    Args:
        results: The folder that `tokenry compare --folder` keeps.
        out: The report to write.
        picture: Also draw the Pareto plot and pictures of tokens or slots, as a PNG file.
    """
    check_folders("report", out, picture)
    _write(tokenry.Results.open(results), out, picture)
    console.write(f"Report: {out}")


@app.command
def zoo(*, json: Flag = False) -> None:
    """List the real models and tokenizers that installable packages carry.

    Example: `tokenry zoo`

    Args:
        json: Print for machines instead.
    """
    from tokenry.zoo import models, tokenizers

    both = (*models(), *tokenizers())
    if json:
        fields = ("name", "title", "license", "size_mb", "kind", "installed", "install")
        rows = [{field: getattr(one, field) for field in fields} for one in both]
        for row in rows[len(models()) :]:
            row["kind"] = "tokenizer"
        console.write_json(rows)
        return
    for first, entries in (("Model", models()), ("Tokenizer", tokenizers())):
        table = console.table(first, "What it is", "Licence", "MB", "Installed")
        for one in entries:
            size, here = str(one.size_mb), "yes" if one.installed else "no"
            table.add_row(f"zoo:{one.name}", one.title, one.license, size, here)
        console.write(table)
    for one in both:
        if not one.installed:
            console.write(f"zoo:{one.name}: {one.install}")


@app.command
def probe(
    model: str,
    probe: str,
    /,
    *,
    methods: str | None = None,
    keep: str | None = None,
    query: Literal["aware", "free"] = "free",
    seed: int = 0,
    limit: int | None = None,
    batch_size: int = 4,
    bos: Flag = False,
    device: str | None = None,
    json: Flag = False,
) -> None:
    r"""Measure what a language model does with its tokens, on texts with exact answers.

    With `--methods`, the same texts are read under every cache policy, side by side.

    For example:

    ```
    tokenry probe zoo:smollm2-135m verbatim-memory --limit 60

    tokenry probe zoo:smollm2-135m verbatim-memory --limit 60 \
        --methods d2o,h2o,snapkv,streaming-llm,tokenselect --keep 1,.5,.25

    tokenry probe zoo:smollm2-135m "needle-threading(task=thread, digits=4, lengths=(400, 800))"
    ```

    Args:
        model: `zoo:NAME`, a folder, or a name on the Hub.
        probe: Its name, with settings as in the example; `tokenry list --family probes` shows all,
            and `tokenry show NAME` the settings.
        methods: Cache policies, joined by commas, with settings as in "snapkv(last=16),h2o".
        keep: Shares of cache slots to hold, each in (0, 1], joined by commas; 1,.5,.25 when not
            given.
        query: When the question, or the second list, comes: `free`, after the text was read and
            the cache cut, or `aware`, before that.
        seed: Of the texts and of the resampling.
        limit: At most so many texts, with every length, depth and kind as often as can be.
        batch_size: Texts per pass.
        bos: Put the beginning-of-text token in front of each text.
        device: Where to run, such as `cuda`; where the model is when not given.
        json: Print the findings for machines instead.
    """
    console.quiet_models()
    counts: Any = {"seed": seed, "limit": limit, "batch_size": batch_size}
    inputs: Any = {"query": query, "bos": bos, "device": device}
    inputs["methods"] = None if methods is None else catalog.split(methods)
    inputs["keep"] = None if keep is None else numbers("probe", "keep", keep)
    found = tokenry.probe(model, probe, **counts, **inputs)
    if json:
        console.write_json(found.to_dict())
    else:
        console.write(str(found))


@app.command
def check(method: str, /, *, json: Flag = False) -> int:
    """Try every common check on a method; exit with 1 if one fails.

    Example: `tokenry check my_package.longest:Longest`

    Args:
        method: `package.module:Class`, looked up from the current folder too, or a name.
        json: Print for machines instead.
    """
    sys.path.append(str(Path.cwd()))
    found = tokenry.check(method)
    if json:
        console.write_json(
            [{"name": r.name, "outcome": r.outcome, "message": r.message} for r in found]
        )
    else:
        table = console.table("Check", "Outcome", "Message")
        for result in found:
            table.add_row(result.name, result.outcome, result.message)
        console.write(table)
    return GATE_FAILED if any(result.outcome == "failed" for result in found) else 0


def _conclude(
    found: Results,
    stopped: bool,
    folder: Path,
    out: Path,
    picture: Path | None,
    gate: tuple[float | None, str],
    as_json: bool,
) -> int:
    """Say what was found and where it is; the exit code."""
    if not found.complete:
        why = "Stopped" if stopped else "The budget is spent"
        console.say(
            f"{why}; what was measured is in {folder}, and the same command goes on from there."
        )
    for one in found.skipped:
        console.say(f"{one.method} at keep {one.keep:g} was refused: {one.reason}")
    if not found.rows():
        return INTERRUPTED
    _write(found, out, picture)
    max_loss, by = gate
    best = found.best(0.01 if max_loss is None else max_loss, by=by)
    if as_json:
        chosen = {name: getattr(best, name) for name in ("method", "keep", "confidence", "code")}
        places = {"report": str(out), "folder": str(folder)}
        console.write_json({**found.to_dict(), "best": chosen, **places})
    else:
        console.write(f"{best.confidence}\n\n{best.code.rstrip()}\n\nReport: {out}")
    if stopped:
        return INTERRUPTED
    return GATE_FAILED if max_loss is not None and best.is_untouched else 0


def _write(results: Results, out: Path, picture: Path | None) -> None:
    tokenry.report(results, out)
    if picture is not None:
        from tokenry.report.picture import picture as draw

        draw(results, picture)


if __name__ == "__main__":
    sys.exit(main())
