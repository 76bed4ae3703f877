"""Make a collection of Debian packages in the form of BEIR: packages that are about the same.

Reads the package index of a Debian mirror, as `apt-get update` leaves it or as a file, and takes
packages whose tags people gave them (debtags). A query is a package's description, the answers are
the other packages, and relevance is the weighted Jaccard of their tags: a tag counts as much as it
is rare, log(N / packages with it). Labels below `--least` are left out. With `--facets` the queries
are short: the values of a tag, such as "playing audio".

The folder is for measuring and is not shipped: descriptions are under the licence of each package,
and Debian states none for the tags. Run from the repository root (half a minute):

    python recipes/debtags_data.py debtags --packages 2000 --queries 200
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HELPER = "/usr/lib/apt/apt-helper"
LISTS = Path("/var/lib/apt/lists")
SKIPPED = ("special::", "made-of::", "role::", "TODO")
"""Tags that say how a package is made, not what it is about."""
FEWEST = 3


def index() -> str:
    """The package index that apt keeps, uncompressed."""
    found = sorted(LISTS.glob("*_main_binary-*_Packages*"), key=lambda path: -path.stat().st_size)
    if not found:
        raise SystemExit(f"{LISTS}: no package index; run apt-get update, or give --index FILE")
    command = [HELPER, "cat-file", str(found[0])]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def packages(text: str) -> Iterator[dict[str, Any]]:
    """Packages with a description and at least a few tags that count."""
    for entry in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Z][\w-]*): ?((?:.*\n?)(?: .*\n?)*)", entry, re.M))
        tags = {tag.strip() for tag in fields.get("Tag", "").replace("\n", " ").split(",")}
        tags = {tag for tag in tags if tag and not any(part in tag for part in SKIPPED)}
        about = " ".join(fields.get("Description", "").split())
        if about and len(tags) >= FEWEST:
            yield {"name": fields["Package"].strip(), "about": about, "tags": tags}


def chosen(every: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Some of the packages, the same ones each time; of equal descriptions the first only."""
    seen: set[str] = set()
    order = sorted(every, key=lambda one: hashlib.sha256(one["name"].encode()).digest())
    single = [one for one in order if not (one["about"] in seen or seen.add(one["about"]))]
    return sorted(single[:count], key=lambda one: one["name"])


def alike(a: set[str], b: set[str], weight: dict[str, float]) -> float:
    """The weight of the tags that both have, over that of all that one has."""
    both = sum(weight[tag] for tag in a & b)
    return both / sum(weight[tag] for tag in a | b)


def relevance(
    asked: list[dict[str, Any]], kept: list[dict[str, Any]], weight: dict[str, float], least: float
) -> dict[str, dict[str, float]]:
    """For each query the packages that are at least so much alike."""
    return {
        one["name"]: {
            other["name"]: round(value, 4)
            for other in kept
            if other is not one
            and one["tags"] & other["tags"]
            and (value := alike(one["tags"], other["tags"], weight)) >= least
        }
        for one in asked
    }


def facets(kept: list[dict[str, Any]]) -> tuple[dict[str, str], dict[str, dict[str, float]]]:
    """Tags as short queries: those that five packages or more have, and a tenth at most."""
    counts = Counter(tag for one in kept for tag in one["tags"])
    wanted = [tag for tag, n in counts.items() if 5 <= n <= len(kept) / 10]
    texts = {tag: " ".join(re.split(r"[:-]+", tag.partition("::")[2])) for tag in sorted(wanted)}
    return texts, {tag: {o["name"]: 1.0 for o in kept if tag in o["tags"]} for tag in texts}


def main() -> None:
    """Write the collection."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder of the collection; made when not there")
    parser.add_argument("--index", type=Path, help="a file Packages, uncompressed")
    parser.add_argument("--packages", type=int, default=2000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--least", type=float, default=0.2, help="smallest label that is written")
    parser.add_argument("--facets", action="store_true", help="tags as queries")
    given = parser.parse_args()
    text = given.index.read_text(encoding="utf-8") if given.index else index()
    kept = chosen(list(packages(text)), given.packages)
    counts = Counter(tag for one in kept for tag in one["tags"])
    weight = {tag: math.log(len(kept) / n) for tag, n in counts.items()}
    if given.facets:
        texts, labels = facets(kept)
    else:
        asked = kept[:: max(1, len(kept) // given.queries)][: given.queries]
        texts = {one["name"]: one["about"] for one in asked}
        labels = relevance(asked, kept, weight, given.least)
    write(given.out, kept, texts, labels)
    found = sum(map(len, labels.values()))
    print(f"{len(kept)} packages, {len(texts)} queries, {found} labels, {len(weight)} tags")


def write(
    out: Path,
    kept: list[dict[str, Any]],
    texts: dict[str, str],
    labels: dict[str, dict[str, float]],
) -> None:
    """The three files of the form."""
    (out / "qrels").mkdir(parents=True, exist_ok=True)
    rows = {
        "corpus.jsonl": [{"_id": o["name"], "title": "", "text": o["about"]} for o in kept],
        "queries.jsonl": [{"_id": name, "text": text} for name, text in texts.items()],
    }
    for file, content in rows.items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
        (out / file).write_text(lines, encoding="utf-8")
    lines = [f"{q}\t{d}\t{v:g}\n" for q, found in labels.items() for d, v in found.items()]
    head = "query-id\tcorpus-id\tscore\n"
    (out / "qrels" / "test.tsv").write_text(head + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
