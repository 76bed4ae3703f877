"""An option of a command is the argument of the public function of the same name."""

from __future__ import annotations

import inspect

import pytest

import tokenry
from tokenry.cli import app
from tokenry.tables.settings import Settings

VERBS = [name for name in tokenry.__all__ if name.islower() and name.replace("_", "-") in app]
# What only a command has: files beside the result, gates, and texts that it reads by itself.
WRITES = {"out", "report", "picture", "pairs", "formulas", "how", "suffixes", "labelled", "json"}
OWN = {
    "audit": {"text"},
    "compare": {"max_loss", "by"},
    "link": {"label", "labels"},
    "dedupe": {"label", "labels"},
    "evaluate_links": {"no_one_table"},
    "transplant": {"text", "source_text", "held_out", "train_steps", "rate", "on_error"},
}
# One at a time, given several times.
SINGULAR = {"table": "tables", "shot": "shots"}


def options(verb):
    """Those of a command, without its positional arguments."""
    found = app[verb.replace("_", "-")].assemble_argument_collection()
    names = {name for one in found for name in one.names if name.startswith("--")}
    return {name.removeprefix("--").replace("-", "_") for name in names}


def arguments(verb):
    named = set(inspect.signature(getattr(tokenry, verb)).parameters)
    return named | set(Settings.__annotations__ if "settings" in named else ())


def test_most_verbs_are_commands():
    assert {"compare", "link", "dedupe", "audit", "tune", "find", "evaluate_links"} <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_options_are_arguments(verb):
    given = {SINGULAR.get(name, name) for name in options(verb)}
    assert given - arguments(verb) - WRITES == OWN.get(verb, set())
