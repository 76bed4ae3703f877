"""Stages that are measured and kept: a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from tokenry.errors import StoreError, TokenryError
from tokenry.tables.engine import ROWS, MemoryLimitError, arrow
from tokenry.tables.memory import peak, reset_peak

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "stages.json"
SPILL = "spill"
"""The folder that engines spill to."""
Facts = dict[str, Any]
Make = Callable[[Facts, int], Iterable["pa.Table"]]
"""Brings the parts of a stage from the given one on, and notes plain data beside them."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage cost.

    Attributes:
        name: What it is called.
        seconds: How long it took; of a stage that was kept, when it was made.
        peak_bytes: The most that the whole process held meanwhile.
        rows: Rows that came out.
        kept: Whether an earlier run had finished it.
    """

    name: str
    seconds: float
    peak_bytes: int
    rows: int
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """The rows of a finished stage, on disk.

    Attributes:
        files: Its parts, in order.
        schema: Of its rows.
        facts: What was noted beside them.
        rows: How many there are.
    """

    files: tuple[Path, ...]
    schema: pa.Schema
    facts: Facts
    rows: int

    def read(self) -> pa.Table:
        """All rows."""
        from pyarrow import parquet

        tables = [parquet.read_table(one, schema=self.schema) for one in self.files]
        return arrow().concat_tables([self.schema.empty_table(), *tables])

    def batches(self, rows: int = ROWS) -> Iterator[pa.RecordBatch]:
        """The rows in batches of at most so many, read one after the other."""
        from pyarrow import parquet

        for one in self.files:
            with parquet.ParquetFile(one) as file:
                yield from file.iter_batches(rows)


class Stages:
    """The stages of a run, in a folder.

    Args:
        folder: Where finished stages stay; None for a temporary folder, removed at the end.

    Attributes:
        done: What each stage cost so far.
        folder: Where they lie.
        digest: Of the inputs and of all settings so far.

    Raises:
        StoreError: If the folder cannot be written, or another process writes to it.
    """

    def __init__(self, folder: Path | None) -> None:
        self.done: list[Stage] = []
        self.lasting = folder is not None
        try:
            if folder is None:
                self.folder = Path(tempfile.mkdtemp(prefix="tokenry-"))
            else:
                self.folder = folder.expanduser()
                self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.folder / "write.lock", timeout=0)
            self._lock.acquire()
            shutil.rmtree(self.folder / SPILL, ignore_errors=True)  # of a run that was killed
        except Timeout:
            raise StoreError(
                f"{folder}: another process links into this folder; wait for it, or give another."
            ) from None
        except OSError as error:
            raise StoreError(f"{folder}: cannot be written ({error}).") from error
        self.digest = ""
        self._inner = [0.0, 0.0]  # seconds and memory of stages within the one that runs
        self._manifest = self._read()

    def __enter__(self) -> Stages:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()
        if not self.lasting:
            shutil.rmtree(self.folder, ignore_errors=True)

    def mix(self, content: Any) -> None:
        """Let all later stages depend on plain data."""
        text = json.dumps(content, sort_keys=True, default=str)
        self.digest = hashlib.blake2b(f"{self.digest}{text}".encode(), digest_size=16).hexdigest()

    @contextmanager
    def measured(self, name: str) -> Iterator[list[int]]:
        """Measure what is done inside; the list takes the number of rows.

        Of a stage within another one the seconds count for itself alone.
        """
        counted = [0]
        outer, self._inner = self._inner, [0.0, 0.0]
        outer[1] = max(outer[1], peak())
        reset_peak()
        start = time.perf_counter()
        try:
            yield counted
            seconds, most = time.perf_counter() - start, max(self._inner[1], peak())
            self.done.append(Stage(name, seconds - self._inner[0], int(most), counted[0]))
            outer[:] = [outer[0] + seconds, max(outer[1], most)]
        finally:
            self._inner = outer

    def keep(
        self, name: str, settings: Any, schema: pa.Schema, make: Make, *, goes_on: bool = False
    ) -> Kept:
        """The rows of a stage, made now or by an earlier run with the same inputs and settings.

        Args:
            name: Of the stage, and of its folder.
            settings: Plain data that it depends on beside all that came before.
            schema: Of its rows.
            make: Brings its parts.
            goes_on: Whether a stage that was stopped goes on with the part that it lacks; its parts
                must then be the same each time.

        Raises:
            MemoryLimitError: If memory does not suffice; what was finished stays.
            StoreError: If the folder cannot be written.
        """
        self.mix([name, settings])
        noted = self._manifest.get(name, {})
        same = noted.get("digest") == self.digest
        if same and noted.get("finished") and _rows(self._parts(name)) == noted["rows"]:
            cost = (noted["seconds"], noted["peak_bytes"], noted["rows"])
            self.done.append(Stage(name, *cost, kept=True))
        else:
            with self._explained(name):
                noted = self._made(name, schema, make, noted if same and goes_on else {})
        # Rows may come in another order when they are made again: what follows depends on it.
        self.mix(noted["made"])
        return Kept(self._parts(name), schema, noted["facts"], noted["rows"])

    def _made(self, name: str, schema: pa.Schema, make: Make, noted: Facts) -> Facts:
        """Make the parts that are missing, and note what they are and what they cost."""
        if not noted:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / name).mkdir(exist_ok=True)
        facts: Facts = dict(noted.get("facts", {}))
        found = {"digest": self.digest, "made": noted.get("made", uuid.uuid4().hex), "facts": facts}
        self._note(name, found)
        with self.measured(name) as counted:
            done = len(self._parts(name))
            for number, part in enumerate(make(facts, done), done):
                self._note(name, found)  # what was found out by now holds for the parts to come
                self._write(name, number, part.cast(schema))
            counted[0] = _rows(self._parts(name))
        arrow().default_memory_pool().release_unused()
        stage = self.done[-1]
        found |= {"finished": True, "rows": stage.rows, "seconds": stage.seconds}
        found["peak_bytes"] = stage.peak_bytes
        self._note(name, found)
        return found

    def _parts(self, name: str) -> tuple[Path, ...]:
        return tuple(sorted((self.folder / name).glob("*.parquet")))

    def _write(self, name: str, number: int, part: pa.Table) -> None:
        from pyarrow import parquet

        path = self.folder / name / f"{number:06d}.parquet"
        parquet.write_table(part, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def _note(self, name: str, content: dict[str, Any]) -> None:
        self._manifest[name] = content
        if self.lasting:
            part = self.folder / f"{FILE}.part"
            part.write_text(json.dumps(self._manifest, indent=1), encoding="utf-8")
            part.replace(self.folder / FILE)

    def _read(self) -> dict[str, Any]:
        path = self.folder / FILE
        if not path.is_file():
            return {}
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StoreError(f"{path}: is damaged ({error}); remove it to begin again.") from error
        return found

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """Say what to do when the disk is full, or the memory of this process."""
        try:
            yield
        except TokenryError:  # says itself what is wrong; a server that is silent is an OSError too
            raise
        except MemoryError as error:
            stays = f"what is finished stays in {self.folder}"
            raise MemoryLimitError(
                f"link: the memory of this process does not suffice for the stage {name!r} "
                f"({str(error) or 'no more memory'}); give it more, or a block, a lower max_block "
                "or a lower k, so that fewer pairs are looked at; "
                f"{stays if self.lasting else 'a folder would keep what is finished'}."
            ) from error
        except OSError as error:
            raise StoreError(
                f"{self.folder}: cannot be written ({error}); what is finished there stays."
            ) from error


def _rows(files: Iterable[Path]) -> int:
    from pyarrow import parquet

    return sum(parquet.read_metadata(one).num_rows for one in files)


class _Hashing:
    """A file that only hashes what is written to it."""

    closed = False

    def __init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=16)

    def write(self, content: Any) -> int:
        self.hash.update(content)
        return len(content)

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""


def fingerprint(table: pa.Table) -> str:
    """What says whether a table is still the same: its names, types and values."""
    pa = arrow()
    sink = _Hashing()
    bare = table.replace_schema_metadata(None)
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), bare.schema) as stream:
        stream.write_table(bare, max_chunksize=ROWS)
    return sink.hash.hexdigest()
