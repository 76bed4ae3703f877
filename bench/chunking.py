"""Chunkers side by side on questions with evidence.

    python bench/chunking.py                # two documents that ship; writes part "shipped"
    python bench/chunking.py all FOLDER     # five, as chunking_evaluation has them; part "all"

Chunks are ranked by BM25 and by zoo:minilm-l6, whose tokens sizes count in.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

import tokenry
from tokenry.compare.chunked import FIGURES, Chunked
from tokenry.data.evidence import chunking

RESULTS = Path(__file__).parent / "results" / "chunking.json"
ENCODER = "zoo:minilm-l6"
PLAIN = [
    "fixed-chunks(size=200)",
    "fixed-chunks(size=10)",
    "fixed-chunks(size=20)",
    "fixed-chunks(size=50)",
    "fixed-chunks(size=100)",
    "fixed-chunks(size=400)",
    "fixed-chunks(size=200, overlap=50)",
    "recursive-chunks(size=200)",
    "sentence-chunks(size=100)",
    "section-chunks(size=400)",
]
MEANING = ["kamradt-chunks(size=100)", "cluster-chunks(size=200)", "cluster-chunks(size=400)"]


def row(one: Chunked) -> dict[str, Any]:
    found: dict[str, Any] = {"chunker": one.name, "chunks": one.chunks}
    found |= {"tokens": round(one.tokens), "tokens_read": round(one.read)}
    for name in FIGURES:
        figure = one.figures[name]
        found[name] = f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
    found["iou_against_the_first"] = one.verdicts.get("iou", "")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", nargs="?", default="shipped", choices=("shipped", "all"))
    parser.add_argument("folder", nargs="?", type=Path)
    given = parser.parse_args()
    asked = chunking(given.folder)
    questions = asked.questions
    blocks = []
    runs = [(None, PLAIN), (ENCODER, [*PLAIN, *MEANING])]
    for encoder, names in runs:
        found = tokenry.chunks(asked.documents, questions, names, encoder=encoder, tokens=ENCODER)
        blocks.append(
            {
                "questions": len(questions),
                "ranked_by": found.ranker,
                "rows": [row(one) for one in found.chunkers],
            }
        )
        sys.stdout.write(f"{found}\n\n")
    known = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    known[given.part] = blocks
    known["environment"] = {"python": platform.python_version(), "tokens_of": ENCODER}
    RESULTS.write_text(json.dumps(known, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
