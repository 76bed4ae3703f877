"""Converted once, checked always: damage, concurrency, a killed conversion, a full disk."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tokenry.errors import DataError, MissingExtraError, StoreError
from tokenry.zoo import cache as cache_module
from tokenry.zoo import folder, minilm

CHILD = """
import sys
sys.path[:0] = {paths!r}
from tokenry.zoo import ZooModel, folder, registry
registry._MODELS = (ZooModel(**{fields!r}),)
print(folder("tiny"))
"""


def child(tmp_path: Path, site: Path, model, converter: str) -> subprocess.Popen[str]:
    """Another process that wants the model, with a converter given as source code."""
    (tmp_path / "child_converter.py").write_text(converter)
    fields = vars(model) | {"converter": "child_converter"}
    code = CHILD.format(paths=[str(tmp_path), str(site)], fields=fields)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_converts_once_and_needs_the_package_no_more(cache, site, register, monkeypatch) -> None:
    register()
    first = folder("zoo:tiny")
    assert first.is_relative_to(cache)
    assert (first / "model.safetensors").read_bytes() == b"the weights of a tiny model"
    monkeypatch.setattr(minilm, "convert", None)
    (site / "tiny_model" / "model.safetensors").unlink()
    assert folder("tiny") == first


def test_unknown_source_is_refused_before_it_is_read(cache, site, register, monkeypatch) -> None:
    register()
    monkeypatch.setattr(minilm, "convert", None)
    (site / "tiny_model" / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(DataError, match=r"not the known .*--no-deps tiny-model==1.0 --force"):
        folder("tiny")
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "add", "manifest"])
def test_damaged_cache_is_converted_again(cache, site, register, caplog, damage) -> None:
    register()
    path = folder("tiny")
    weights = path / "model.safetensors"
    whole = weights.read_bytes()
    if damage == "flip":
        weights.write_bytes(whole[:-1] + b"?")
    elif damage == "cut":
        weights.write_bytes(whole[:5])
    elif damage == "remove":
        weights.unlink()
    elif damage == "add":
        (path / "adapter_config.json").write_text("{}")
    else:
        (path / "manifest.json").write_text("{")
    assert folder("tiny") == path
    assert weights.read_bytes() == whole
    assert not (path / "adapter_config.json").exists()
    assert "damaged; converting again" in caplog.text


def test_damaged_cache_without_the_package_is_an_error(cache, site, register) -> None:
    register()
    (folder("tiny") / "model.safetensors").write_bytes(b"?")
    register(package="no-such-package")
    with pytest.raises(MissingExtraError):
        folder("tiny")


def test_two_processes_convert_once(tmp_path, cache, site, register) -> None:
    converter = (
        "import time\nfrom pathlib import Path\nfrom tokenry.zoo import minilm\n"
        "def convert(source, target):\n"
        f"    with open({str(tmp_path / 'log')!r}, 'a') as log: log.write('once ')\n"
        "    time.sleep(0.5)\n    minilm.convert(source, target)\n"
    )
    model = register()
    processes = [child(tmp_path, site, model, converter) for _ in range(2)]
    printed = {process.communicate(timeout=30)[0].strip() for process in processes}
    assert printed == {str(folder("tiny"))}
    assert (tmp_path / "log").read_text() == "once "


def test_killed_conversion_leaves_nothing_in_the_way(tmp_path, cache, site, register) -> None:
    converter = (
        "import os, signal\n"
        "def convert(source, target):\n"
        "    (target / 'model.safetensors').write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    model = register()
    killed = child(tmp_path, site, model, converter)
    killed.communicate(timeout=30)
    assert killed.returncode == -signal.SIGKILL
    path = folder("tiny")
    assert (path / "model.safetensors").read_bytes() == b"the weights of a tiny model"
    assert [p for p in path.parent.iterdir() if p.is_dir()] == [path]


def test_full_disk_is_explained_and_leaves_nothing(cache, site, register, monkeypatch) -> None:
    def full(source: Path, target: Path) -> None:
        (target / "model.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    register()
    monkeypatch.setattr(minilm, "convert", full)
    with pytest.raises(StoreError, match=r"zoo:tiny.*No space left.*set TOKENRY_CACHE"):
        folder("tiny")
    assert not [path for path in (cache / "zoo").iterdir() if path.is_dir()]


def test_cache_that_is_a_file_is_explained(cache, site, register) -> None:
    register()
    cache.write_text("not a folder")
    with pytest.raises(StoreError, match="set TOKENRY_CACHE"):
        folder("tiny")


def test_root_follows_the_environment(monkeypatch) -> None:
    monkeypatch.setenv("TOKENRY_CACHE", "~/mine")
    assert cache_module.root() == Path.home() / "mine"
    monkeypatch.delenv("TOKENRY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_module.root() == Path("/xdg/tokenry")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_module.root() == Path.home() / ".cache" / "tokenry"
