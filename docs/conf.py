"""How the documentation is built: `make docs`; nothing is fetched."""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import sync  # noqa: E402

project = "tokenry"
author = "the tokenry authors"
copyright = "the tokenry authors, Apache-2.0"  # noqa: A001 - Sphinx's name
release = importlib.metadata.version("tokenry")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "cyclopts.sphinx_ext",
]
exclude_patterns = ["_build", "gallery/*.ipynb", "gallery/*.py.md5", "gallery/sg_execution_times.rst"]
html_theme = "furo"
html_title = "tokenry"
html_static_path = ["_static"]
html_show_sphinx = False
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
default_role = "code"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_use_rtype = False
napoleon_use_ivar = True
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "abort_on_example_error": True,
    "min_reported_time": 20,
    "show_signature": False,
    "download_all_examples": False,
    "copyfile_regex": r"",
    "within_subsection_order": "FileNameSortKey",
}

_MATH = re.compile(r"\$([^$]+)\$")


def write_method_pages(app):
    """Make `docs/methods` from the cards before Sphinx reads it."""
    folder = HERE / "methods"
    folder.mkdir(exist_ok=True)
    pages = sync.pages()
    for stale in {path.name for path in folder.iterdir()} - pages.keys():
        (folder / stale).unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def dollars_to_math(app, what, name, obj, options, lines):
    """Let docstrings write formulas as `$x$`."""
    text = _MATH.sub(lambda m: f":math:`{' '.join(m[1].split())}`", "\n".join(lines))
    lines[:] = text.replace("\\\\", "\\").split("\n")


class BenchTable(SphinxDirective):
    """The rows of `bench/results/<argument>.json` as a table: no figure is typed twice."""

    required_arguments = 1

    def run(self):
        """Build the table, or one sentence when nothing was measured yet."""
        path = HERE.parent / "bench" / "results" / f"{self.arguments[0]}.json"
        self.env.note_dependency(str(path))
        if not path.exists():
            text = f"Not measured yet: run `make bench`, which writes `bench/results/{path.name}`."
            return [nodes.paragraph("", text)]
        lines = bench_markdown(json.loads(path.read_text(encoding="utf-8")))
        container = nodes.container()
        self.state.nested_parse(StringList(lines, str(path)), self.content_offset, container)
        return container.children


def bench_markdown(result):
    """`{"environment": {...}, "rows": [{...}, ...]}` as the lines of a Markdown table."""
    columns = list(result["rows"][0])
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in result["rows"]:
        cells = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()]
        lines.append(f"| {' | '.join(cells)} |")
    environment = ", ".join(f"{k} {v}" for k, v in result["environment"].items())
    return [*lines, "", f"Measured on: {environment}."]


def setup(app):
    """Connect the pieces above."""
    app.connect("builder-inited", write_method_pages, priority=100)
    app.connect("autodoc-process-docstring", dollars_to_math)
    app.add_directive("bench-table", BenchTable)
    return {"parallel_read_safe": True}
