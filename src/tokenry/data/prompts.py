"""Prompts of four kinds that ship with the package: some repeat much, some little."""

from __future__ import annotations

import json
import random
from pathlib import Path

from tokenry.data.manpages import manpages
from tokenry.data.texts import TextData, TextExample

FILE = Path(__file__).parent / "prompts" / "prompts.jsonl"
PAGE_CHARACTERS = 2500
LOG_LINES, LOGS, SUMMARIES = 24, 12, 12


def prompts() -> TextData:
    """Return chat questions, code edits, summaries of manual pages and logs to go on with.

    The domain is the kind: chat, edit, summary or log.
    """
    written = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    examples = [TextExample(id=w["id"], text=w["text"], domain=w["kind"]) for w in written]
    return TextData(
        name="prompts",
        examples=(*examples, *_summaries(), *_logs()),
        license="Apache-2.0; of the summaries that of their manual page",
        source="written for tokenry; summaries of its manual pages; logs by rule",
    )


def _summaries() -> list[TextExample]:
    pages = {e.meta["page"]: e for e in manpages().examples}
    return [
        TextExample(
            id=f"summary-{page}",
            text=f"Summarize this manual page in a few sentences. Name its options.\n\n"
            f"{example.text[:PAGE_CHARACTERS]}",
            domain="summary",
            meta={"license": example.meta["license"]},
        )
        for page, example in sorted(pages.items())[:: len(pages) // SUMMARIES][:SUMMARIES]
    ]


def _logs() -> list[TextExample]:
    return [
        TextExample(
            id=f"log-{number:02}",
            text="Go on with this log for twenty lines.\n\n" + "\n".join(_lines(number)),
            domain="log",
        )
        for number in range(1, LOGS + 1)
    ]


def _lines(number: int) -> list[str]:
    """A service that answers requests and now and then has a warning."""
    draw = random.Random(number)  # noqa: S311 - texts by rule, no secret
    service, seconds = draw.choice(["billing", "search", "gateway", "mailer"]), number * 977
    lines = []
    for _ in range(LOG_LINES):
        seconds += draw.randrange(1, 9)
        clock = f"{8 + seconds // 3600 % 12:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        user, took = draw.randrange(100, 120), draw.choice([12, 15, 18, 21])
        if draw.random() < 0.2:
            lines.append(f"{clock} WARN  [{service}] retry 1 of 3 for user {user}")
        else:
            lines.append(f"{clock} INFO  [{service}] request of user {user} done in {took} ms")
    return lines
