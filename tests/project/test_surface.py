"""What `import tokenry` costs, and what the packages say they offer."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "tokenry"
HEAVY = ("torch", "transformers", "numpy", "pandas", "PIL")


def listed(path: Path) -> list[str] | None:
    """The literal `__all__` of a module; None when it has none."""
    source = path.read_text(encoding="utf-8")
    if "__all__" not in source:
        return None
    for node in ast.parse(source).body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            return ast.literal_eval(node.value)
    return None


WITH_LIST = [path for path in sorted(PACKAGE.rglob("*.py")) if listed(path) is not None]


def loaded_after(code: str) -> list[str]:
    """Which heavy packages a fresh interpreter has loaded after running `code`."""
    probe = f"{code}\nimport sys\nprint(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize(
    "code",
    [
        "import tokenry",
        "import tokenry; dir(tokenry)",
        "from tokenry import catalog; catalog.names(); catalog.card('tome')",
        "import tokenry; tokenry.find('merge tokens'); tokenry.find(like='tome')",
        "import tokenry.cli",
    ],
)
def test_light_imports_load_nothing_heavy(code):
    assert loaded_after(code) == []


def test_the_probe_sees_heavy_imports():
    assert "torch" in loaded_after("import tokenry.vision")


@pytest.mark.parametrize("path", WITH_LIST, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_names_are_once_and_there(path):
    names = listed(path)
    assert len(names) == len(set(names))  # their order is ruff's
    module = ".".join(["tokenry", *path.relative_to(PACKAGE).with_suffix("").parts])
    module = __import__(module.removesuffix(".__init__"), fromlist=["_"])
    assert [name for name in names if not hasattr(module, name)] == []


def test_the_package_itself_lists_its_names():
    assert PACKAGE / "__init__.py" in WITH_LIST


def test_one_file_knows_what_the_cache_is_called():
    old = [p for p in PACKAGE.rglob("*.py") if "past_key_values" in p.read_text(encoding="utf-8")]
    assert old == [PACKAGE / "plugs" / "past.py"]
