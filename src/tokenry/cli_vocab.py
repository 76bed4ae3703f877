"""The commands about tokenizers; `tokenry.cli` takes them over as its own."""

from __future__ import annotations

from cyclopts import App

app = App(name="tokenry", help_flags=(), version_flags=(), help_format="markdown")
