"""What the papers say of the methods, beside what this run measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tokenry.report import words
from tokenry.report.entries import display_name

if TYPE_CHECKING:
    from tokenry.compare.results import Results
    from tokenry.report.entries import Entry


def paper(results: Results, label: str, lines: Sequence[Entry]) -> dict[str, Any]:
    """A method's card as the page shows it, cleaned.

    Args:
        results: The comparison.
        label: The method.
        lines: What was measured of it.
    """
    card = results.card(label) or {}
    year = "" if str(card["year"]) in card["venue"] else card["year"]
    source = [card["venue"], year, card["arxiv"] and f"arXiv {card['arxiv']}", card["code"]]
    measured = [
        f"{f'keep {e.keep}: ' * e.dial}{e.speedup} ({e.faster}), {e.difference} ({e.verdict})"
        for e in lines
        if e.acts
    ]
    facts = [("In this run", measured), ("Dial", [card["dial"]])]
    if "(" in label:
        facts.append(("Configured as", [label]))
    if card["needs"] != "nothing":
        facts.append(("Needs", [card["needs"]]))
    return {
        "name": display_name(results, label),
        "title": words.clean(card["title"], 200),
        "source": ", ".join(words.clean(part, 120) for part in source if part),
        "facts": [
            (term, [words.clean(text, 400) for text in texts]) for term, texts in facts if texts
        ],
        "claims": [_claim(claim) for claim in card["claims"]],
        "differs": [words.clean(line, 600) for line in card["differs"]],
    }


def _claim(claim: dict[str, str]) -> dict[str, str]:
    shown = not claim["not_shown"]
    return {
        "paper": words.clean(claim["paper"], 400),
        "effect": words.clean(claim["effect"], 400),
        "state": "Shown:" if shown else "Not shown:",
        "text": words.clean(claim["measured"] if shown else claim["not_shown"], 400),
    }
