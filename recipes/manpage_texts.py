"""Make plain text of manual pages: one file a page, for `tokenry transplant` and `bench/`.

    apt-get download manpages-de && dpkg-deb -x manpages-de_*.deb pages
    python recipes/manpage_texts.py pages/usr/share/man/de german

Requests and font changes of roff are taken off; text that they carry stays.
"""

from __future__ import annotations

import argparse
import gzip
import re
from pathlib import Path

SHORTEST = 800  # characters; shorter pages only point to others
FONTS = re.compile(r"\\f(\[.*?\]|\(..|.)")
WITH_TEXT = re.compile(r"\.(SH|SS|B|I|BR|IR|RB|RI|BI|IB|TP|IP)\b ?(.*)")
LETTERS = {
    r"\-": "-", r"\(aq": "'", r"\&": "", r"\ ": " ", r"\(co": "©", r"\(en": "\u2013", r"\(em": "—",
    r"\(lq": "„", r"\(rq": "“", r"\(Fo": "»", r"\(Fc": "«", r"\(bq": "\u201a", r"\e": "\\",
}  # fmt: skip


def plain(page: str) -> str:
    """The text of a page, a line for each line that holds text."""
    page = FONTS.sub("", page)
    for written, letter in LETTERS.items():
        page = page.replace(written, letter)
    lines = []
    for line in page.splitlines():
        found = WITH_TEXT.match(line)
        if found:
            lines.append(found[2].replace('"', ""))
        elif not line.startswith((".", "'")):
            lines.append(line)
    return "\n".join(line for line in lines if line.strip())


def main() -> None:
    """Write the texts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pages", type=Path, help="folder of packed pages (.gz)")
    parser.add_argument("out", type=Path, help="folder of the texts; made when not there")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for path in sorted(given.pages.rglob("*.gz")):
        text = plain(gzip.decompress(path.read_bytes()).decode(errors="ignore"))
        if len(text) >= SHORTEST and not path.is_symlink():
            (given.out / f"{path.stem}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
