"""The report: one HTML file that opens offline and runs under a policy that forbids the network."""

from __future__ import annotations

import base64
import hashlib
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2

from tokenry.compare.audits import Audit
from tokenry.compare.chunked import Chunks
from tokenry.compare.moves import Moves
from tokenry.compare.results import Results
from tokenry.counted import counted
from tokenry.errors import UsageError
from tokenry.report import audited, chunking, compared, linkage, moved, tokens
from tokenry.report.linkage import Told
from tokenry.report.stored import save
from tokenry.report.vega import PALETTE

HERE = Path(__file__).parent


def report(results: Results | Audit | Chunks | Moves | Told, out: str | Path) -> Path:
    """Write the report of a comparison, an audit, chunkers, moved models, or linked tables.

    The file refers to nothing outside itself; its content security policy allows no network. Every
    name that comes from a model, a data set or a file is cleaned, shortened and escaped.

    Args:
        results: What `tokenry.compare`, `audit`, `chunks`, `link` or `dedupe` returned,
            `tokenry.compare.transplants.transplants_on`, or `Results.open(folder)`.
        out: The HTML file to write; its folder must exist.

    Returns:
        The path.

    Raises:
        UsageError: If there is no page for such results.
        StoreError: If the file cannot be written.
    """
    return save("report", out, html(results).encode())


def html(results: Results | Audit | Chunks | Moves | Told) -> str:
    """The report as a string.

    Args:
        results: The comparison, the audit, the chunkers, the moves, or the links.

    Raises:
        UsageError: If it is none of them.
    """
    if isinstance(results, Told):
        return _rendered("linkage.html", linkage.content(results.told()))
    if isinstance(results, Audit):
        return _rendered("audit.html", audited.content(results))
    if isinstance(results, Chunks):
        return _rendered("chunking.html", chunking.content(results))
    if isinstance(results, Moves):
        return _rendered("moved.html", moved.content(results))
    if isinstance(results, Results):
        return _rendered("template.html", compared.content(results))
    raise UsageError(
        f"report: there is no page of {type(results).__name__}; give what tokenry.compare, audit, "
        "chunks, link or dedupe returned, or transplants_on."
    )


def _rendered(template: str, page: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    script = (HERE / "script.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return environment.get_template(template).render(
        page=page,
        made=_made(),
        palette=PALETTE,
        hatch=tokens.HATCH,
        style=(HERE / "style.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=f"sha256-{digest}",
    )


def _made() -> dict[str, str]:
    """What wrote the page; of links, chunks and audits also what measured it."""
    return {
        "tokenry": version("tokenry"),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "cores": counted(os.cpu_count() or 1, "core"),
    }
