"""Real results made of invented figures, to look at the report without a model."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tokenry import catalog
from tokenry.compare.code import Source
from tokenry.compare.records import MethodInfo, Profile, Row, Skipped, TaskInfo
from tokenry.compare.results import Results

# slug: (times as fast, loss) at keep 0.25
METHODS = {
    "pitome": (2.1, 0.004),
    "tome": (2.0, 0.02),
    "zero-tprune": (0.85, 0.03),
    "random": (2.4, 0.1),
    "resize": (2.6, 0.06),
}
COSINE = TaskInfo(
    "agreement",
    "Agreement with the untouched model",
    "cosine similarity",
    False,
    True,
    "Cosine of the pooled outputs; needs no labels.",
)
RIGHT = TaskInfo("probe", "Linear probe", "accuracy", True, True, "Fitted on one vendor's emoji.")
LAYERS = 6
SIDE = 8


def info(slug: str, **card: Any) -> MethodInfo:
    known = catalog.card(slug) | card
    return MethodInfo(slug, known["class"], f"tokenry.vision.{slug}", "", True, known)


SKIPPED = (Skipped("resize", 0.25, "the image would be smaller than a patch"),)


def build(
    *,
    methods: Sequence[MethodInfo] | None = None,
    profiles: dict[str, tuple[float, float]] | None = None,
    keeps: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25),
    tasks: tuple[TaskInfo, ...] = (COSINE, RIGHT),
    examples: int = 40,
    labels: Callable[[int], str] = "globe {}".format,
    groups: Callable[[str, float, str], tuple[np.ndarray, bytes] | None] | None = None,
    **fields: Any,
) -> Results:
    """A comparison of `methods`, by default five of ours."""
    infos = tuple(info(slug) for slug in METHODS) if methods is None else tuple(methods)
    known = dict(zip([i.label for i in infos], METHODS.values(), strict=False)) | (profiles or {})
    pairs = [("none", 1.0), *((i.label, keep) for i in infos for keep in keeps)]
    names = {str(n): labels(n) for n in range(examples)}
    rows = [
        row
        for task in tasks
        for method, keep in pairs
        for row in _rows(task, method, keep, known.get(method, (1.0, 0.0)), examples)
    ]
    return Results(
        **{
            "model": "zoo:dinov2-small-saliency",
            "data": "emoji",
            "tasks": tasks,
            "infos": infos,
            "keeps": keeps,
            "labels": names,
            "skipped": SKIPPED if "resize" in known else (),
            "environment": {"tokenry": "0.1.0", "torch": "2.13.0", "cores": "2"},
            "complete": True,
            "seed": 0,
            "source": Source("zoo:dinov2-small-saliency", "Dinov2Model", {}),
            "_rows": rows,
            "_profiles": [_profile(*pair, known.get(pair[0], (1.0, 0.0))) for pair in pairs],
            "_pictures": groups or tiles,
        }
        | fields
    )


def _rows(
    task: TaskInfo, method: str, keep: float, figures: tuple[float, float], examples: int
) -> list[Row]:
    ratio, loss = figures
    gone = (1 - keep) / 0.75
    speed = 1 + (ratio - 1) * gone
    noise = np.random.default_rng(abs(hash((len(method), keep))) % 1000)
    hard = np.random.default_rng(0).permutation(examples) / examples
    rows = []
    for n in range(examples):
        if task.binary:
            score = float(hard[n] < 0.9 - loss * gone)
        else:
            score = 1 - loss * gone * (0.5 + hard[n])
        drift = 1 + 0.02 * noise.standard_normal() * (method != "none")
        seconds = 0.04 * (1 + 0.01 * (n // 8)) / speed * drift
        rows.append(Row(task.slug, method, keep, str(n), score, {}, seconds, 10**8, keep, n // 8))
    return rows


def _profile(method: str, keep: float, figures: tuple[float, float]) -> Profile:
    share = np.linspace(1, max(2 * keep - 1, 0.1), LAYERS)
    return Profile(
        method=method,
        keep=keep,
        layer_seconds=tuple(float(0.005 * s / (1 + (figures[0] - 1) * (1 - keep))) for s in share),
        tokens=tuple((round(65 * s), max(2, round(65 * s) - 3)) for s in share),
        flops=4.6e9 * keep,
        peak_bytes=int(3.1e8 * (0.6 + 0.4 * keep)),
        other_seconds=0.0021,
    )


def tiles(label: str, keep: float, example: str) -> tuple[np.ndarray, bytes]:
    """Patches on the left merged in pairs of rows; "random" also drops the last row."""
    groups = np.arange(SIDE * SIDE, dtype=np.int16).reshape(SIDE, SIDE)
    merged = round(SIDE * (1 - keep))
    groups[1::2, :merged] = groups[::2, :merged]
    if label == "random":
        groups[-1] = -1
    return groups, thumbnail(int(example))


def thumbnail(seed: int, side: int = 64) -> bytes:
    """A disc on a slope of colour as WebP."""
    y, x = np.mgrid[:side, :side] / side
    pixels = np.stack([x, y, np.full_like(x, 0.4)], -1)
    pixels[(x - 0.3 - 0.01 * seed) ** 2 + (y - 0.5) ** 2 < 0.09] = (0.95, 0.6, 0.1)
    buffer = io.BytesIO()
    Image.fromarray((pixels * 255).astype(np.uint8)).save(buffer, "WEBP", quality=85)
    return buffer.getvalue()


@pytest.fixture(name="build", scope="session")
def _build() -> Callable[..., Results]:
    return build


@pytest.fixture(name="info", scope="session")
def _info() -> Callable[..., MethodInfo]:
    return info
