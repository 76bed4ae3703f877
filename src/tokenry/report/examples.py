"""The examples that lose most, with what became of their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tokenry.report import slots, tokens, words
from tokenry.report.entries import display_name
from tokenry.report.phrases import PHRASES

if TYPE_CHECKING:
    from tokenry.compare.records import Picture, TaskInfo
    from tokenry.compare.results import Results

WORST_IMAGES = 8
WORST_TEXTS = 4


def images(results: Results, task: TaskInfo, keeps: Sequence[float]) -> list[dict[str, Any]]:
    """The images that lose most, the worst first, with the picture of each configuration.

    Args:
        results: The comparison.
        task: The task that says what a loss is.
        keeps: The values of the dial that are shown.
    """
    return [
        _image(results, task, found, keeps) for found in _worst(results, task, keeps, WORST_IMAGES)
    ]


def texts(results: Results, task: TaskInfo, keeps: Sequence[float]) -> list[dict[str, Any]]:
    """The texts that lose most, the worst first, with what each configuration left of the cache.

    Args:
        results: The comparison.
        task: The task that says what a loss is.
        keeps: The values of the dial that are shown.
    """
    worst = _worst(results, task, keeps, WORST_TEXTS)
    drawn = sum(len({picture.method for picture in found}) for found in worst)
    most = slots.BUDGET // max(1, drawn + len(worst))
    return [_text(results, task, found, keeps, most) for found in worst]


def _worst(
    results: Results, task: TaskInfo, keeps: Sequence[float], most: int
) -> list[list[Picture]]:
    grouped: dict[str, list[Picture]] = {}
    for picture in results.pictures(worst=most, task=task.slug):
        if picture.keep in keeps:
            grouped.setdefault(picture.example, []).append(picture)
    return list(grouped.values())[:most]


def _image(
    results: Results, task: TaskInfo, pictures: Sequence[Picture], keeps: Sequence[float]
) -> dict[str, Any]:
    first = pictures[0]
    image = tokens.image(first.thumbnail)
    label = words.clean(first.label) or PHRASES[task.kind].unlabelled
    tiles = []
    for picture in pictures:
        left, total = tokens.count(picture)
        name = display_name(results, picture.method)
        score = _picture_score(picture, task)
        tiles.append(
            {
                "keep": keeps.index(picture.keep),
                "name": name,
                "score": score,
                "left": f"{left} of {total} tokens",
                "alt": f"{label} under {name} at keep {picture.keep:.3g}: {left} of {total} "
                f"patches left as tokens, {score}",
                "svg": tokens.overlay(picture.groups, image),
            }
        )
    return {
        "id": words.clean(first.example, 40),
        "label": label,
        "image": tokens.data_uri(image),
        "light": tokens.is_light(image),
        "rows": first.grid[0],
        "cols": first.grid[1],
        "tiles": tiles,
    }


def _text(
    results: Results,
    task: TaskInfo,
    pictures: Sequence[Picture],
    keeps: Sequence[float],
    most: int,
) -> dict[str, Any]:
    first = pictures[0]
    pieces = slots.pieces(first.thumbnail)[: first.grid[1]]
    shown = slots.excerpt(len(pieces), most)
    by_method: dict[str, list[Picture]] = {}
    for picture in pictures:
        by_method.setdefault(picture.method, []).append(picture)
    return {
        "id": words.clean(first.example, 40),
        "label": words.clean(first.label, 300) or PHRASES[task.kind].unlabelled,
        "left_out": len(pieces) - len(shown[0]) - len(shown[1]),
        "plain": [words.piece("".join(pieces[i] for i in part)) for part in shown],
        "figures": [
            _survivors(results, task, found, keeps, pieces, shown) for found in by_method.values()
        ],
    }


def _survivors(
    results: Results,
    task: TaskInfo,
    pictures: Sequence[Picture],
    keeps: Sequence[float],
    pieces: Sequence[str],
    shown: tuple[range, range],
) -> dict[str, Any]:
    """What each keep of one method left of one text."""
    shares = {keeps.index(picture.keep): picture.groups for picture in pictures}
    every = [shares.get(k, np.full_like(pictures[0].groups, 100)) for k in range(len(keeps))]
    name = display_name(results, pictures[0].method)
    return {
        "name": name,
        "maps": [_map(picture, task, name, keeps) for picture in pictures],
        "parts": [slots.marked(pieces, every, part) for part in shown],
    }


def _map(picture: Picture, task: TaskInfo, name: str, keeps: Sequence[float]) -> dict[str, Any]:
    score = _picture_score(picture, task)
    held = f"{picture.groups.mean():.0f}\u202f% of the prompt\u2019s slots"
    gone = f"{slots.gone(picture.groups)} of {picture.grid[1]} tokens in no layer"
    return {
        "keep": keeps.index(picture.keep),
        "score": score,
        "held": held,
        "gone": gone,
        "src": slots.heat(picture.groups),
        "alt": f"Map of layers and tokens: {name} at keep {picture.keep:.3g} leaves {held}, "
        f"{gone}; {score}",
    }


def _picture_score(picture: Picture, task: TaskInfo) -> str:
    if task.binary:
        return "right" if picture.score > 0.5 else "wrong"
    return f"{words.clean(task.metric, 40)} {words.amount(picture.score, task)}"
