"""Figures that a page has from a card are those that stand on the card.

A line `% figures: SLUG, SLUG; 1.5 2.5` under a heading says whose cards the section's figures are
from, and behind the semicolon which ones stand nowhere else.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tokenry import catalog

ROOT = Path(__file__).parents[2]
MARK = re.compile(r"^% figures: ([\w, -]+)(?:; ([\d. ]+))?$", re.MULTILINE)
FIGURE = re.compile(r"(?<![\w.])(\d*\.\d+)(?!\.?\w)")
SECTIONS = [
    pytest.param(section, id=f"{page.stem}: {section.splitlines()[0].lstrip('# ')[:50]}")
    for page in sorted((ROOT / "docs").rglob("*.md"))
    for section in re.split(r"^(?=#+ )", page.read_text("utf-8"), flags=re.MULTILINE)
    if MARK.search(section)
]


def figures(text: str) -> set[float]:
    """The numbers with a point in a text."""
    return {float(number) for number in FIGURE.findall(text)}


def on_card(slug: str) -> set[float]:
    """Those that a card says were measured here."""
    claims = catalog.card(slug)["claims"]
    return figures("\n".join(f"{one['measured']} {one['not_shown']}" for one in claims))


def strangers(section: str) -> set[float]:
    """The figures of a section that are neither on its cards nor its own."""
    ((slugs, own),) = MARK.findall(section)
    found = set().union(*(on_card(slug.strip()) for slug in slugs.split(",")))
    return figures(MARK.sub("", section)) - found - figures(own)


@pytest.mark.parametrize("section", SECTIONS)
def test_figures_from_a_card_are_those_on_it(section):
    assert strangers(section) == set()


def test_enough_sections_say_whose_figures_they_have():
    assert len(SECTIONS) >= 12


def test_a_figure_of_an_older_card_is_found():
    section = (
        "## A\n\n% figures: pitome; 7.5\n\nOn drawings 0.960 and .987 (v1.2, 7.5), once 0.961."
    )
    assert strangers(section) == {0.961}
