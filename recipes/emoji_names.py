"""Make the set `emoji-names`: the same bytes on every run.

Two tables name the same emoji: the short names that people type in Slack, and the names that
Unicode's CLDR gives, with its keywords and the German and Japanese names. The gold is the code
point, which neither table holds. Of the emoji of one code point, 300 whose names differ once case,
punctuation and spaces do not count, and 100 whose names do not, stand in both tables; 100 more in
each table only.

Needs npm. Run from the repository root (a few seconds):

    python recipes/emoji_names.py
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from emoji_data import code, fetch, members

PACKAGE = "emojibase-data@17.0.0"
DIFFERENT, SAME, ALONE = 300, 100, 100
SEED = 7

SOURCES = """\
# `emoji-names`: where it comes from

Made by `recipes/emoji_names.py`, which fetches and checks the package.

| part | from | by | licence |
|---|---|---|---|
| `left.csv`: short names as typed in Slack | npm `emojibase-data` 17.0.0, \
`en/shortcodes/iamcal.json` | Copyright 2017-2019 Miles Johnson | MIT |
| `right.csv`: names and keywords in English, names in German and Japanese | the same package, \
`*/data.json` (Unicode CLDR) | Copyright 1991-2025 Unicode, Inc. | MIT, Unicode-3.0 |
| `group` in both | the same package, `meta/groups.json` (Unicode) | the same | the same |
| `matches.csv` | equal code points | | |

## Changes made

Emoji of one code point were drawn by chance: {different} whose names differ once case, punctuation
and spaces do not count, and {same} whose names do not, are in both tables, {alone} more in each
table only. Rows are shuffled and numbered; the code points are left out.
"""


def plain(text: str) -> str:
    """A name without case, punctuation and spaces."""
    return "".join(c for c in text.casefold() if c.isalnum())


def concepts(archive: Path) -> list[dict[str, str]]:
    """Every emoji of one code point with all its names."""
    languages = ("en", "de", "ja")
    files = [f"{language}/data.json" for language in languages]
    found = members(archive, [*files, "en/shortcodes/iamcal.json", "meta/groups.json"])
    tables = [{e["hexcode"]: e for e in json.loads(found[file])} for file in files]
    short = json.loads(found["en/shortcodes/iamcal.json"])
    groups = json.loads(found["meta/groups.json"])["groups"]
    rows = []
    for hexcode, entry in sorted(tables[0].items()):
        if "group" not in entry or "-" in code(hexcode) or hexcode not in short:
            continue
        typed: Any = short[hexcode]
        typed = [typed] if isinstance(typed, str) else typed
        rows.append(
            {
                "typed": typed[0],
                "alias": " ".join(typed[1:]),
                "name": entry["label"],
                "keywords": " ".join(entry.get("tags", [])),
                "name_de": tables[1][hexcode]["label"],
                "name_ja": tables[2][hexcode]["label"],
                "group": groups[str(entry["group"])],
            }
        )
    return rows


def write(path: Path, rows: Iterable[dict[str, str]]) -> None:
    """Write a table."""
    rows = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def chosen(every: list[dict[str, str]], draw: random.Random) -> list[list[dict[str, str]]]:
    """The rows of both tables; those in both come first, in the same order."""
    draw.shuffle(every)
    different = [row for row in every if plain(row["typed"]) != plain(row["name"])]
    same = [row for row in every if plain(row["typed"]) == plain(row["name"])]
    both = different[:DIFFERENT] + same[:SAME]
    rest = different[DIFFERENT:] + same[SAME:]
    draw.shuffle(rest)
    return [both + rest[:ALONE], both + rest[ALONE : 2 * ALONE]]


def shuffled(side: list[dict[str, str]], draw: random.Random) -> dict[int, int]:
    """Shuffle a table where it is; the new place of each row."""
    order = list(range(len(side)))
    draw.shuffle(order)
    side[:] = [side[number] for number in order]
    return {number: place for place, number in enumerate(order)}


def main() -> None:
    """Fetch, choose, shuffle, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/tokenry/npm")
    parser.add_argument("--out", type=Path, default=Path("src/tokenry/data/emoji_names"))
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    (args.out / "licenses").mkdir(parents=True, exist_ok=True)
    draw = random.Random(SEED)
    left, right = chosen(concepts(fetch(PACKAGE, args.cache)), draw)
    places = [shuffled(side, draw) for side in (left, right)]
    write(
        args.out / "left.csv",
        (
            {"id": f"s{at}", "name": r["typed"], "alias": r["alias"], "group": r["group"]}
            for at, r in enumerate(left)
        ),
    )
    columns = ("name", "keywords", "name_de", "name_ja", "group")
    write(
        args.out / "right.csv",
        ({"id": f"u{at}", **{c: r[c] for c in columns}} for at, r in enumerate(right)),
    )
    pairs = sorted((places[0][number], places[1][number]) for number in range(DIFFERENT + SAME))
    write(args.out / "matches.csv", ({"left": f"s{a}", "right": f"u{b}"} for a, b in pairs))
    text = SOURCES.format(different=DIFFERENT, same=SAME, alone=ALONE)
    (args.out / "SOURCES.md").write_text(text, encoding="utf-8")
    shipped = Path("src/tokenry/data/emoji/licenses")
    for name in ("MIT-emojibase-data.txt", "Unicode-3.0.txt"):
        (args.out / "licenses" / name).write_bytes((shipped / name).read_bytes())
    total = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{len(left)} x {len(right)} rows, {len(pairs)} links, {total:,} bytes in {args.out}")


if __name__ == "__main__":
    main()
