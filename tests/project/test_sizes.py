"""Small files, short functions, and no drawers to throw things into."""

from __future__ import annotations

import ast
from pathlib import Path

from tokenry.card import FAMILIES

ROOT = Path(__file__).parents[2]
FILES = [
    path
    for folder in ("src", "tests", "bench", "recipes", "examples", "docs")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not {"_build", "gallery"} & set(path.relative_to(ROOT).parts)
]
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc"}


def limit(path: Path) -> int:
    """Lines that a file may have: a method's 250, any other's 400."""
    method = path.parent.name in FAMILIES and path.parent.parent.name == "tokenry"
    return 250 if method and path.name != "__init__.py" else 400


def long_functions(source: str) -> list[str]:
    """Functions of more than 40 lines, docstrings not counted."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node, clean=False) is not None:
                lines -= node.body[0].end_lineno - node.body[0].lineno + 1
            if lines > 40:
                found.append(f"{node.name}: {lines} lines")
    return found


def faults(path: Path) -> list[str]:
    """What is too long in a file."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    whole = [f"{len(lines)} lines"] if len(lines) > limit(path) else []
    wide = [f"line {i} is wide" for i, line in enumerate(lines, 1) if len(line) > 100]
    return whole + wide + long_functions(source)


def test_files_are_small():
    found = {str(path.relative_to(ROOT)): faults(path) for path in FILES}
    assert len(found) > 900
    assert {path: long for path, long in found.items() if long} == {}


def test_files_say_what_they_are_for():
    assert [path for path in FILES if path.stem in DRAWERS] == []


def test_method_files_have_the_lower_limit():
    assert limit(ROOT / "src/tokenry/vision/tome.py") == 250
    assert limit(ROOT / "src/tokenry/vision/__init__.py") == 400
    assert limit(ROOT / "tests/vision/test_tome.py") == 400


def test_what_is_too_long_is_named(tmp_path):
    path = tmp_path / "long.py"
    path.write_text("x = 1\n" * 400 + "#" * 101, encoding="utf-8")
    assert faults(path) == ["401 lines", "line 401 is wide"]


def test_a_docstring_does_not_count():
    body = "    x = 1\n" * 39
    assert long_functions(f"def f():\n{body}") == []
    assert long_functions(f'def f():\n    """A.\n\n    B.\n    """\n{body}') == []
    assert long_functions(f"def f():\n    y = 2\n{body}") == ["f: 41 lines"]
