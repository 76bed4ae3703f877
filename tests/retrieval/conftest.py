"""Packages with facets, where the machine has a package index."""

from __future__ import annotations

import shutil
import subprocess

import pytest


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """Debian's packages that have tags; a machine without an index of them skips the test."""
    from tokenry.data.debtags import debtags
    from tokenry.errors import DataError

    if shutil.which("apt-cache") is None:
        pytest.skip("needs a package index: there is no apt-cache here")
    path = tmp_path_factory.mktemp("index") / "Packages"
    with path.open("wb") as file:
        subprocess.run(["apt-cache", "dumpavail"], stdout=file, check=True)
    try:
        found = debtags(path)
    except DataError as error:
        pytest.skip(f"needs a package index with tags: {error}")
    if len(found) < 20_000:
        pytest.skip(f"needs the index of a whole release; this one has {len(found)} with tags")
    return found
