"""A small comparison made up of plausible numbers, to look at the report without a model."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from PIL import Image


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class TaskInfo:
    slug: str
    title: str
    metric: str
    binary: bool
    higher_is_better: bool
    explanation: str


@dataclass(frozen=True)
class Summary:
    task: str
    method: str
    keep: float
    n: int
    score: Interval
    difference: Interval
    p_value: float | None
    verdict: str
    seconds: Interval
    speedup: Interval
    faster: str
    peak_bytes: int
    tokens: float
    flops: float
    on_front: bool


@dataclass(frozen=True)
class Profile:
    method: str
    keep: float
    layer_seconds: tuple[float, ...]
    tokens: tuple[tuple[int, int], ...]
    flops: float
    peak_bytes: int
    other_seconds: float


@dataclass(frozen=True)
class Picture:
    method: str
    keep: float
    example: str
    label: str
    score: float
    grid: tuple[int, int]
    groups: np.ndarray
    thumbnail: bytes


@dataclass(frozen=True)
class Best:
    method: str
    keep: float
    summary: Summary | None
    confidence: str
    code: str


# label, speed at keep 0 relative to none, loss at keep 0.25
METHODS = {
    "pitome": (3.3, 0.021),
    "tome": (3.2, 0.034),
    "zero-tprune": (0.86, 0.04),
    "tokencorr": (2.4, 0.03),
    "attentive-mask": (3.4, 0.09),
    "random": (3.9, 0.14),
    "every-kth": (4.0, 0.11),
    "average-pool": (3.9, 0.08),
    "resize": (4.3, 0.1),
}
NAMES = {
    "pitome": ("PiToMe", "2405.16148", "NeurIPS 2024", 2024),
    "tome": ("ToMe", "2210.09461", "ICLR 2023", 2023),
    "zero-tprune": ("Zero-TPrune", "2305.17328", "CVPR 2024", 2024),
    "tokencorr": ("TokenCorr", "2411.00001", "", 2024),
    "attentive-mask": ("Attentive mask", "2501.00001", "", 2025),
    "random": ("Random", None, "", None),
    "every-kth": ("Every k-th", None, "", None),
    "average-pool": ("Average pooling", None, "", None),
    "resize": ("Smaller image", None, "", None),
}


@dataclass
class FakeResults:
    model: str = "zoo:dinov2-small-saliency"
    data: str = "emoji (google → twitter)"
    tasks: tuple[TaskInfo, ...] = (
        TaskInfo(
            "probe", "Linear probe", "accuracy", True, True, "Fitted on one vendor's drawings."
        ),
    )
    methods: tuple[str, ...] = ("none", *METHODS)
    keeps: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25)
    examples: int = 600
    environment: dict[str, str] = field(
        default_factory=lambda: {"tokenry": "0.1.0", "torch": "2.13.0", "cores": "2"}
    )
    complete: bool = True
    seed: int = 0
    grid: tuple[int, int] = (8, 8)
    best_method: str | None = "pitome"
    draw: Callable[[int], Image.Image] | None = None
    group: Callable[[Image.Image, tuple[int, int], float, str, int], np.ndarray] | None = None
    n_pictures: int = 3

    def card(self, label: str) -> dict[str, Any] | None:
        slug = label.split("(")[0]
        if slug not in NAMES:
            return None
        name, arxiv, venue, year = NAMES[slug]
        claim = {
            "paper": "40 to 60 % fewer FLOPs at a loss of 0.7 % (ViT-L, ImageNet-1k).",
            "effect": "At the same keep it loses less than ToMe.",
            "test": f"tests/vision/test_{slug.replace('-', '_')}.py::test_claim",
            "measured": "loss 0.9 % against 1.6 % at keep 0.5 on emoji, DINOv2-small",
            "not_shown": "",
        }
        missing = claim | {
            "effect": "The gap grows with the size of the model.",
            "test": "",
            "measured": "",
            "not_shown": "only one size of the model runs offline",
        }
        return {
            "slug": slug,
            "name": name,
            "title": f"{name}: fewer tokens, the same picture",
            "summary": "Merges the patches that look most alike.",
            "family": "vision",
            "dial": "keep sets the number of pairs merged in each layer",
            "needs": "nothing",
            "exact": False,
            "arxiv": arxiv,
            "venue": venue,
            "year": year,
            "code": "https://github.com/example/example" if arxiv else "",
            "code_license": "MIT" if arxiv else "",
            "claims": [claim, missing] if arxiv else [],
            "differs": ["The protected tokens are never matched; the released code matches them."]
            if arxiv
            else [],
        }

    def summary(self, task: str | None = None) -> list[Summary]:
        return [s for t in self.tasks if task in (None, t.slug) for s in self._summaries(t)]

    def _summaries(self, task: TaskInfo) -> list[Summary]:
        rows = []
        base, second = 0.913, 0.0416
        for method in self.methods:
            for keep in (1.0,) if method == "none" else self.keeps:
                speed, loss = METHODS.get(method.split("(")[0], (1.0, 0.0))
                gone = (1 - keep) / 0.75
                ratio = 1 + (speed - 1) * gone * 0.45 if keep < 1 else 1.0 - 0.01 * (speed > 1)
                drop = -loss * gone**2
                wide = 0.004 + abs(drop) * 0.25
                untouched = method == "none"
                verdict = "worse" if drop + wide < 0 else "not distinguishable"
                seconds = second / ratio
                rows.append(
                    Summary(
                        task=task.slug,
                        method=method,
                        keep=keep,
                        n=self.examples,
                        score=Interval(base + drop, base + drop - 0.02, base + drop + 0.019),
                        difference=Interval(drop, drop - wide, drop + wide),
                        p_value=None if untouched else 0.4,
                        verdict="identical" if keep == 1 else verdict,
                        seconds=Interval(seconds, seconds * 0.97, seconds * 1.03),
                        speedup=Interval(ratio, ratio * 0.97, ratio * 1.03),
                        faster="faster"
                        if ratio > 1.03
                        else "slower"
                        if ratio < 0.97
                        else "not distinguishable",
                        peak_bytes=int(3.1e8 * (0.6 + 0.4 * keep)),
                        tokens=keep,
                        flops=4.6e9 * keep,
                        on_front=method in ("pitome", "resize", "none") and keep in (1.0, 0.5, 0.25),
                    )
                )
        return rows

    def profiles(self) -> list[Profile]:
        found = []
        for method in self.methods:
            for keep in (1.0,) if method == "none" else self.keeps:
                share = np.linspace(1, max(2 * keep - 1, 0.1), 12)
                layers = tuple(float(0.0031 * s + 0.0003) for s in share)
                tokens = tuple((round(257 * s), max(1, round(257 * s) - 5)) for s in share)
                found.append(
                    Profile(method, keep, layers, tokens, 4.6e9 * keep, 310_000_000, 0.0021)
                )
        return found

    def pictures(self, worst: int = 8, task: str | None = None) -> list[Picture]:
        found = []
        for n in range(min(worst, self.n_pictures)):
            image = (self.draw or drawing)(n)
            for k, method in enumerate(m for m in self.methods if m != "none"):
                for keep in self.keeps:
                    if keep < 1:
                        groups = (self.group or tiles)(image, self.grid, keep, method, n)
                        found.append(
                            Picture(
                                method,
                                keep,
                                f"{n:04d}",
                                ("globe", "melting face", "airplane")[n % 3],
                                float(k % 2),
                                self.grid,
                                groups,
                                webp(image),
                            )
                        )
        return found

    def best(self, max_loss: float = 0.01, task: str | None = None) -> Best:
        summaries = self.summary(task)
        if self.best_method is None:
            return Best("none", 1.0, None, "no method is faster here", "")
        row = next(s for s in summaries if s.method == self.best_method and s.keep == 0.5)
        return Best(
            row.method, 0.5, row, "not distinguishable from no loss", self.code(row.method, keep=0.5)
        )

    def code(self, method: str, keep: float = 0.5) -> str:
        return (
            "import tokenry\n\n"
            f'model = tokenry.load("{self.model}")\n'
            f'with tokenry.attach(model, "{method}", keep={keep}):\n'
            "    output = model(**inputs)\n"
        )


def drawing(seed: int, side: int = 64) -> Image.Image:
    """A disc on a slope of colour, the same for the same seed."""
    y, x = np.mgrid[:side, :side] / side
    disc = (x - 0.4 - 0.1 * seed) ** 2 + (y - 0.5) ** 2 < 0.09
    pixels = np.stack([x, y, np.full_like(x, 0.4)], -1)
    pixels[disc] = (0.95, 0.6, 0.1)
    return Image.fromarray((pixels * 255).astype(np.uint8))


def webp(image: Image.Image) -> bytes:
    """The image as WebP bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=85)
    return buffer.getvalue()


def tiles(
    image: Image.Image, grid: tuple[int, int], keep: float, method: str, seed: int
) -> np.ndarray:
    """Left part merged in pairs of rows, the last row dropped."""
    groups = np.arange(grid[0] * grid[1], dtype=np.int16).reshape(grid)
    merged = round(grid[1] * (1 - keep))
    groups[1::2, :merged] = groups[: 2 * (grid[0] // 2) : 2, :merged]
    if method == "random":
        groups[-1] = -1
    return groups


@pytest.fixture
def fake() -> type[FakeResults]:
    return FakeResults
