"""The commands about the catalogue; `tokenry.cli` takes them over as its own."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

import tokenry
from tokenry import catalog, console
from tokenry.card import Family
from tokenry.cli_arguments import Flag

app = App(name="tokenry", help_format="markdown")


@app.command(name="list")
def list_(*, family: Family | None = None, json: Flag = False) -> None:
    """List the methods, those of installed packages included.

    Example: `tokenry list --family vision`

    Args:
        family: Only this family.
        json: Print the cards for machines instead.
    """
    cards = [catalog.card(name) for name in tokenry.methods()]
    cards = [card for card in cards if family in (None, card["family"])]
    if json:
        console.write_json(cards)
        return
    if not cards:
        held = ", ".join(dict.fromkeys(card["family"] for card in catalog.cards()))
        console.write(f"No method is of the family {family} yet; there are some of {held}.")
        return
    table = console.table("Method", "What it does", "Needs", "Paper")
    for card in cards:
        paper = f"{card['name']}, {card['year']}" if card["arxiv"] else "plain baseline"
        table.add_row(card["slug"], card["summary"], card["needs"], paper)
    console.write(table)


@app.command
def show(method: str, /, *, json: Flag = False) -> None:
    """Show one method: what it does, its paper, what holds of it here, how it is used and set.

    Example: `tokenry show pitome`

    Args:
        method: Its name; settings in parentheses behind it do not matter.
        json: Print for machines instead.
    """
    from tokenry.method import settings
    from tokenry.method.uses import use

    slug, _ = catalog.parse(method)
    card, cls = catalog.card(slug), catalog.find(slug)
    found, (call, page) = settings(cls), use(cls)
    if json:
        plain = [
            {"name": s.name, "allowed": s.allowed, "default": s.default, "doc": s.doc}
            for s in found
        ]
        console.write_json({**card, "use": call, "page": page, "settings": plain})
        return
    console.write(console.described(card))
    if call or page:
        more = f"docs/{page}.md" if page else ""
        console.write(f"Use it: {'; more in '.join(filter(None, (call, more)))}\n")
    table = console.table("Setting", "What it is", "Allowed", "Default")
    for setting in found:
        table.add_row(setting.name, setting.doc, setting.allowed, repr(setting.default))
    console.write(table)


@app.command
def find(
    words: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    /,
    *,
    like: str | None = None,
    family: Family | None = None,
    k: Annotated[int, Parameter(name=["-k", "--k"])] = 8,
    json: Flag = False,
) -> None:
    """Find methods by what they do, or those most like one that you know.

    For example:

    ```
    tokenry find "merge similar image tokens"

    tokenry find --like pitome
    ```

    Args:
        words: What is wanted, in plain words.
        like: The name of a method, in the place of words.
        family: Only this family.
        k: At most so many.
        json: Print for machines instead.
    """
    found = tokenry.find(" ".join(words), like=like, family=family, k=k)
    if json:
        console.write_json([one.to_dict() for one in found])
        return
    if not found:
        console.write("No description holds any of these words; `tokenry list` shows all methods.")
        return
    table = console.table("Method", "What it does", "Family", "Found by")
    for one in found:
        table.add_row(one.slug, one.summary, one.family, ", ".join(one.words))
    console.write(table)
    best = found[0].slug if like is None else None
    if best:
        near = ", ".join(one.slug for one in tokenry.find(like=best, k=4))
        console.write(f"Similar to {best}: {near}. `tokenry show {best}` says more of it.")
