"""What one forward pass costs: seconds, floating-point operations, bytes, seconds per layer."""

from __future__ import annotations

import statistics
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

PROFILE_REPEATS = 3
LONG_PASS = 0.5
"""Seconds; of a pass that takes longer, one is enough for a profile."""

_CPU_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


@dataclass(frozen=True, slots=True)
class Layers:
    """Median seconds of one pass.

    Attributes:
        seconds: In each layer.
        other: Outside the layers.
        rows: Rows that entered each layer, its second-last dimension; 0 when it did not run.
    """

    seconds: tuple[float, ...]
    other: float
    rows: tuple[int, ...]


def synchronize(device: torch.device) -> None:
    """Wait until everything that was asked of `device` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def timed(run: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Seconds that `run` takes, and what it returns."""
    synchronize(device)
    start = time.perf_counter()
    result = run()
    synchronize(device)
    return time.perf_counter() - start, result


def operations_and_bytes(run: Callable[[], Any], device: torch.device) -> tuple[int, int]:
    """Floating-point operations of `run`, and the most bytes that it holds at once.

    Operations are those of `torch.utils.flop_counter` (a multiplication and an addition are two)
    and of attention on the CPU, which that one leaves out. Bytes are those of tensors that
    `run` makes; what was there before (weights, input) does not count. On CUDA they are what the
    allocator reports, elsewhere the storages of the tensors that are alive, which is exact and the
    same on every run, but does not see scratch space inside an operator.
    """
    counter = FlopCounterMode(
        display=False, custom_mapping={_CPU_ATTENTION: _cpu_attention_operations}
    )
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        with counter:
            run()
        torch.cuda.synchronize(device)
        return counter.get_total_flops(), torch.cuda.max_memory_allocated(device) - before
    with LiveBytes() as live, counter:
        run()
    return counter.get_total_flops(), live.peak


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that are alive and were made inside the mode.

    Attributes:
        now: Bytes alive.
        peak: Most bytes that were alive at once.

    >>> with LiveBytes() as live:
    ...     _ = torch.ones(256) + 1  # the sum is made while the ones are alive
    >>> live.peak
    2048
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._known: weakref.WeakValueDictionary[int, torch.UntypedStorage] = (
            weakref.WeakValueDictionary()
        )

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operator and count the storages of its results that are new."""
        kwargs = kwargs or {}
        given = {s._cdata for s in _storages((args, kwargs))}
        result = func(*args, **kwargs)
        for storage in _storages(result):
            # A view or an in-place result has the storage of an input.
            if storage._cdata not in given and storage._cdata not in self._known:
                self._add(storage)
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()
        self._known[storage._cdata] = storage
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, size).atexit = False

    def _free(self, size: int) -> None:
        self.now -= size


def layer_seconds(
    run: Callable[[], Any], layers: Sequence[nn.Module], device: torch.device
) -> Layers:
    """Where the time of `run` goes, by hooks on the layers; the median of a few short passes."""
    passes = []
    for _ in range(PROFILE_REPEATS):
        with _clocks(layers, device) as (spent, rows):
            total, _ = timed(run, device)
        passes.append((total, tuple(spent)))
        if total > LONG_PASS:
            break
    seconds = tuple(map(statistics.median, zip(*(spent for _, spent in passes), strict=True)))
    other = statistics.median(total - sum(spent) for total, spent in passes)
    return Layers(seconds, max(other, 0.0), tuple(rows))


@contextmanager
def _clocks(
    layers: Sequence[nn.Module], device: torch.device
) -> Iterator[tuple[list[float], list[int]]]:
    """Seconds in each layer, added up when it runs twice, and the rows that entered it."""
    spent, rows, started = [0.0] * len(layers), [0] * len(layers), [0.0] * len(layers)

    def enter(index: int, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], Tensor):
            rows[index] = args[0].shape[-2]
        synchronize(device)
        started[index] = time.perf_counter()

    def leave(index: int) -> None:
        synchronize(device)
        spent[index] += time.perf_counter() - started[index]

    handles = []
    for i, layer in enumerate(layers):
        # Bound as defaults: a closure would see the last index only.
        handles += [
            layer.register_forward_pre_hook(lambda module, args, i=i: enter(i, args)),
            layer.register_forward_hook(lambda module, args, output, i=i: leave(i)),
        ]
    try:
        yield spent, rows
    finally:
        for handle in handles:
            handle.remove()


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _cpu_attention_operations(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]
