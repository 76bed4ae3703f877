"""How much memory this process has held at most since it was last asked to forget."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")
_FORGET = Path("/proc/self/clear_refs")


def reset_peak() -> None:
    """Begin to count anew; only Linux can, elsewhere the peak is that of the whole process."""
    with suppress(OSError):
        _FORGET.write_text("5", encoding="ascii")


def peak() -> int:
    """Bytes of memory at most; 0 where the system does not say."""
    with suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    with suppress(ImportError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most << 10
    return 0
