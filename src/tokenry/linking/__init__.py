"""Linking: which rows of two tables are the same thing, by which paper's rule."""

from __future__ import annotations

__all__: list[str] = []
