"""A table with what was found for each of its rows, as columns behind its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenry.tables.files import write_file
from tokenry.tables.frames import Frame

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Widened(ABC):
    """A table and more columns.

    Attributes:
        frame: The table.
    """

    frame: Frame

    def __len__(self) -> int:
        return len(self.frame)

    @abstractmethod
    def _table(self) -> pa.Table:
        """All columns."""

    @property
    def table(self) -> Any:
        """The table with the columns that were added, in its own type."""
        return self.frame.back(self._table())

    def write(self, path: str | Path, *, formulas: bool = False) -> None:
        """Write it to a .csv, .tsv, .jsonl or .parquet file; see `Links.write`."""
        write_file(self._table(), Path(path).expanduser(), formulas=formulas)
