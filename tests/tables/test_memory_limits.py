"""A process that runs out of memory says so, and goes on where it was when it has more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tokenry.tables.blocking import MAX_BLOCK

resource = pytest.importorskip("resource")
STATUS = Path("/proc/self/status")

PROGRAM = """
import resource
import sys
from tokenry.cli import main

def run(folder):
    words = ["link", "left.csv", "right.csv", "--on", "name", "--block", "code", "--json"]
    return main([*words, "--method", "char-ngrams", "--memory", "100MB", "--folder", folder])

main(["link", "small.csv", "small.csv", "--on", "name", "--block", "code"])  # loads all there is
margin = int(sys.argv[2])
if margin:
    lines = open("/proc/self/status").read().splitlines()
    held = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:"))
    resource.setrlimit(resource.RLIMIT_DATA, (held + margin, resource.RLIM_INFINITY))
sys.exit(run(sys.argv[1]))
"""
