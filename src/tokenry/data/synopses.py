"""Manual pages as a collection: the line that says what a page is about finds the page."""

from __future__ import annotations

import re

from tokenry.data.collections import Collection, Document, Query
from tokenry.data.manpages import manpages

_NAME = re.compile(
    r"(NAME\n\s*)(?P<names>\S.*?) [-\u2013\u2014]{1,2} (?P<about>.+?)\n(?=\n|[A-Z])", re.S
)


def split_page(text: str) -> tuple[str, str] | None:
    r"""The one-line description of a page and the page without it; None where it has none.

    >>> split_page("NAME\n  ab - benchmarking tool\n\nSYNOPSIS\n  ab [-k]\n")
    ('benchmarking tool', 'NAME\n  ab\n\nSYNOPSIS\n  ab [-k]\n')
    """
    found = _NAME.match(text)
    if found is None:
        return None
    about = " ".join(found["about"].split())
    return about, f"{found[1]}{found['names']}\n{text[found.end() :]}"


def synopses() -> Collection:
    """The shipped manual pages as documents, their descriptions as queries.

    One page answers each query, but for pages with the same description, which answer it all. The
    description is taken out of the page: what is left is how the page says the same at length.
    """
    pages = {e.meta["page"]: (e.text, e.domain, e.meta["license"]) for e in manpages().examples}
    about: dict[str, list[str]] = {}
    documents, domains = [], {}
    for page, (text, domain, licence) in pages.items():
        parts = split_page(text)
        if parts is not None:
            about.setdefault(parts[0], []).append(page)
            documents.append(Document(page, parts[1], {"license": licence}))
            domains[page] = domain
    return Collection(
        name="manpages",
        examples=tuple(
            Query(names[0], line, dict.fromkeys(names, 1), domain=domains[names[0]])
            for line, names in about.items()
        ),
        license="; ".join(sorted({licence for _, _, licence in pages.values()})),
        source="manual pages of Debian 12 packages; queries are their one-line descriptions",
        documents=tuple(documents),
    )
