"""Tiny stand-ins for the packages and folders that the zoo reads."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tokenry.zoo import ZooModel, registry

WEIGHTS = b"the weights of a tiny model"
FILES = ("config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, in force."""
    path = tmp_path / "cache"
    monkeypatch.setenv("TOKENRY_CACHE", str(path))
    return path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path that holds the installed package ``tiny-model``."""
    site = tmp_path / "site"
    package = site / "tiny_model"
    info = site / "tiny_model-1.0.dist-info"
    for folder in (package, info):
        folder.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
    (package / "__init__.py").write_text("raise RuntimeError('never import the package')")
    (package / "model.safetensors").write_bytes(WEIGHTS)
    (package / "vocab.txt").write_text("a\nb")
    for name in FILES:
        (package / name).write_text("{}")
    monkeypatch.syspath_prepend(str(site))
    return site


def entry(**changes: object) -> ZooModel:
    """The registry's entry of the package ``tiny-model``."""
    fields: dict[str, object] = {
        "name": "tiny",
        "title": "a tiny model",
        "package": "tiny-model",
        "version": "1.0",
        "license": "MIT",
        "source": "https://example.org",
        "size_mb": 1,
        "kind": "text-encoder",
        "file": "tiny_model/model.safetensors",
        "sha256": hashlib.sha256(WEIGHTS).hexdigest(),
        "converter": "tokenry.zoo.minilm",
    }
    return ZooModel(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch):
    """Make an entry, with changes, the zoo's only model."""

    def only(**changes: object) -> ZooModel:
        model = entry(**changes)
        monkeypatch.setattr(registry, "_MODELS", (model,))
        return model

    return only
