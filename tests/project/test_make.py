"""The Makefile on a machine that lacks something."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def old_python(tmp_path):
    """An interpreter that answers no to any question."""
    path = tmp_path / "python3"
    path.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("target", ["demo", "test"])
def test_an_old_python_gets_one_clear_line(old_python, tmp_path, target):
    done = make(target, f"PYTHON={old_python}", f"VENV={tmp_path / 'venv'}")
    assert done.returncode == 2
    assert "tokenry needs Python 3.10 or newer" in done.stderr
    assert f"make PYTHON=python3.12 {target}" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_clean_leaves_measurements_alone():
    removed = make("--dry-run", "clean").stdout.replace("\\\n", "").split()
    assert "demo-results" in removed
    assert "results" not in removed


def test_the_list_of_targets_is_complete():
    targets = {line.split()[0] for line in make("help").stdout.splitlines()}
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = [line for line in text.splitlines() if line.startswith(".PHONY:")]
    assert targets == set(phony.removeprefix(".PHONY:").split())
