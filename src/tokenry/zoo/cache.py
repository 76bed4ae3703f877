"""Convert a package's model once, and hand out a folder whose every byte is checked."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from importlib import import_module
from pathlib import Path

from tokenry.errors import DataError, StoreError
from tokenry.zoo.registry import PREFIX, ZooModel, find

_MANIFEST = "manifest.json"
_LAYOUT = 1  # raise it whenever a converter writes something else
_CHUNK = 1 << 20

_log = logging.getLogger(__name__)


def root() -> Path:
    """The cache folder: ``$TOKENRY_CACHE``, else ``$XDG_CACHE_HOME/tokenry``, else ``~/.cache``."""
    own = os.environ.get("TOKENRY_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tokenry"


def folder(name: str) -> Path:
    """A folder that ``AutoModel.from_pretrained`` loads: converted once, checked every time.

    It holds ``config.json``, ``model.safetensors``, the preprocessor's or tokenizer's files, and
    a manifest with the SHA-256 of each. The package's file is checked against the known hash
    before it is converted; the converted files against the manifest on each call, and converted
    again when a byte differs. The folder appears whole or not at all, and processes that want it
    at the same time wait for the one that converts. A converted model needs its package no more.

    Args:
        name: of a zoo model, with or without ``zoo:``.

    Returns:
        The folder. Treat it as read-only.

    Raises:
        UnknownNameError: no such model.
        MissingExtraError: its package is not installed; the message has the line that installs it.
        DataError: the package's file is not the known one.
        StoreError: the cache folder cannot be read or written.
    """
    return prepared(find(name))


def called(place: str | Path) -> str:
    """What a person calls a folder: `zoo:NAME` where `folder` handed it out, else its last part.

    >>> called("my/models/german")
    'german'
    """
    path = Path(place)
    ours = path.parent == root() / "zoo"
    return PREFIX + path.name.rsplit("-", 2)[0] if ours else path.name


def prepared(entry: ZooModel) -> Path:
    """The folder of a model or tokenizer of the zoo, as `folder` hands it out."""
    from safetensors import SafetensorError

    target = root() / "zoo" / f"{entry.name}-{entry.sha256[:12]}-{_LAYOUT}"
    try:
        if not _intact(target):
            _convert(entry, _checked_source(entry), target)
    except (OSError, SafetensorError) as error:
        raise StoreError(
            f"{PREFIX}{entry.name}: the cache folder {target} cannot be used ({error}); make room "
            "or set TOKENRY_CACHE to a folder that can be written."
        ) from error
    return target


def _checked_source(entry: ZooModel) -> Path:
    path = entry.locate()
    found = _sha256(path)
    if found != entry.sha256:
        raise DataError(
            f"{PREFIX}{entry.name}: {path} has SHA-256 {found}, not the known {entry.sha256}; it "
            "is damaged or of another version. "
            f"Run: {entry.reinstall}"
        )
    return path


def _convert(entry: ZooModel, source: Path, target: Path) -> None:
    from filelock import FileLock

    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    with FileLock(target.with_name(f"{target.name}.lock")):
        if _intact(target):
            return
        if target.exists():
            _log.warning("%s%s: %s is damaged; converting again", PREFIX, entry.name, target)
            shutil.rmtree(target)
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir()
            import_module(entry.converter).convert(source, partial)
            (partial / _MANIFEST).write_text(json.dumps(_hashes(partial), indent=1), "utf-8")
            partial.replace(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _intact(target: Path) -> bool:
    try:
        manifest = json.loads((target / _MANIFEST).read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    return bool(manifest == _hashes(target))


def _hashes(target: Path) -> dict[str, str]:
    files = (path for path in sorted(target.rglob("*")) if path.is_file())
    hashes = {path.relative_to(target).as_posix(): _sha256(path) for path in files}
    hashes.pop(_MANIFEST, None)
    return hashes


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
