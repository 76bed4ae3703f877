"""Arrays on disk that grow at their end, and small files that are replaced whole."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenry.errors import StoreError

KEPT = 48 << 20
"""Bytes up to which a file that was read stays in memory: reading it again costs more."""

REMEDY = "take it from a backup, or remove the index's folder and build it again"
"""What is left to do where a part of an index cannot be read."""

WINDOW = 4 << 20
"""Bytes of a large file that are mapped together while scattered rows are read."""


class Column:
    """Rows of one type in a file, read through a memory map.

    Rows behind the number that the owner calls valid are what a killed process left: a reader
    never looks at them, and the next writer cuts them off.

    Args:
        path: The file; made when it does not exist and `write` is true.
        dtype: Type of a number.
        width: Numbers of a row.
        rows: Rows that are valid.
        write: Whether rows will be appended.

    Raises:
        StoreError: If the file holds fewer rows than are valid.
    """

    def __init__(self, path: Path, dtype: str, width: int, rows: int, *, write: bool) -> None:
        self.path, self.dtype, self.width, self.rows = path, np.dtype(dtype), width, rows
        self._file: FileIO | None = None
        self._map: mmap.mmap | None = None
        self._mapped = 0
        with explained(path):
            if write:
                path.touch()
            held = path.stat().st_size
            if held < self.bytes:
                raise StoreError(
                    f"{path}: holds {held} bytes, {self.bytes} were written; the file is damaged. "
                    "Build the index again, or take it from a backup."
                )
            if write and held > self.bytes:
                os.truncate(path, self.bytes)
        if not write:
            self.view()  # a reader keeps its files when another process removes their names

    @property
    def bytes(self) -> int:
        """Length of the valid part."""
        return self.rows * self._row

    @property
    def _row(self) -> int:
        return self.width * self.dtype.itemsize

    def append(self, values: NDArray[Any]) -> None:
        """Write rows at the end; `sync` makes them last."""
        flat: Any = np.ascontiguousarray(values, self.dtype).reshape(-1).view(np.uint8)
        content = memoryview(flat)
        with explained(self.path):
            if self._file is None:
                self._file = FileIO(self.path, "ab")
            while content:  # a disk that is nearly full takes a part
                content = content[self._file.write(content) :]
        self.rows += len(values)

    def cut(self, rows: int) -> None:
        """Take rows off the end again."""
        self.rows = rows
        with explained(self.path):
            os.truncate(self.path, self.bytes)

    def sync(self) -> None:
        """Wait until all rows are on the disk."""
        if self._file is not None:
            with explained(self.path):
                os.fsync(self._file.fileno())

    def view(self) -> NDArray[Any]:
        """All valid rows, (rows, width), mapped and not read; treat them as read-only."""
        if not self.rows or not self.width:
            return np.empty((self.rows, self.width), self.dtype)
        if self._map is None or self._mapped != self.bytes:
            # A private copy: what a caller writes by mistake never reaches the file.
            with explained(self.path), self.path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), self.bytes, access=mmap.ACCESS_COPY)
            self._mapped = self.bytes
        return np.frombuffer(self._map, self.dtype).reshape(self.rows, self.width)

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """A copy of some rows, in the order given, without the rest of a large file in memory.

        For each row that is touched the system maps sixteen pages around it, so that rows
        scattered over a file would bring in all of it: they are read window by window.
        """
        held = self.view()
        if not self.large:
            return held[rows]
        order = np.argsort(rows, kind="stable")
        ascending, step = rows[order], max(1, WINDOW // self._row)
        found = np.empty((len(rows), self.width), self.dtype)
        edges = np.searchsorted(ascending, np.arange(0, self.rows + step, step))
        for window in np.flatnonzero(np.diff(edges)).tolist():
            part = slice(edges[window], edges[window + 1])
            found[order[part]] = held[ascending[part]]
            self._release(window * step, (window + 1) * step)
        return found

    @property
    def large(self) -> bool:
        """Whether what was read of it is given back."""
        return self.bytes > KEPT

    def release(self) -> None:
        """Let the system take back the memory of a large file; it reads again where needed."""
        if self.large:
            self._release(0, self.rows)

    def _release(self, start: int, stop: int) -> None:
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            first = start * self._row // mmap.PAGESIZE * mmap.PAGESIZE
            length = min(stop * self._row, self._mapped) - first
            self._map.madvise(mmap.MADV_DONTNEED, first, length)

    def close(self) -> None:
        """Let go of the file. Views that are still in use stay valid."""
        self._map = None
        if self._file is not None:
            self._file.close()


def replace(path: Path, content: dict[str, Any]) -> None:
    """Write a small file so that after a kill it is the old one or the new one.

    Raises:
        StoreError: If it cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    with explained(path):
        with partial.open("wb") as stream:
            stream.write(json.dumps(content, indent=1).encode())
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        sync_folder(path.parent)


def write_tensors(path: Path, tensors: dict[str, Any]) -> None:
    """Write a small safetensors file, and wait for the disk.

    Raises:
        StoreError: If it cannot be written.
    """
    from safetensors.torch import save

    content = save(tensors)  # its own `save_file` raises no OSError where a disk is full
    with explained(path), path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def read(path: Path) -> dict[str, Any]:
    """What `replace` wrote.

    Raises:
        StoreError: If the file is not there, or is not such a file.
    """
    with explained(path):
        content = path.read_bytes()
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _damaged(path)
    return found


def _damaged(path: Path) -> StoreError:
    return StoreError(f"{path}: is damaged; {REMEDY}.")


def follow(path: Path, use: Callable[[dict[str, Any]], None]) -> None:
    """Use what a small file names; again where another process replaced it meanwhile.

    What the file named before may be removed while it is being opened.

    Args:
        path: Of the file.
        use: Opens what the content names.

    Raises:
        StoreError: If that fails though the file is still the same, or the file cannot be read or
            lacks what `use` looks for.
    """
    content = read(path)
    while True:
        try:
            return use(content)
        except StoreError:
            now = read(path)
            if now == content:
                raise
            content = now
        except (KeyError, TypeError) as error:
            raise _damaged(path) from error


def sync_folder(folder: Path) -> None:
    """Wait until the names of the files in a folder are on the disk."""
    if os.name == "nt":  # Windows does not open folders
        return
    with explained(folder):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder and below; others may add and remove some meanwhile."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(root, name).stat().st_size
    return total


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Errors of the file system in words."""
    try:
        yield
    except StoreError:
        raise
    except FileNotFoundError as error:
        raise StoreError(f"{path}: {error.strerror}, the index is damaged; {REMEDY}.") from error
    except OSError as error:
        raise StoreError(
            f"{path}: {error.strerror or error}; the index stays as it was last committed. Make "
            "room, or see that the folder is there and can be read and written."
        ) from error
