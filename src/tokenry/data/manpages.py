"""The Debian manual pages with questions that ship with the package."""

from __future__ import annotations

import json
from pathlib import Path

from tokenry.data.texts import TextData, TextExample

FOLDER = Path(__file__).parent / "manpages"


def manpages() -> TextData:
    """Return questions with exact answers about manual pages; several share one page's text.

    The id is page#number, the domain is the package; meta holds the page, its licence and the kind
    of the question.
    """
    lines = (FOLDER / "manpages.jsonl").read_text(encoding="utf-8").splitlines()
    pages = [json.loads(line) for line in lines]
    return TextData(
        name="manpages",
        examples=tuple(
            TextExample(
                id=f"{page['id']}#{number}",
                text=page["text"],
                question=asked["question"],
                answers=tuple(asked["answers"]),
                answer_prefix=asked["answer_prefix"],
                domain=page["package"],
                meta={"page": page["id"], "license": page["license"], "kind": asked["kind"]},
            )
            for page in pages
            for number, asked in enumerate(page["questions"], 1)
        ),
        license="; ".join(sorted({page["license"] for page in pages})),
        source="manual pages of Debian 12 packages; questions by rule",
    )
