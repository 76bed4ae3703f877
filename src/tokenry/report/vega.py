"""Vega-Lite specs from `charts/`, filled with data and drawn as plain SVG or PNG.

The SVG holds no script and no address, and names its colours as CSS variables, so that one drawing
serves light, dark and print.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import vl_convert

Spec = dict[str, Any]

CHARTS = Path(__file__).parent / "charts"
# Name: (light, dark). Accent and loss stay apart for colour-blind readers.
PALETTE = {
    "paper": ("#ffffff", "#131519"),
    "soft": ("#f5f6f8", "#1c1f25"),
    "ink": ("#16181d", "#eceef2"),
    "mute": ("#59606c", "#a3aab7"),
    "line": ("#e2e5ea", "#2d323b"),
    "grey": ("#8b93a0", "#737b89"),
    "accent": ("#0b5fd3", "#6db0ff"),
    "loss": ("#b8410b", "#ff9d68"),
}
SHAPES = {"untouched": "square", "paper": "circle", "baseline": "diamond"}
_DECIMALS = re.compile(r'( (?:transform|d|x2|y2|width|height)=")([^"]*)"')
_NUMBER = re.compile(r"\d+\.\d{2,}")
_ATTRIBUTES = re.compile(
    r' (?:role="graphics-(?:object|symbol)"|aria-roledescription="[^"]*"|pointer-events="none"'
    r'|xmlns(?::xlink)?="[^"]*"|aria-hidden="true"|version="1\.1")'
)
_EMPTY = re.compile(r'<path class="(?:back|fore)ground"[^>]*/>')


def load(chart: str) -> Spec:
    """A chart's spec with the theme, still without data."""
    theme: Spec = json.loads((CHARTS / "theme.json").read_text(encoding="utf-8"))
    spec = json.loads((CHARTS / f"{chart}.json").read_text(encoding="utf-8"))
    return {**theme, **spec}


def to_svg(spec: Spec) -> str:
    """The chart as inline SVG, as wide as its place allows but never wider than drawn."""
    svg: str = vl_convert.vegalite_to_svg(json.dumps(spec, allow_nan=False), allowed_base_urls=[])
    svg = _EMPTY.sub("", _ATTRIBUTES.sub("", svg))
    return _DECIMALS.sub(lambda m: f'{m[1]}{_NUMBER.sub(_shorter, m[2])}"', svg)


def light(svg: str) -> str:
    """The same drawing in the light colours, for readers that know no CSS variables."""
    for color, (value, _) in PALETTE.items():
        svg = svg.replace(f"var(--{color})", value)
    return svg


def _shorter(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")
