"""Texts that were drafted ahead: who proposed each token, and how far the drafts reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenry.report import slots, words
from tokenry.report.entries import display_name
from tokenry.report.phrases import PHRASES
from tokenry.report.vega import Spec, load, to_svg

if TYPE_CHECKING:
    from tokenry.compare.records import Picture, TaskInfo
    from tokenry.compare.results import Results

SHOWN = 4
"""Texts on the page."""
TOKENS = 400
"""Tokens of each that are shown."""
BUCKET = 8
"""Neighbouring positions that share a bar."""


def written(results: Results, task: TaskInfo) -> list[dict[str, Any]]:
    """Some texts, each token marked by who proposed it, one copy for each method.

    Args:
        results: The comparison.
        task: What was written.
    """
    grouped: dict[str, list[Picture]] = {}
    for picture in results.pictures(worst=SHOWN, task=task.slug):
        if picture.score == 1:
            grouped.setdefault(picture.example, []).append(picture)
    return [_text(results, task, found) for found in grouped.values()]


def acceptance(results: Results, task: TaskInfo) -> list[dict[str, str]]:
    """For each method how many tokens a pass wrote, by position in the text.

    Args:
        results: The comparison.
        task: What was written.
    """
    by_method: dict[str, list[NDArray[np.int16]]] = {}
    for picture in results.pictures(worst=results.examples, task=task.slug):
        by_method.setdefault(picture.method, []).append(picture.groups)
    reach = {method: tokens_per_pass(groups) for method, groups in by_method.items()}
    top = max((max(values) for values in reach.values() if values), default=1.0) * 1.05
    return [
        {
            "name": display_name(results, method),
            "note": f"{_mean(by_method[method]):.2f} tokens a pass",
            "svg": to_svg(_chart(values, top)),
        }
        for method, values in reach.items()
    ]


def tokens_per_pass(groups: Sequence[NDArray[np.int16]]) -> list[float]:
    """For each stretch of positions the mean number of tokens of the pass that wrote them.

    The mean is over passes, each counted in the stretch where it began.
    """
    sums: dict[int, list[int]] = {}
    for _, passes in groups:
        _, first, count = np.unique(passes, return_index=True, return_counts=True)
        for start, n in zip(first.tolist(), count.tolist(), strict=True):
            sums.setdefault(start // BUCKET, []).append(n)
    return [float(np.mean(sums.get(k, [0]))) for k in range(max(sums, default=-1) + 1)]


def _mean(groups: Sequence[NDArray[np.int16]]) -> float:
    return float(sum(g.shape[1] for g in groups) / sum(len(np.unique(g[1])) for g in groups))


def _chart(values: Sequence[float], top: float) -> Spec:
    spec = load("acceptance")
    spec["datasets"] = {
        "positions": [
            {
                "from": k * BUCKET + 0.5,
                "to": (k + 1) * BUCKET - 0.5,
                "tokens": value,
                "says": f"from token {k * BUCKET + 1}: {value:.2f} tokens a pass",
            }
            for k, value in enumerate(values)
        ]
    }
    spec["encoding"]["y"]["scale"]["domain"] = [0, top]
    return spec


def _text(results: Results, task: TaskInfo, pictures: Sequence[Picture]) -> dict[str, Any]:
    first = pictures[0]
    pieces = slots.pieces(first.thumbnail)
    return {
        "id": words.clean(first.example, 40),
        "label": words.clean(first.label, 300) or PHRASES[task.kind].unlabelled,
        "figures": [_marked(results, picture, pieces) for picture in pictures],
    }


def _marked(results: Results, picture: Picture, pieces: Sequence[str]) -> dict[str, Any]:
    drafted, passes = picture.groups.tolist()
    total, n = sum(drafted), len(drafted)
    return {
        "name": display_name(results, picture.method),
        "note": f"{total} of {n} tokens drafted, {len(set(passes))} passes",
        "tokens": [
            (
                "drafted" if drafted[i] else "own",
                f"pass {passes[i] + 1}, {'drafted' if drafted[i] else 'the model itself'}",
                words.piece(pieces[i]),
            )
            for i in range(min(n, TOKENS, len(pieces)))
        ],
    }
