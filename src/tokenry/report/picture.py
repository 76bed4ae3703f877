"""The picture for a README: the Pareto plot, and one image or cache with fewer and fewer tokens."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import vl_convert
from PIL import Image

from tokenry.compare.records import UNTOUCHED
from tokenry.counted import counted
from tokenry.report import slots, tokens, words
from tokenry.report.answer import MAX_LOSS, chosen_of, headline
from tokenry.report.entries import Entry, display_name, entries
from tokenry.report.pareto import pareto
from tokenry.report.stored import save
from tokenry.report.vega import light, to_svg

if TYPE_CHECKING:
    from tokenry.compare.records import Picture
    from tokenry.compare.results import Results

WIDTH, HEIGHT = 800, 370
SCALE = 2
_TILE = 132
_STYLE = (
    "text{font-family:Arial,sans-serif}.gone{fill:#0b0d10;fill-opacity:.8}.hatch{fill:url(#hatch)}"
    ".seam{fill:none;stroke:#fff;stroke-opacity:.85}.light .seam{stroke:#111;stroke-opacity:.5}"
)


def picture(results: Results, out: str | Path) -> Path:
    """Draw the first task's Pareto plot beside pictures of tokens, a PNG of 1600 x 740 pixels.

    Of images they are the patches that became one token, of texts the slots that a cache held.

    Text is sized to be read at half that width.

    Args:
        results: The comparison.
        out: The PNG file to write; its folder must exist.

    Returns:
        The path.

    Raises:
        StoreError: If the file cannot be written.
    """
    return save("picture", out, vl_convert.svg_to_png(_svg(results), scale=SCALE))


def _svg(results: Results) -> str:
    task = results.tasks[0]
    lines = entries(results, task)
    best = results.best(max_loss=MAX_LOSS, task=task.slug)
    strip = _strip(results, best.method, lines)
    room = 2 * _TILE + 44 if strip else 0
    size = (WIDTH - room - 100, HEIGHT - 152)
    plot = light(to_svg(pareto(lines, size, chosen_of(best, lines)))).replace(
        "<svg ", '<svg x="20" y="66" ', 1
    )
    where = (
        f"{words.clean(results.model)} on {words.clean(results.data)}, {results.examples} examples"
    )
    title = headline(best, lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">'
        f"<style>{_STYLE}</style><defs>{tokens.HATCH}</defs>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f'<text x="24" y="30" font-size="{min(17, 900 / len(title)):.1f}" font-weight="bold">'
        f"{escape(title)}</text>"
        f'<text x="24" y="50" font-size="12.5" fill="#59606c">{escape(where)}</text>'
        f"{plot}{strip}</svg>"
    )


def _strip(results: Results, method: str, lines: Sequence[Entry]) -> str:
    """One example under the best method, or else the first of a paper; empty without pictures."""
    if results.tasks[0].kind not in _DRAWN:
        return ""
    pictures = results.pictures(task=results.tasks[0].slug)
    papers = [e.summary.method for e in lines if e.kind == "paper"]
    shown = method if method != UNTOUCHED else next(iter(papers), "")
    mine = [p for p in pictures if p.method == shown and p.keep < 1]
    if not mine:
        return ""
    examples = [p.example for p in mine]
    most = max(reversed(examples), key=examples.count)
    chosen = sorted((p for p in mine if p.example == most), key=lambda p: -p.keep)[:3]
    return _DRAWN[results.tasks[0].kind](results, chosen)


def _maps(results: Results, chosen: Sequence[Picture]) -> str:
    """What was left of one cache, below each other: rows are layers, columns tokens."""
    width, height = 2 * _TILE + 12, 2 * _TILE // 3
    left = WIDTH - width - 22
    return "".join(
        f'<g transform="translate({left} {20 + n * (height + 26)})">'
        f'<rect width="{width}" height="{height}" fill="#f0f2f5"/>'
        f'<image width="{width}" height="{height}" preserveAspectRatio="none" '
        f'image-rendering="optimizeSpeed" href="{slots.data_uri(slots.image(one.groups), "PNG")}"/>'
        f'<text y="{height + 15}" font-size="12" fill="#16181d">'
        f"{escape(_caption(results, one))}</text></g>"
        for n, one in enumerate(chosen)
    )


def _caption(results: Results, one: Picture) -> str:
    name = display_name(results, one.method)
    return f"{name} {one.keep:.3g}: its cache, by layer and token"


def _images(results: Results, chosen: Sequence[Picture]) -> str:
    """One image as it is and with fewer tokens, in two columns."""
    image = tokens.image(chosen[0].thumbnail)
    rows, cols = chosen[0].grid
    tiles = [_tile(image, "", f"{rows * cols} patches", (rows, cols))]
    tiles += [_merged(results, one, image) for one in chosen]
    left, top = WIDTH - 2 * _TILE - 34, 20
    return "".join(
        f'<g transform="translate({left + n % 2 * (_TILE + 12)} {top + n // 2 * (_TILE + 34)})">'
        f"{tile}</g>"
        for n, tile in enumerate(tiles)
    )


def _merged(results: Results, one: Picture, image: Image.Image) -> str:
    left, _ = tokens.count(one)
    caption = f"{display_name(results, one.method)} {one.keep:.3g}: {counted(left, 'token')}"
    return _tile(image, tokens.overlay(one.groups, image), caption, one.grid)


def _tile(image: Image.Image, overlay: str, caption: str, grid: tuple[int, int]) -> str:
    rows, cols = grid
    tone = ' class="light"' if tokens.is_light(image) else ""
    return (
        f'<svg width="{_TILE}" height="{_TILE}" viewBox="0 0 {cols} {rows}"{tone} '
        f'stroke-width="{cols / _TILE * 0.8:.3f}"><image width="{cols}" height="{rows}" '
        f'preserveAspectRatio="none" href="{_png_uri(image)}"/>{overlay}</svg>'
        f'<text y="{_TILE + 16}" font-size="12" fill="#16181d">{escape(caption)}</text>'
    )


def _png_uri(image: Image.Image) -> str:
    side = _TILE * SCALE
    return slots.data_uri(image.resize((side, side), Image.Resampling.LANCZOS), "PNG")


_DRAWN = {"vision": _images, "causal-lm": _maps}
