"""Strings of bases: what may stand in them, and how they are cut into k-mers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenry.errors import UsageError

BASES = "ACGT"
UNKNOWN = "N"

_FOREIGN = re.compile(rf"[^{BASES}{UNKNOWN}]")


def bases(text: str, who: str) -> str:
    r"""The bases of a text in capitals: soft-masked ones are small, and lines may be broken.

    Args:
        text: Bases; spaces and line ends are left out.
        who: Who asks, for the message.

    Raises:
        UsageError: If another letter than A, C, G, T, N stands in it.

    >>> bases("acgTN\nGG", "example")
    'ACGTNGG'
    """
    found = "".join(text.split()).upper()
    foreign = _FOREIGN.search(found)
    if foreign:
        raise UsageError(
            f"{who}: base {foreign.start() + 1} is {foreign[0]!r}; allowed are A, C, G, T and N "
            "(unknown). Leave out the headers of FASTA, and write other letters of IUPAC as N."
        )
    return found


def pieces(text: str, chunk: int) -> Iterator[str]:
    """What lies between runs of N, in chunks.

    >>> list(pieces("ACGTACNNNNGG", 4))
    ['ACGT', 'AC', 'GG']
    """
    for run in text.split(UNKNOWN):
        yield from (run[start : start + chunk] for start in range(0, len(run), chunk))


def kmers(text: str, k: int, step: int = 1) -> list[str]:
    """The k-mers of a text: overlapping with a step of 1, side by side with a step of k.

    Side by side, the last one may be shorter.

    >>> kmers("ACGTA", 3), kmers("ACGTA", 3, 3)
    (['ACG', 'CGT', 'GTA'], ['ACG', 'TA'])
    """
    last = len(text) if step == k else len(text) - k + 1
    return [text[start : start + k] for start in range(0, last, step)]
