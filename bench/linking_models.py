"""Models that read the pairs of the entity-matching sets: a classifier, and one that rewrites.

    python bench/linking_models.py classifier --folder entity-matching [--only Beer]
    python bench/linking_models.py rewriting --folder entity-matching

`classifier` trains zoo:minilm-l6 to read both records of a pair together, on the train split, and
counts on the test split; the threshold is a half, so nothing is chosen. `rewriting` lets
zoo:smollm2-135m write the addresses of the true pairs of Fodors-Zagats anew, with two examples, and
links both tables by them. Figures are added to results/linking.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from linking_limited import loaded, timed

import tokenry
from linking import write

ENCODER, WRITER = "zoo:minilm-l6", "zoo:smollm2-135m"
SETS = ("Structured/Beer", "Structured/Fodors-Zagats", "Structured/iTunes-Amazon")
TASK = "Write the address without quotation marks, and street names in full."
SHOTS = (
    ("' 12 e. 9th ave. '", "12 east 9th avenue"),
    ("` 4500 harbor blvd . '", "4500 harbor boulevard"),
)


def classifier(given: argparse.Namespace) -> None:
    """F1 of a model that reads both records at once, beside what is known of the set."""
    rows = []
    for name in SETS:
        if (given.only or "") not in name:
            continue
        data = loaded(str(Path(given.folder) / name), None)
        tables = {part: _pairs(data, part) for part in ("train", "test")}
        sides = [[f"{side}_{column}" for column in data.on] for side in ("left", "right")]
        seconds, found = timed(
            lambda t=tables["train"], s=sides: tokenry.tune_classifier(
                t,
                ENCODER,
                left=s[0],
                right=s[1],
                label="same",
                steps=given.steps,
                batch_size=16,
                rate=1e-4,
                balanced=True,
                held_out=0,
            )
        )
        read = tokenry.classify_pairs(tables["test"], *sides, classifier=found.classifier)
        said = np.array(read.table["predicted"]) == "1"
        rows.append(
            {"data": name, "train": len(tables["train"]["same"]), "steps": given.steps}
            | _agreement(said, np.array(tables["test"]["same"]) == 1)
            | {"seconds": round(seconds)}
        )
    write("classifier", [{"model": ENCODER, "measure": "on the test split", "sets": rows}])


def _pairs(data: Any, part: str) -> dict[str, Any]:
    """The labelled pairs of a part, both records' columns side by side."""
    pairs = data.parts[part]
    sides = (("left", data.left, pairs.left), ("right", data.right, pairs.right))
    columns = {
        f"{side}_{name}": table[name].take(rows).to_pylist()
        for side, table, rows in sides
        for name in data.on
    }
    return {**columns, "same": pairs.same.astype(int).tolist()}


def _agreement(said: np.ndarray, same: np.ndarray) -> dict[str, float]:
    hits = int((said & same).sum())
    precision, recall = hits / max(1, int(said.sum())), hits / max(1, int(same.sum()))
    f1 = 2 * hits / max(1, int(said.sum() + same.sum()))
    return {
        "precision": round(precision, 3),
        "recall": round(recall, 3),
        "f1": round(f1, 3),
        "test": len(same),
    }


def rewriting(given: argparse.Namespace) -> None:
    """How often the best row is the right one, by addresses as they are and as they were written.

    Row i of one table is row i of the other one.
    """
    data = loaded(str(Path(given.folder) / "Structured/Fodors-Zagats"), None)
    true = data.matches[np.unique(data.matches[:, 0], return_index=True)[1]][: given.most]
    sides = [
        {"addr": table["addr"].take(rows).to_pylist()}
        for table, rows in ((data.left, true[:, 0]), (data.right, true[:, 1]))
    ]
    seconds, written = timed(
        lambda: [
            tokenry.transform_rows(
                side, "addr", TASK, referee=WRITER, shots=SHOTS, column="written", tokens=24
            )
            for side in sides
        ]
    )
    rows = []
    for column in ("addr", "written"):
        both = [one.table for one in written]
        links = tokenry.link(*both, column, method="char-ngrams", threshold=-1.0)
        right = int((links.rows("left") == links.rows("right")).sum())
        rows.append({"by": column, "right": round(right / len(true), 3)})
    changed = [
        sum(a != b for a, b in zip(one.table["addr"], one.table["written"], strict=True))
        for one in written
    ]
    about = {"model": WRITER, "pairs": len(true), "seconds": round(seconds)}
    about |= {"asked": sum(one.asked for one in written), "changed": sum(changed)}
    first = written[0].table
    pairs = zip(first["addr"][:5], first["written"][:5], strict=True)
    examples = [{"address": one, "written": other} for one, other in pairs]
    write("rewriting", [{**about, "links": rows, "examples": examples}])


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = {f.__name__: f for f in (classifier, rewriting)}
    parser.add_argument("part", choices=parts)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--only", help="sets whose name holds this")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--most", type=int, default=100, help="of rewriting: pairs")
    given = parser.parse_args()
    parts[given.part](given)


if __name__ == "__main__":
    main()
