"""The studies of the recipes, for tests of what they claim."""

from __future__ import annotations

import sys
from importlib import util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def recipe():
    """Read a script of `recipes/` by its name."""

    def read(name):
        path = Path(__file__).parents[2] / "recipes" / f"{name}.py"
        spec = util.spec_from_file_location(name, path)
        module = util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    return read
