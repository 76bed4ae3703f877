"""A folder or table brought into an index, or an index brought up to date with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tokenry.counted import counted
from tokenry.index.documents import Changes, Document
from tokenry.index.folder import Settings
from tokenry.index.index import Index
from tokenry.index.sources import Source
from tokenry.index.store import Size
from tokenry.index.stores import check_bits
from tokenry.progress import track


@dataclass(frozen=True, slots=True)
class Built:
    """What became of an index.

    Attributes:
        out: Its folder.
        changes: What was added or changed.
        deleted: Documents that the source no longer holds and that were taken out.
        absent: Documents of the index that the source does not hold, and that stayed.
        skipped: Why files or rows were left out.
        others: How many files of other kinds lie in the folder, by the ending of their names.
        size: What the index holds.
    """

    out: Path
    changes: Changes
    deleted: int
    absent: int
    skipped: tuple[str, ...]
    others: Mapping[str, int]
    size: Size

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        found = {
            "deleted": self.deleted,
            "absent": self.absent,
            "skipped": list(self.skipped),
            "others": dict(self.others),
            "out": str(self.out),
        }
        return {**asdict(self.changes), **asdict(self.size), **found}

    def __str__(self) -> str:
        size = self.size
        return (
            f"{self.changes}, {self.deleted} deleted, {len(self.skipped)} left out.\n"
            f"{self.out}: {counted(size.documents, 'document')}, {counted(size.tokens, 'token')}, "
            f"{size.bytes / 1e6:.1f} MB."
        )


def build(
    source: Source,
    out: Path,
    *,
    forget: bool = False,
    compact: bool = False,
    compress: int | None = None,
    **made: Any,
) -> Built:
    """Add what is new or changed in a source to an index.

    Args:
        source: Where the documents are.
        out: The folder of the index.
        forget: Whether what the source no longer holds is taken out; what is there and cannot be
            read stays.
        compact: Whether the space of deleted documents is given back at the end.
        compress: Bits per dimension to compress all token vectors to at the end; None for not.
        **made: For `Index`, where it is new.

    Raises:
        StoreError: If the index cannot be read or written.
        UsageError: If it was made with other settings, or would lie among the texts.
    """
    source.check(out)
    planned = Settings.planned(out, made)
    if compress is not None:  # refused now, and not after hours of encoding
        check_bits(planned.store, compress)
    if planned.shape is None:  # an encoder that cannot be loaded leaves no folder behind
        made["encoder"] = planned.load_encoder(out)
    seen: set[str] = set()
    with (
        Index(out, **made) as index,
        track(total=len(source) or None, unit="text") as bar,
    ):

        def noted() -> Iterator[Document]:
            for document in source:
                seen.add(document.id)
                yield document

        changes = index.add(noted(), done=bar.update)
        gone = [name for name in index.ids() if not (name in seen or source.holds(name))]
        deleted = index.delete(gone) if forget else 0
        if compress is not None:
            index.compress(compress)
        if compact:
            index.compact()
        left = (tuple(source.skipped), source.others)
        return Built(out, changes, deleted, len(gone) - deleted, *left, index.size())
