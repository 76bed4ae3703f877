"""Texts name no machine, point at files that exist, and news files have the right names."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = {".py", ".md", ".rst", ".toml", ".txt", ".cff", ".json", ".html", ".css", ".js", ".yml", ""}
KINDS = "feature|change|deprecation|removal|fix|security"
FORBIDDEN = re.compile(
    r"(?<![\w.])/(work|opt/wheels|opt/pypi)/|index-url|registry\.npmjs|pypi\.org/simple"
    r"|pythonhosted|(?<!scope=\")\bsessions?\b",
    re.IGNORECASE,
)
PATH = re.compile(r"`((?:src|tests|docs|bench|recipes|examples|news|\.ci)/[\w./-]*)`")
BUILT = ("docs/methods", "docs/gallery", "docs/_build", "bench/results")


def project_files() -> list[Path]:
    """Files under version control, and those that are about to be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = (ROOT / name for name in names.splitlines())
    here = Path(__file__)  # must write what no other file may
    return [p for p in paths if p.is_file() and p.suffix in TEXT and p != here]


def test_no_machine_is_named():
    found = [
        (str(path.relative_to(ROOT)), match[0])
        for path in project_files()
        for match in FORBIDDEN.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize("bad", ["cd /work/x", "--extra-index-url=x", "a session"])
def test_the_pattern_finds_what_it_must(bad):
    assert FORBIDDEN.search(bad)


def test_paths_in_texts_exist():
    pages = [p for p in project_files() if p.suffix == ".md" and p.name != "CHANGELOG.md"]
    missing = [
        (str(page.relative_to(ROOT)), name)
        for page in pages
        for name in PATH.findall(page.read_text(encoding="utf-8"))
        if not name.startswith(BUILT) and not (ROOT / name).exists()
    ]
    assert len(pages) > 100
    assert missing == []


def test_news_files_have_the_right_names():
    names = [path.name for path in (ROOT / "news").iterdir() if not path.name.startswith(".")]
    wrong = [n for n in names if not re.fullmatch(rf"[a-z0-9]+(-[a-z0-9]+)*\.({KINDS})\.md", n)]
    assert wrong == []
    assert all((ROOT / "news" / name).read_text(encoding="utf-8").strip() for name in names)
