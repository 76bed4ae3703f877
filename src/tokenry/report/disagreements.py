"""Records on which linkers and truth disagree: who chose what, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tokenry.report import words
from tokenry.report.aligned import fields
from tokenry.report.entries import display_name
from tokenry.report.stored import reading
from tokenry.report.vega import Spec, load, to_svg
from tokenry.report.weights import waterfall

if TYPE_CHECKING:
    from tokenry.compare.curves import Curve
    from tokenry.compare.records import Picture, TaskInfo
    from tokenry.compare.results import Results

SHOWN = 8
"""Records on the page."""


def disagreements(results: Results, task: TaskInfo) -> list[dict[str, Any]]:
    """The records that were linked worst, with the choice of every method.

    First those on which methods disagree with each other, the more of them wrong the earlier, then
    those that all get wrong.

    Args:
        results: The comparison.
        task: The task that says what is wrong.
    """
    chosen = worst(results, task)
    grouped: dict[str, list[Picture]] = {name: [] for name in chosen}
    for picture in results.pictures(task=task.slug, untouched=True, examples=chosen):
        grouped[picture.example].append(picture)
    return [_record(results, found) for found in grouped.values() if found]


def worst(results: Results, task: TaskInfo) -> list[str]:
    """Names of the examples to show.

    Args:
        results: The comparison.
        task: The task.
    """
    scores: dict[str, list[float]] = {}
    for row in results.rows():
        if row.task == task.slug:
            scores.setdefault(row.example, []).append(row.score)
    wrong = {name: sum(1 - one for one in found) for name, found in scores.items()}
    split = {name: min(found) < max(found) for name, found in scores.items()}
    faulty = [name for name in scores if wrong[name] > 0]
    return sorted(faulty, key=lambda name: (not split[name], -wrong[name]))[:SHOWN]


def curves(results: Results, task: TaskInfo) -> list[dict[str, str]]:
    """A panel for each method: precision, recall and F1 at every threshold.

    Args:
        results: The comparison.
        task: The task.
    """
    found = []
    for one in results.curves(task.slug):
        if not one.thresholds:
            continue
        best = max(one.f1)
        found.append(
            {
                "name": display_name(results, one.method),
                "note": f"chosen {words.digits_of(one.chosen)}; best F1 here {best:.3f} at "
                f"{words.digits_of(one.thresholds[one.f1.index(best)])}",
                "svg": to_svg(_chart(one)),
            }
        )
    return found


def _chart(one: Curve) -> Spec:
    spec = load("threshold")
    names = {"precision": "var(--mute)", "recall": "var(--loss)", "F1": "var(--accent)"}
    lines = zip(names, (one.precision, one.recall, one.f1), strict=True)
    spec["datasets"] = {
        "points": [
            {"x": x, "y": y, "line": name, "color": names[name]}
            for name, values in lines
            for x, y in zip(one.thresholds, values, strict=True)
        ],
        "chosen": [{"x": one.chosen}] if abs(one.chosen) < float("inf") else [],
    }
    return spec


def _record(results: Results, pictures: list[Picture]) -> dict[str, Any]:
    first = pictures[0]
    shown = read(first.thumbnail)
    choices = [_choice(results, picture, shown) for picture in pictures]
    for choice in choices:
        choice["open"] = choice is next((one for one in choices if not one["right"]), None)
    right = sum(picture.score == 1 for picture in pictures)
    return {
        "id": words.clean(first.example, 40) if first.label != first.example else "",
        "label": words.clean(first.label, 200) or "Record",
        "note": f"{right} of {len(pictures)} right",
        "choices": choices,
    }


def _choice(results: Results, picture: Picture, shown: Mapping[str, Any]) -> dict[str, Any]:
    held = read(picture.groups.astype(np.uint8).tobytes())
    threshold = held["threshold"]
    pairs = held["pairs"]
    linked = [pair for pair in pairs if pair["linked"]]
    return {
        "name": display_name(results, picture.method),
        "right": picture.score == 1,
        "verdict": _verdict(picture.score == 1, linked),
        "pairs": [_pair(pair, shown, threshold) for pair in pairs[:3]],
    }


def _verdict(right: bool, linked: list[dict[str, Any]]) -> str:
    if right:
        return "right: linked" if linked else "right: left alone"
    if not linked:
        return "missed: no link"
    return "wrong link" if not any(pair["true"] for pair in linked) else "partly right"


def _pair(
    pair: Mapping[str, Any], shown: Mapping[str, Any], threshold: float | None
) -> dict[str, Any]:
    record = pair.get("record") or shown["right"].get(str(pair["row"]), {})
    limit = threshold if threshold is not None and abs(threshold) < float("inf") else None
    said = "linked" if pair["linked"] else "not linked"
    score = pair["score"]
    value = "no score: a side is empty" if score is None else f"score {words.digits_of(score)}"
    return {
        "title": f"{'True' if pair['true'] else 'False'} pair, {said}",
        "kind": "good" if pair["true"] == pair["linked"] else "bad",
        "score": value + ("" if limit is None else f", threshold {words.digits_of(limit)}"),
        "fields": fields(shown["left"], record, shown["keys"]),
        "waterfall": waterfall(pair["parts"], score, limit),
    }


def read(content: bytes) -> dict[str, Any]:
    """A stored record or choice.

    Args:
        content: JSON, as the task stored it.

    Raises:
        StoreError: If it is something else.
    """
    with reading("record cannot be read"):
        found = json.loads(content)
        if not isinstance(found, dict):
            raise ValueError("not a record")
        return found
