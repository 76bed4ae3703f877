"""Vectors of texts, kept under a hash of the text: each distinct text is encoded once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from tokenry.errors import StoreError, UsageError
from tokenry.method import Embed
from tokenry.progress import track

ENCODER = "zoo:minilm-l6"
"""What encodes texts where no encoder is named and this one is installed."""
SHARD = 4096
"""Texts that are encoded and written at a time."""
_PROBE = ("A probe: the quick brown fox.", "数 17, ünïcode")
_CLOSE = 1e-3
FILE = "encoder.json"


class KeptVectors:
    """An encoder that never reads a text twice.

    A folder may hold vectors of earlier runs. They are used only while the encoder still gives two
    fixed texts the vectors that it gave them then: a name alone does not say what a model is.

    Args:
        name: What the encoder is called; with the pooling, if it has several.
        load: Loads it, when the first text has to be encoded.
        folder: Where vectors are kept.

    Attributes:
        encoded: How many texts were really encoded.

    Raises:
        StoreError: If the folder holds vectors that cannot be read.
    """

    def __init__(self, name: str, load: Callable[[], Embed], folder: Path) -> None:
        self.name, self._load = name, load
        self.folder = folder / hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
        self.encoded = 0
        self._encoder: Embed | None = None
        self._rows: dict[bytes, tuple[int, int]] = {}
        self._shards: list[NDArray[Any]] = []

    @property
    def separator(self) -> str | None:
        """What the encoder's tokenizer puts between two texts, if it says."""
        found = getattr(self._opened(), "separator", None)
        return found if isinstance(found, str) else None

    def __call__(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """The vectors of texts, of length one."""
        encoder = self._opened()
        hashes = [_hash(text) for text in texts]
        missing = {
            key: text for key, text in zip(hashes, texts, strict=True) if key not in self._rows
        }
        # Long texts last: the texts of a batch are then about as long as each other.
        waiting = sorted(missing.items(), key=lambda pair: (len(pair[1]), pair[1]))
        starts = range(0, len(waiting), SHARD)
        for start in track(starts, "encoding", unit="shard"):
            self._add(encoder, waiting[start : start + SHARD])
        found = np.empty((len(hashes), self._width), dtype=np.float32)
        for place, key in enumerate(hashes):
            shard, row = self._rows[key]
            found[place] = self._shards[shard][row]
        return found

    def _add(self, encoder: Embed, some: list[tuple[bytes, str]]) -> None:
        made = _checked(encoder([text for _, text in some]), len(some), self.name)
        self.encoded += len(some)
        number = len(self._shards)
        keys = np.frombuffer(b"".join(key for key, _ in some), np.uint8).reshape(-1, 16)
        stem = self.folder / f"{number:06d}"
        for content, kind in ((made, "vectors"), (keys, "keys")):  # keys last: they count
            part = stem.with_suffix(f".{kind}.part")
            with part.open("wb") as file:
                np.save(file, content, allow_pickle=False)
            part.replace(stem.with_suffix(f".{kind}.npy"))
        self._take(stem, [key for key, _ in some])

    def _take(self, stem: Path, keys: list[bytes]) -> None:
        shard = np.load(stem.with_suffix(".vectors.npy"), mmap_mode="r", allow_pickle=False)
        self._rows |= {key: (len(self._shards), row) for row, key in enumerate(keys)}
        self._shards.append(shard)

    def _opened(self) -> Embed:
        """The encoder, loaded, and what the folder holds of it."""
        if self._encoder is not None:
            return self._encoder
        encoder = self._load()
        probe = _checked(encoder(list(_PROBE)), len(_PROBE), self.name)
        self._width = probe.shape[1]
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._reuse(probe)
        except (ValueError, KeyError, OSError) as error:
            raise StoreError(
                f"{self.folder}: its vectors cannot be read ({error}); remove the folder, and they "
                "are made again."
            ) from error
        self._encoder = encoder
        return encoder

    def _reuse(self, probe: NDArray[np.float32]) -> None:
        path = self.folder / FILE
        if path.is_file():
            noted = np.asarray(json.loads(path.read_text(encoding="utf-8"))["probe"], np.float32)
            if noted.shape == probe.shape and np.abs(noted - probe).max() < _CLOSE:
                for file in sorted(self.folder.glob("*.keys.npy")):
                    keys = np.load(file, allow_pickle=False)
                    stem = file.with_name(file.name.removesuffix(".keys.npy"))
                    self._take(stem, [row.tobytes() for row in keys])
                return
        for file in self.folder.iterdir():
            file.unlink()
        noting = {"encoder": self.name, "probe": probe.tolist()}
        path.write_text(json.dumps(noting), encoding="utf-8")


def opened(given: Any, device: str | None = None) -> tuple[str, Callable[[], Embed]]:
    """The name of an encoder, and what loads it.

    Args:
        given: `zoo:NAME`, a folder, a name on the Hub, an encoder of sentence-transformers, or a
            function from texts to vectors.
        device: Where a named encoder runs; where it is when not given.

    Raises:
        UsageError: If it is none of these.
    """
    if isinstance(given, str | Path):
        return str(given), lambda: _Sentences(_loaded(str(given), device))
    if hasattr(given, "encode"):
        return f"{type(given).__module__}.{type(given).__qualname__}", lambda: _Sentences(given)
    if hasattr(given, "embed"):
        return f"{type(given).__module__}.{type(given).__qualname__}", lambda: given.embed
    if callable(given):
        name = getattr(given, "__qualname__", type(given).__qualname__)
        return f"{getattr(given, '__module__', '')}.{name}", lambda: given
    raise UsageError(
        f"link: encoder is a {type(given).__qualname__}; give 'zoo:NAME', a folder, a name on the "
        "Hub, an encoder of sentence-transformers, or a function from texts to vectors."
    )


def identity(given: Any) -> Any:
    """What says, beside its name, whether an encoder is still the same, as plain data.

    Of a folder the sizes and times of its files; of an encoder in memory what it gives a text.
    """
    if given is None or isinstance(given, str | Path):
        files = Path(given).rglob("*") if given and Path(given).is_dir() else ()
        facts = [(one.name, one.stat()) for one in files if one.is_file()]
        return sorted((name, fact.st_size, fact.st_mtime_ns) for name, fact in facts)
    _, load = opened(given)
    return np.round(_checked(load()(list(_PROBE)), len(_PROBE), "encoder"), 3).tolist()


def _loaded(name: str, device: str | None) -> Any:
    from tokenry.plugs.text_encoder import saved_encoder

    return saved_encoder(name, device)


class _Sentences:
    """An encoder of sentence-transformers as a function."""

    def __init__(self, model: Any) -> None:
        self._model = model
        tokenizer = getattr(model, "tokenizer", None)
        self.separator = getattr(tokenizer, "sep_token", None)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        found = self._model.encode(
            [*texts], batch_size=64, show_progress_bar=False, normalize_embeddings=True
        )
        return np.asarray(found, dtype=np.float32)


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _checked(vectors: Any, count: int, name: str) -> NDArray[np.float32]:
    found = np.asarray(vectors, dtype=np.float32)
    if found.ndim != 2 or len(found) != count or not np.isfinite(found).all():
        raise UsageError(
            f"link: the encoder {name} gave {found.shape} for {count} texts; it must give one "
            "vector of finite numbers for each."
        )
    return found
