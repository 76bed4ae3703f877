"""The commands about clusters and gold; `tokenry.cli` takes them over as its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cyclopts import App, Parameter

import tokenry
from tokenry import console
from tokenry.cli_arguments import Flag, numbers
from tokenry.cli_files import columns, writable

app = App(name="tokenry", help_format="markdown")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns are called.

    Args:
        left: The column of pairs with one id.
        right: The column with the other one.
        score: The column of scores of pairs.
        id: The column of the ids of records.
        encoding: Of csv and jsonl files.
    """

    left: str = "left"
    right: str = "right"
    score: str = "score"
    id: str = "id"
    encoding: str | None = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Compared(Columns):
    """What the columns are called; two names are those in the found table and in gold.

    Args:
        left: The column of pairs with one id, or two joined by a comma, as in `id_left,ours`.
        right: The column with the other one, likewise.
        score: The column of scores of pairs.
        id: The column of the ids of records, likewise.
        encoding: Of csv and jsonl files.
    """

    def settings(self) -> dict[str, Any]:
        """The settings of the public function."""
        both = {name: columns(getattr(self, name)) for name in ("left", "right", "id")}
        return {**both, "score": self.score, "encoding": self.encoding}


_USUAL, _BOTH = Columns(), Compared()


@app.command
def cluster(
    pairs: Path,
    records: Path | None = None,
    /,
    *,
    threshold: str | None = None,
    by: Literal["components", "average"] = "components",
    largest: int | None = None,
    density: float = 0.0,
    bridges: Flag = False,
    source: str | None = None,
    apart: float = 0.0,
    missing: float = 0.0,
    formulas: Flag = False,
    out: Path | None = None,
    json: Flag = False,
    named: Columns = _USUAL,
) -> None:
    r"""Make clusters of scored pairs, wherever the scores come from.

    For example:

    ```
    tokenry cluster pairs.csv people.csv --id person --threshold 0.7,0.8,0.9 --out clusters.csv
    ```

    Args:
        pairs: A .csv, .tsv, .jsonl or .parquet table with two ids and a score in each row.
        records: A table with all records; those that the pairs name when it is not given.
        threshold: The score from which on a pair counts, or several, joined by commas; all pairs
            when not given.
        by: Records join through any chain of pairs, or while the mean of all their pairs suffices.
        largest: Records of a cluster; a larger one is taken at a higher threshold.
        density: The share of a cluster's possible pairs that must be there.
        bridges: Cut single weak pairs between groups that hold together well.
        source: A column of the records; no cluster has two records of one source.
        apart: How many times as far as a cluster reaches the nearest record outside is at least,
            where far is 1 - score; 0 asks for nothing.
        missing: By average, the score of a pair that is not there.
        formulas: Write csv cells as they are.
        out: The table of records with their clusters to write.
        json: Print the sizes for machines instead.
        named: What the columns are called.
    """
    writable("cluster", out)
    found = tokenry.cluster(
        pairs,
        records,
        threshold=None if threshold is None else numbers("cluster", "threshold", threshold),
        by=by,
        largest=largest,
        density=density,
        bridges=bridges,
        source=source,
        apart=apart,
        missing=missing,
        **vars(named),
    )
    if out is not None:
        found.write(out, formulas=formulas)
    if json:
        console.write_json({**found.to_dict(), "out": None if out is None else str(out)})
    else:
        console.write(str(found) if out is None else f"{found}\nTable: {out}")


@app.command
def evaluate_links(
    found: Path,
    gold: Path,
    /,
    *,
    cluster: str = "cluster",
    entity: str = "entity",
    match: str = "match",
    source: str | None = None,
    one_table: bool | None = None,
    candidates: Path | None = None,
    sizes: str | None = None,
    seed: int = 0,
    json: Flag = False,
    named: Compared = _BOTH,
) -> None:
    r"""Say how well pairs, or clusters, agree with what is known to be true.

    For example:

    ```
    tokenry evaluate-links links.csv gold.csv --candidates pairs.parquet --sizes 5000,5000

    tokenry evaluate-links links.csv gold.csv --left id_left,ours --right id_right,theirs

    tokenry evaluate-links clusters.csv labelled.csv --id person --entity true_person
    ```

    Args:
        found: A table of pairs, such as `tokenry link --pairs` or `--out` wrote, or of records with
            their clusters.
        gold: A table of true pairs, of judged pairs (with a column `match` or `label` of 1 and 0),
            or of records with their entities.
        cluster: The column of the found clusters.
        entity: The column of the true ones.
        match: The column of judgements.
        source: A column of the found table that figures are also given by.
        one_table: Whether both ids of a pair are of one table, so that it has no direction.
        candidates: Pairs that were compared, to measure blocking with.
        sizes: With candidates: how many records there were; of two tables joined by a comma.
        seed: Of the resampling.
        json: Print the findings for machines instead.
        named: What the columns are called.
    """
    scored = tokenry.evaluate_links(
        found,
        gold,
        cluster=cluster,
        entity=entity,
        match=match,
        source=source,
        one_table=one_table,
        candidates=candidates,
        sizes=None if sizes is None else [*map(int, numbers("evaluate-links", "sizes", sizes))],
        seed=seed,
        **named.settings(),
    )
    if json:
        console.write_json(scored.to_dict())
    else:
        console.write(str(scored))
