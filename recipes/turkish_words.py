"""Words and morphemes of Turkish, from the dictionary of Debian's package hunspell-tr (MPL-2.0).

    apt-get download hunspell-tr && dpkg -x hunspell-tr_*.deb unpacked
    python recipes/turkish_words.py unpacked/usr/share/hunspell turkish

writes turkish/words.txt (every form that the dictionary allows) and turkish/morphemes.txt (entries
that are no shorter entry with endings, and endings with all their vowels), for
`tokenry audit --lexicon turkish/words.txt --morphemes turkish/morphemes.txt --language tr`.
"""

from __future__ import annotations

import argparse
import itertools
import re
from collections import defaultdict
from pathlib import Path

ENDINGS = (
    "lAr (y)I (y)A DA DAn (n)In (s)I (I)m (I)mIz (I)nIz lArI lI lIK sIz CI CA ki mAK mA DI mIş "
    "(I)yor (y)AcAK Ar Ir mAz sA mAlI (y)Ip (y)ArAK (y)An DIK (y)ken DIr Il In Iş It (y)Abil sIn "
    "sInIz (y)Iz (y)Im sIn lA lAn lAş (y)lA (n)CA IncI mI mAdAn (y)IncA (y)AlI DIkçA sAl CIK CAğIz"
)
"""Endings of Turkish grammars: A is a or e, I one of four, D d or t, C c or ç, K k or ğ."""
CHOICES = {"A": "ae", "I": "ıiuü", "D": "dt", "C": "cç", "K": "kğ"}  # noqa: RUF001


def morphemes(pattern: str) -> set[str]:
    """All forms of an ending; what stands in brackets may be missing.

    >>> sorted(morphemes("(y)A"))
    ['a', 'e', 'ya', 'ye']
    """
    shapes = {re.sub(r"\(.\)", "", pattern), re.sub(r"[()]", "", pattern)}
    return {
        "".join(letters)
        for shape in shapes
        for letters in itertools.product(*(CHOICES.get(letter, letter) for letter in shape))
    }


def dictionary(folder: Path) -> tuple[set[str], set[str]]:
    """Entries and all forms."""
    endings: dict[str, list[str]] = defaultdict(list)
    for line in (folder / "tr_TR.aff").read_text(encoding="utf-8").splitlines():
        parts = line.split()
        if len(parts) == 5 and parts[0] == "SFX":
            endings[parts[1]].append(parts[3])
    entries, forms = set(), set()
    for line in (folder / "tr_TR.dic").read_text(encoding="utf-8").splitlines()[1:]:
        entry, _, flags = line.partition("/")
        entries.add(entry)
        forms |= {entry, *(entry + end for flag in flags.split(",") for end in endings[flag])}
    return entries, forms


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dictionary", type=Path, help="folder of tr_TR.dic and tr_TR.aff")
    parser.add_argument("out", type=Path, help="folder to write to")
    given = parser.parse_args()
    entries, forms = dictionary(given.dictionary)
    affixes = set().union(*map(morphemes, ENDINGS.split()))
    ending = re.compile(f"(?:{'|'.join(sorted(affixes, key=len, reverse=True))})+")
    roots = {
        entry
        for entry in entries
        if entry.islower()
        and not any(
            entry[:cut] in entries and ending.fullmatch(entry, cut) for cut in range(3, len(entry))
        )
    }
    given.out.mkdir(parents=True, exist_ok=True)
    for name, found in (("words", forms), ("morphemes", roots | affixes)):
        (given.out / f"{name}.txt").write_text("\n".join(sorted(found)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
