"""The folder of an index: what it is, which encoder it wants, and who writes to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from filelock import FileLock, Timeout
from jaxtyping import Float
from torch import Tensor

from tokenry.errors import StoreError, UsageError
from tokenry.index import columns
from tokenry.index.catalogue import FILE as CATALOGUE
from tokenry.index.segments import check_format
from tokenry.index.store import Shape
from tokenry.index.stores import check_store
from tokenry.plugs.token_encoder import Mode, TokenEncoder, TokenTexts

ENCODER = "zoo:minilm-l6"
FORMAT = 1
FILE = "index.json"
LOCK = "write.lock"
PROJECTION = "projection.safetensors"
TOKENS = "tokens"

Skip = Literal["punctuation", "nothing"]


@runtime_checkable
class Encoder(Protocol):
    """What makes vectors of texts; `TokenEncoder` is one."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def dimension(self) -> int:
        """Length of a token vector."""

    @property
    def pooled(self) -> int:
        """Length of a pooled vector."""

    def fingerprint(self) -> dict[str, Any]:
        """All that the vectors depend on, as plain data."""

    def encode(self, texts: Sequence[str], mode: Mode = "document") -> TokenTexts:
        """Token vectors, spans and pooled vectors of texts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What an index was made with; `index.json` holds it.

    Attributes:
        encoder: Name of the encoder.
        store: Name of the store, with its settings.
        skip: Which document tokens are left out.
        dimension: Dimensions that token vectors are brought to; None for those of the encoder.
        shape: Lengths of the vectors; None before the first document.
        fingerprint: Of the encoder; None before the first document.
    """

    encoder: str = ENCODER
    store: str = "segments"
    skip: str = "punctuation"
    dimension: int | None = None
    shape: Shape | None = None
    fingerprint: dict[str, Any] | None = None

    @classmethod
    def of(cls, **given: Any) -> Settings:
        """Settings of a new index.

        Raises:
            UsageError: If one is out of range.
        """
        found = cls(**given)
        check_store(found.store)
        if found.skip not in get_args(Skip):
            allowed = " or ".join(get_args(Skip))
            raise UsageError(f"Index: skip={found.skip!r} is unknown; give {allowed}.")
        if found.dimension is not None and found.dimension < 1:
            raise UsageError(f"Index: dimension={found.dimension} is below 1.")
        return found

    @classmethod
    def planned(cls, folder: Path, given: dict[str, Any]) -> Settings:
        """Those of the index that is there, or of one to be made; None is left to the defaults.

        An index without documents has nothing to lose and takes what is given.

        Raises:
            StoreError: If the index cannot be read.
            UsageError: If a setting of a new one is out of range, or it has no place there.
        """
        wanted = {name: value for name, value in given.items() if value is not None}
        if not (folder / FILE).is_file():
            check_free(folder)
            return cls.of(**wanted)
        held = cls.read(folder)
        return held if held.shape else cls.of(**{**asdict(held), **wanted})

    def agree(self, folder: Path, given: dict[str, Any]) -> None:
        """Refuse settings that are not those of the index.

        Raises:
            UsageError: If one differs.
        """
        for name, value in given.items():
            if getattr(self, name) != value:
                raise UsageError(
                    f"{folder}: was made with {name}={getattr(self, name)!r}, not {value!r}; leave "
                    f"{name} out, or build another index."
                )

    @classmethod
    def read(cls, folder: Path) -> Settings:
        """The settings of an index that is there.

        Raises:
            StoreError: If there is none, it is damaged, or a newer version wrote it.
        """
        if not (folder / FILE).is_file():
            raise StoreError(
                f"{folder}: holds no index ({FILE} is not there); give the folder that was the "
                "path of a tokenry.Index, or the --out of `tokenry index`."
            )
        content = columns.read(folder / FILE)
        check_format(folder / FILE, content, FORMAT)
        try:
            shape = content.pop("shape")
            del content["format"]
            return cls(**content, shape=None if shape is None else Shape(**shape))
        except (TypeError, KeyError) as error:
            raise StoreError(f"{folder / FILE}: is damaged ({error}); {columns.REMEDY}.") from error

    def write(self, folder: Path) -> None:
        """Replace the settings of an index."""
        columns.replace(folder / FILE, {"format": FORMAT, **asdict(self)})

    def settled(
        self, folder: Path, encoder: Encoder, texts: Sequence[str]
    ) -> tuple[Settings, Encoder]:
        """The settings with an encoder's facts, written; the encoder with its projection.

        Args:
            folder: Of the index.
            encoder: As it was loaded.
            texts: From which fewer dimensions are learned, where the settings ask for them.

        Raises:
            UsageError: If fewer dimensions cannot be learned from them.
        """
        if self.dimension is not None:
            if not isinstance(encoder, TokenEncoder):
                raise UsageError(
                    f"{folder}: dimension={self.dimension} needs a TokenEncoder, whose vectors can "
                    f"be projected; got {type(encoder).__name__}. Leave dimension out."
                )
            try:
                encoder = encoder.narrowed(texts, self.dimension)
            except UsageError as error:
                raise UsageError(
                    f"{folder}: {error} The index holds nothing yet: give it more documents or "
                    "another dimension, or remove the folder to leave dimension out."
                ) from error
            _keep_projection(folder, encoder.projection)
        shape = Shape(encoder.dimension, encoder.pooled)
        found = replace(self, shape=shape, fingerprint=encoder.fingerprint())
        found.write(folder)
        return found, encoder

    def load_encoder(self, folder: Path) -> TokenEncoder:
        """The encoder by its name, with the projection that lies in the folder."""
        skip: Any = self.skip
        projection = _kept_projection(folder) if self.shape and self.dimension else None
        return TokenEncoder.load(self.encoder, skip=skip, projection=projection)

    def check(self, folder: Path, encoder: Encoder) -> None:
        """Refuse an encoder that made other vectors than those in the index.

        Raises:
            UsageError: If its fingerprint is another.
        """
        if self.fingerprint is None:
            return
        given = encoder.fingerprint()
        differ = [name for name, value in self.fingerprint.items() if given.get(name) != value]
        if differ or set(given) != set(self.fingerprint):
            raise UsageError(
                f"{folder}: was built with another encoder than {encoder.name!r}: "
                f"{', '.join(differ) or 'its facts'} differ. Search with {self.encoder!r} as it "
                "was, or build the index again."
            )


def check_free(folder: Path) -> None:
    """Refuse a folder without an index where its vectors would lie among other files.

    What no manifest of theirs names is removed when they are opened again.

    Raises:
        UsageError: If there are some.
    """
    if (folder / TOKENS).exists() and not (folder / CATALOGUE).is_file():
        raise UsageError(
            f"{folder}: holds no index, and {TOKENS!r} is something else there; give an index a "
            "folder of its own."
        )


def lock(folder: Path) -> FileLock:
    """The right to write to an index, for this process alone; a kill gives it back.

    Raises:
        StoreError: If another process has it, or the folder cannot be written.
    """
    found = FileLock(folder / LOCK, timeout=0, thread_local=False)
    with columns.explained(folder):
        try:
            found.acquire()
        except Timeout:
            raise StoreError(
                f"{folder}: another process is writing to this index; wait for it, or open it for "
                "reading with tokenry.Index.open."
            ) from None
    return found


def _keep_projection(folder: Path, projection: Float[Tensor, "d e"] | None) -> None:
    if projection is not None:
        columns.write_tensors(folder / PROJECTION, {"projection": projection.contiguous()})
        columns.sync_folder(folder)


def _kept_projection(folder: Path) -> Tensor:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with columns.explained(folder):
        try:
            return load_file(folder / PROJECTION)["projection"]
        except (SafetensorError, KeyError) as error:
            raise StoreError(f"{folder / PROJECTION}: is damaged ({error}).") from error
