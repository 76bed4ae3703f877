"""How the documentation is built: `make docs`; nothing is fetched."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import sync  # noqa: E402

from tokenry.cli import app as cli  # noqa: E402

# Progress of loading does not belong in the gallery's output.
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

project = "tokenry"
author = "the tokenry authors"
copyright = "the tokenry authors, Apache-2.0"
release = importlib.metadata.version("tokenry")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "bench_table",
    "mathml",
]
exclude_patterns = ["_build", "gallery/*.ipynb", "gallery/*.md5"]
html_theme = "furo"
html_title = "tokenry"
html_static_path = ["_static"]
html_show_sphinx = False
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
default_role = "code"
smartquotes_action = "D"
html_math_renderer = "mathml"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_use_rtype = False
napoleon_use_ivar = True
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "abort_on_example_error": True,
    "write_computation_times": False,
    "show_signature": False,
    "capture_repr": (),
    "download_all_examples": False,
    "copyfile_regex": r"",
    "within_subsection_order": "FileNameSortKey",
}

_MATH = re.compile(r"\$([^$]+)\$")
_FENCE = re.compile(r"^( *)```python\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


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


def fill_in_commands(app, docname, source):
    """Put what the command line says of itself into its page."""
    if docname == "reference/cli":
        _, first, commands = cli.generate_docs(usage_name="tokenry").partition("\n## tokenry ")
        source[0] = source[0].replace("<!-- commands -->", first + commands)


def markdown_to_rst(app, what, name, obj, options, lines):
    """Let docstrings write formulas as `$x$` and code in fences."""
    text = _MATH.sub(lambda m: f":math:`{' '.join(m[1].split())}`", "\n".join(lines))
    lines[:] = _FENCE.sub(_code_block, text.replace("\\\\", "\\")).split("\n")


def _code_block(match):
    body = textwrap.indent(textwrap.dedent(match[2]), f"{match[1]}   ")
    return f"{match[1]}.. code-block:: python\n\n{body}"


def setup(app):
    """Connect the pieces above."""
    app.connect("builder-inited", write_method_pages, priority=100)
    app.connect("source-read", fill_in_commands)
    app.connect("autodoc-process-docstring", markdown_to_rst)
    return {"parallel_read_safe": True}
