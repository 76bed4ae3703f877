"""Write everything that is made from the cards; `--check` only says what is stale."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenry import catalog
from tokenry.card import FAMILIES
from tokenry.finder import CardIndex, Found
from tokenry.method import Method, Probe, settings
from tokenry.method.uses import use

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))

from find_box import find_box  # noqa: E402

BEGIN = "<!-- methods: written by `make sync` -->"
END = "<!-- end of methods -->"
SIMILAR = 4
HEADINGS = {
    "vision": "Pictures",
    "cache": "Long texts",
    "decoding": "Writing",
    "vocab": "Tokenizers",
    "codes": "Codes",
    "diffusion": "Diffusion",
    "retrieval": "Search",
    "linking": "Tables",
    "training": "Training",
    "probes": "Looking inside",
}
"""What the page of methods calls the families."""

Cards = list[dict[str, Any]]


def generated(root: Path) -> dict[Path, str]:
    """The files under version control that come from the cards, with what they should hold."""
    cards = catalog.entries()
    readme = root / "README.md"
    head, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    return {
        root / "src/tokenry/catalog.json": catalog.render(cards),
        readme: f"{head}{BEGIN}\n\n{method_table(cards)}\n\n{END}{tail}",
    }


def method_table(cards: Cards, link: str = "") -> str:
    """All methods in one Markdown table; `link` is a format for the address of a method's page."""
    lines = ["| Method | Family | What it does | Needs | Paper |", "|---|---|---|---|---|"]
    order = {family: number for number, family in enumerate(FAMILIES)}
    for card in sorted(
        cards, key=lambda card: (order[card["family"]], card["arxiv"] is None, card["slug"])
    ):
        slug = f"`{card['slug']}`"
        name = f"[{slug}]({link.format(**card)})" if link else slug
        columns = (name, card["family"], card["summary"], card["needs"], _paper(card))
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)


def chooser(cards: Cards) -> str:
    """A table "I have ..., I want ..." for each family, plain baselines left out."""
    parts = []
    for family in FAMILIES:
        rows: dict[tuple[str, str], list[str]] = {}
        for card in cards:
            if card["arxiv"] and card["family"] == family:
                link = f"[{card['name']}]({card['slug']}.md)"
                rows.setdefault((card["have"], card["want"]), []).append(link)
        lines = [f"### {HEADINGS[family]}", "", "| I have | I want | Look at |", "|---|---|---|"]
        lines += [
            f"| {have} | {want} | {', '.join(links)} |" for (have, want), links in rows.items()
        ]
        parts += ["\n".join(lines)] if rows else []
    return "\n\n".join(parts)


def method_page(cls: type[Method], near: Sequence[Found] = ()) -> str:
    """The page of one method, from its card and the annotations of its settings.

    Args:
        cls: The method.
        near: Similar ones, for the last section.
    """
    card = cls.card.to_dict()
    parts = [
        f"# {card['name']}\n\n{card['summary']}",
        _facts(card, any(setting.name == "keep" for setting in settings(cls))),
        *_use(cls),
        f"## Settings\n\n{_settings(cls)}",
        f"## Claims\n\n{_claims(card)}",
        f"## Departures\n\n{_departures(card)}",
        f"## Rule\n\n```{{eval-rst}}\n.. autoclass:: {cls.__module__}.{cls.__name__}\n"
        f"   :members: {_rule(cls)}\n```",
    ]
    if near:
        links = [f"- [{one.name}]({one.slug}.md): {one.summary}" for one in near]
        parts.append("## Similar\n\n" + "\n".join(links))
    return "\n\n".join(parts) + "\n"


def pages() -> dict[str, str]:
    """The folder `docs/methods`, made at each build of the documentation."""
    cards = catalog.entries()
    slugs = "\n".join(card["slug"] for card in cards)
    index = (
        "# Methods\n\nEvery method on a page of its own: how it is used, its settings, what its "
        "paper claims, and what came out here. Say what you want, or look in the tables below.\n\n"
        f"{find_box(cards)}\n\n"
        f"## I have, I want\n\n{chooser(cards)}\n\n"
        f"## All\n\n{method_table(cards, '{slug}.md')}\n\n"
        f"```{{toctree}}\n:hidden:\n\n{slugs}\n```\n"
    )
    finder = CardIndex(cards)
    methods = {
        f"{cls.card.slug}.md": method_page(cls, finder.like(cls.card.slug)[:SIMILAR])
        for cls in catalog.classes()
    }
    return {"index.md": index, **methods}


def _paper(card: dict[str, Any]) -> str:
    if not card["arxiv"]:
        return "plain baseline"
    where = card["venue"] or f"arXiv {card['year']}"
    return f"[{card['name']}](https://arxiv.org/abs/{card['arxiv']}), {where}"


def _facts(card: dict[str, Any], keeps: bool) -> str:
    code = f"<{card['code']}> ({card['code_license'] or 'no licence'})" if card["code"] else "none"
    facts = {
        "Name here": f"`{card['slug']}`",
        "Title": card["title"],
        "Paper": _paper(card),
        "Official code": code,
        "Needs": card["needs"],
    }
    if card["exact"] or keeps:
        same = "always" if card["exact"] else "only at `keep=1`"
        facts["Output equals the untouched model's"] = same
    facts["[The dial](../reference/keep.md)"] = card["dial"]
    return "\n".join(["| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in facts.items())])


def _use(cls: type[Method]) -> list[str]:
    """The section on how a method is used, if its contract says how."""
    call, page = use(cls)
    parts = [f"```python\n{call}\n```" if call else "", f"[](../{page}.md)" if page else ""]
    return ["\n\n".join(["## Use", *filter(None, parts)])] if any(parts) else []


def _rule(cls: type[Method]) -> str:
    """The methods of a class that answer its family's question."""
    names = ("reduce", "observe", "layers", "input_grid", "evict", "select", "attend", "plan")
    names += ("draft", "learn", "shown", "first_tokens", "prompt", "parse", "choose", "following")
    names += ("chunk", "group", "score", "scores", "loss", "trend", "measure")
    rules = ("items", "measure") if issubclass(cls, Probe) else names
    return ", ".join(name for name in rules if name in vars(cls))


def _settings(cls: type[Method]) -> str:
    lines = ["| Setting | Allowed | Default | What it is |", "|---|---|---|---|"]
    for s in settings(cls):
        allowed = s.allowed.replace("|", "\\|")
        lines.append(f"| `{s.name}` | {allowed} | `{s.default!r}` | {s.doc} |")
    return "\n".join(lines)


def _claims(card: dict[str, Any]) -> str:
    parts = []
    for claim in card["claims"]:
        outcome = (
            f"**Shown here** by `{claim['test']}`: {claim['measured']}"
            if claim["test"]
            else f"**Not shown here**: {claim['not_shown']}"
        )
        parts.append(
            f"- The paper: {claim['paper']}\n\n  Looked for: {claim['effect']}\n\n  {outcome}"
        )
    return "\n\n".join(parts) or "A plain baseline claims nothing."


def _departures(card: dict[str, Any]) -> str:
    return "\n".join(f"- {line}" for line in card["differs"]) or "None."


def main() -> int:
    """Write what is stale; with `--check` name it on standard error and return 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when stale")
    check = parser.parse_args().check
    status = 0
    for path, text in generated(ROOT).items():
        if path.read_text(encoding="utf-8") == text:
            continue
        if check:
            status = 1
            sys.stderr.write(f"{path.relative_to(ROOT)} is stale; run: make sync\n")
        else:
            path.write_text(text, encoding="utf-8")
            sys.stderr.write(f"{path.relative_to(ROOT)} written\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
