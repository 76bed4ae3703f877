"""`import tokenry`: names on demand, and verbs that win over the folders of the same name."""

import importlib
from importlib import metadata

import pytest

import tokenry


@pytest.mark.parametrize(
    "lines",
    [
        "import tokenry.report.words, tokenry.compare.stats",
        "import tokenry; tokenry.compare; import tokenry.compare.results, tokenry.report.labels",
        "import importlib, tokenry; importlib.import_module('tokenry.report'); "
        "importlib.reload(tokenry)",
    ],
)
def test_verbs_stay_functions_in_every_import_order(lines, program, tmp_path):
    probe = (
        f"{lines}\nimport tokenry\n"
        "print(tokenry.compare.__module__, tokenry.report.__module__)\n"
        "from tokenry.report import words\nfrom tokenry.compare import stats\n"
        "print(type(tokenry.compare).__name__, type(tokenry.report).__name__)"
    )
    done = program(probe, tmp_path)
    assert done.out.split("\n")[:2] == [
        "tokenry.compare.run tokenry.report.page",
        "function function",
    ], done.err


@pytest.mark.parametrize("name", tokenry.__all__)
def test_every_public_name_is_there_and_listed(name):
    assert getattr(tokenry, name) is getattr(importlib.import_module("tokenry"), name)
    assert name in dir(tokenry)


def test_public_names_have_one_home_each():
    assert set(tokenry.__all__) == set(tokenry._HOME)


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="module 'tokenry' has no attribute 'comapre'"):
        tokenry.comapre  # noqa: B018
    with pytest.raises(ImportError):
        from tokenry import nonsense  # noqa: F401


def test_version_is_that_of_the_installed_package():
    assert tokenry.__version__ == metadata.version("tokenry")
