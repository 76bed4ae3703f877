from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import tokenry.data
from tokenry.data import load
from tokenry.errors import DataError, MissingExtraError, UnknownNameError, UsageError


def test_import_is_light():
    script = (
        "import sys, tokenry.data\n"
        "heavy = {'torch', 'pandas', 'PIL', 'numpy', 'sklearn', 'pyarrow', 'datasets'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_names_are_public():
    assert tokenry.data.__all__ == sorted(tokenry.data.__all__)
    assert all(hasattr(tokenry.data, name) for name in tokenry.data.__all__)
    assert set(tokenry.data.__all__) <= set(dir(tokenry.data))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tokenry.data.nothing


def test_digits():
    data = load("digits")
    assert (len(data), data.labels) == (1797, tuple("0123456789"))
    image = np.asarray(data[0].image())
    assert image.shape == (8, 8, 3)
    assert image.max() > 230
    assert image[0, 0, 0] == 0
    assert "CC BY 4.0" in data.license
    assert len(load("digits", limit=50)) == 50


def test_digits_need_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r'pip install "tokenry\[data\]"'):
        load("digits")


def test_limit_and_seed():
    first = load("digits", limit=100, seed=1)
    assert [e.id for e in first] == [e.id for e in load("digits").limit(100, 1)]
    assert first.hash != load("digits", limit=100, seed=2).hash


@pytest.mark.parametrize(
    ("name", "near"), [("emojis", "emoji"), ("emoji:googel", "emoji:google"), ("digit", "digits")]
)
def test_unknown_names(name, near):
    with pytest.raises(UnknownNameError, match=f"data '{name}' is unknown; nearest: {near}.*Or gi"):
        load(name)


@pytest.mark.parametrize("name", ["no/such/folder", "none.csv", "none.npz", "./emoji"])
def test_unknown_paths(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        load(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.zip", "archives are not read; unpack it"),
        ("a.tar.gz", "archives are not read; unpack it"),
        ("a.png", r"is one picture; give a folder, .csv, .jsonl, .parquet or .npz, or \[PIL"),
        ("a.xlsx", ".xlsx is not read; give a folder"),
        ("plain", "a file without suffix is not read"),
    ],
)
def test_files_that_are_not_read(tmp_path, name, message):
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=message):
        load(tmp_path / name)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("emoji", {"on_error": "ignore"}, "on_error='ignore' is unknown; give 'raise' or 'skip'"),
        ("emoji", {"max_pixels": 0}, "max_pixels=0 is below 1"),
        ("emoji", {"limit": 0}, "n=0 is below 1"),
        ("emoji", {"label_column": "x"}, "are for tables and datasets"),
        ("", {}, "source is an empty text"),
        (np.zeros((2, 4, 4, 3)), {}, r"source is numpy.ndarray; give.*list\(batch\)"),
        ({"a": 1}, {}, "source is builtins.dict"),
        (None, {}, "source is builtins.NoneType"),
    ],
)
def test_wrong_arguments(source, options, message):
    with pytest.raises(UsageError, match=message):
        load(source, **options)
