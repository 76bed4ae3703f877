"""Questions with evidence for `tokenry.data.evidence`, from chunking_evaluation.

    python recipes/chunking_data.py FOLDER    # with questions.csv and corpora/*.md in it

FOLDER is `chunking_evaluation/evaluation_framework/general_evaluation_data` of the repository
https://github.com/brandonstarxel/chunking_evaluation (MIT). Two of its five documents ship: a
speech in the public domain, and chats of a data set under the MIT licence.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import sys
from pathlib import Path

WANTED = {
    "chatlogs": "543a98f82b2a6a492349fd7f8c9d6c3e78d1a4af81d13c79a7fd513c3f65bda6",
    "state_of_the_union": "6fc21d560d31eb2421e337596feea0f83f1fa9ca02c6c4e47bc26959d7531b37",
}
OUT = Path(__file__).parents[1] / "src/tokenry/data/chunking"


def main() -> None:
    """Check, select, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    (given.out / "corpora").mkdir(parents=True, exist_ok=True)
    for name, known in WANTED.items():
        data = (given.folder / "corpora" / f"{name}.md").read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if found != known:
            raise SystemExit(f"{name}.md has SHA-256 {found}, not the known one")
        (given.out / "corpora" / f"{name}.md").write_bytes(data)
    with (given.folder / "questions.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["corpus_id"] in WANTED]
    with (given.out / "questions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    sys.stdout.write(f"{given.out}: {len(rows)} questions about {len(WANTED)} documents\n")


if __name__ == "__main__":
    main()
