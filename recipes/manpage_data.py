"""Make the manual pages with questions that ship with the package: the same bytes on every run.

Fetches Debian 12 packages (amd64) with `apt-get download` into a cache folder, checks each against
its sha256, renders the pages with the mandoc of the first package (one line a paragraph, up to 1000
characters), asks questions by the rules of `recipes/manpage_questions.py`, and keeps up to 5 pages
a package, of any length. Only packages whose pages are under a permissive licence are used; their
copyright files are copied beside the data.

Needs apt-get and dpkg-deb (Debian, or a machine with both and a Debian 12 source; versions that
left the mirrors are on snapshot.debian.org). Run from the repository root (a few seconds):

    python recipes/manpage_data.py
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import subprocess
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from manpage_questions import choose


class Package(NamedTuple):
    """A Debian package: its version, the sha256 of its .deb, and the licence of its pages."""

    version: str
    sha256: str
    license: str


PACKAGES = {
    "mandoc": Package(
        "1.14.6-1+b1",
        "af62386fcb99fbfe8813992d5623f5500339d8decee2c72994522366e078c01b",
        "ISC AND BSD-2-Clause AND BSD-3-Clause",
    ),
    "apache2-utils": Package(
        "2.4.71-1~deb12u1",
        "1d62a5130d3aed55b46a2201f6b8ec3e8dd3afc5d73a46c52ae479003251ad42",
        "Apache-2.0",
    ),
    "byacc": Package(
        "1:2.0.20221106-1",
        "c5b17cfb1a8f3e5c4414f890b75a7d1c892b3664f35726c180f2157efb72916e",
        "public domain",
    ),
    "entr": Package(
        "5.3-1",
        "e9957575661799937129517e672067b64fcfe23e69500f9e33d1d2b0b6abc079",
        "ISC",
    ),
    "exa": Package(
        "0.10.1-4+b1",
        "c8fc9e44ca3969ebdcff2a0c2772365350c7dbda75f8e0d3c971b66c4133c301",
        "MIT",
    ),
    "fd-find": Package(
        "8.6.0-3",
        "1c0af4b1c6727ee8a8cc3a674cce7919aeb070d7017620d8fdc528739cefb333",
        "MIT OR Apache-2.0",
    ),
    "hyperfine": Package(
        "1.15.0-2",
        "a652add8d272fa0635f9bb38cfeab49df4d218a5c328dde3618166feedec076c",
        "MIT OR Apache-2.0",
    ),
    "libarchive-tools": Package(
        "3.6.2-1+deb12u5",
        "c2b48182c0544e8234557c5c202c3dce898dacee535342e4875e68d72cad948a",
        "BSD-2-Clause",
    ),
    "libjpeg-turbo-progs": Package(
        "1:2.1.5-2",
        "6a4a7c3923a7a0266809d33c8faa6fb15ff4915cba410d630b3c3e2e0cd1d2d7",
        "IJG AND BSD-3-Clause",
    ),
    "libtiff-tools": Package(
        "4.5.0-6+deb12u4",
        "0b3e121276452026ee2ad075dec469015e3ca41da9eca002ea9a113c431ad7af",
        "libtiff",
    ),
    "ncurses-bin": Package(
        "6.4-4",
        "396d6e453aee6d71b7141f0bfb333a6c08a44c64f77632bdf52894ccd123db46",
        "X11 AND BSD-3-Clause",
    ),
    "netcat-openbsd": Package(
        "1.219-1",
        "85adebc045f48eb9a91515202a49940a0a57eff790223402333253ff121dfbdd",
        "BSD-3-Clause",
    ),
    "openssh-client": Package(
        "1:9.2p1-2+deb12u10",
        "42c250b8b9110382488c53c066a960bc564ddac2cb9e449f47b6cdbb5fc1cb60",
        "BSD-2-Clause AND BSD-3-Clause AND ISC",
    ),
    "optipng": Package(
        "0.7.7-2+b1",
        "ac4e8b6690e4e403fa74023b4989b95ab385f85c4dfc2b69877177922624a709",
        "Zlib",
    ),
    "postgresql-client-15": Package(
        "15.20-0+deb12u1",
        "779332f35a5adc7c97376a7bb6dd8a6a6b48f594953f01eecfaead2eab09dab1",
        "PostgreSQL",
    ),
    "signify-openbsd": Package(
        "31-3",
        "e47930eebda083ef321b78b8ff42ba523877e34523166aff145861ec46cb1754",
        "ISC",
    ),
    "webp": Package(
        "1.2.4-0.2+deb12u1",
        "4bc8dc1ba680a5bc07d0895221f0b76d142787465f3e53005df69a9ca6fa5bab",
        "BSD-3-Clause",
    ),
    "x11-utils": Package(
        "7.7+5",
        "64f2b157e6f00590c4d8633333bfdc890b66fc26ad61ce5e6f1fddcd0527ed1d",
        "X11 AND MIT",
    ),
    "x11-xserver-utils": Package(
        "7.7+9+b1",
        "e68ca467aae5fa2b6241ecd6986c2954bef377895a5244310c5757fcad325abc",
        "X11 AND MIT",
    ),
}
PER_PACKAGE, LEAST = 5, 3
SHORTEST, LONGEST = 1_800, 22_000  # characters of a page: about 500 to 6,000 tokens
PAGE = re.compile(r"\./usr/share/(?:.*/)?man/man([158])/([^/]+)\.\1\.gz")


def fetch(name: str, cache: Path) -> bytes:
    """Download one Debian package unless it is cached, and check its sha256."""
    package = PACKAGES[name]
    path = cache / f"{name}_{package.version.replace(':', '%3a')}_amd64.deb"
    if not path.exists():
        command = ["apt-get", "download", "-q", f"{name}:amd64={package.version}"]
        subprocess.run(command, cwd=cache, check=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != package.sha256:
        raise SystemExit(f"{path}: sha256 is {digest}, wanted {package.sha256}; delete the file")
    done = subprocess.run(["dpkg-deb", "--fsys-tarfile", path], capture_output=True, check=True)
    return done.stdout


def members(tar: bytes, pattern: re.Pattern[str]) -> dict[str, bytes]:
    """Read the plain files of an archive whose names match."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {
            entry.name: stream.read()
            for entry in archive
            if pattern.fullmatch(entry.name) and (stream := archive.extractfile(entry))
            if entry.isfile()
        }


def render(page: bytes, mandoc: Path, cache: Path) -> str:
    """Render a page as plain text, a paragraph a line, without its running heads."""
    source = cache / "page.gz"
    source.write_bytes(page)
    command = [mandoc, "-T", "utf8", "-O", "width=1000,indent=2", source]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    text = re.sub(r".\x08", "", text).replace("\N{NO-BREAK SPACE}", " ")
    lines = [line.rstrip() for line in text.strip("\n").split("\n")][1:-1]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines).strip("\n"))
    return re.sub(r"(?<=[.!?:;]) {2,}(?=\S)", " ", text) + "\n"


def pages(name: str, tar: bytes, mandoc: Path, cache: Path) -> list[dict[str, Any]]:
    """Render the pages of a package; keep those that give enough questions, of any length."""
    found = []
    for path, data in sorted(members(tar, PAGE).items()):
        match = PAGE.fullmatch(path)
        page = f"{match[2]}.{match[1]}" if match else path
        text = render(data, mandoc, cache)
        if SHORTEST <= len(text) <= LONGEST:
            kept = choose(page, text)
            if len(kept) >= LEAST:
                asked = [question._asdict() for question in kept]
                about = {"id": page, "package": name, "license": PACKAGES[name].license}
                found.append({**about, "text": text, "questions": asked})
    by_length = sorted(found, key=lambda page: (len(page["text"]), page["id"]))
    n = min(PER_PACKAGE, len(by_length))
    return [by_length[(2 * i + 1) * len(by_length) // (2 * n)] for i in range(n)]


SOURCES = """\
# The manual pages: where they come from

Made by `recipes/manpage_data.py`, which fetches and checks everything named here: {pages} pages of
Debian 12 with {questions} questions, one page a line in `manpages.jsonl`.

| Debian package | version | licence of its pages | pages |
|---|---|---|---|
{rows}

Who wrote what stands in `licenses/`, the packages' own copyright files; they tell of the whole
package, of which only the pages named above are here. The text of the Apache License 2.0, to which
some of them point, is in `../emoji/licenses/Apache-2.0.txt`.

## Changes made

- The pages are rendered as plain text with mandoc 1.14.6, a paragraph a line; running heads and
  repeated empty lines are left out, and so is the second space after a sentence.
- The questions are ours, written by rule; they quote the pages.

The pages keep their own licences; the licence of the code beside them does not replace them.
"""


def write(out: Path, found: list[dict[str, Any]]) -> None:
    """Write manpages.jsonl, one page a line, and SOURCES.md."""
    lines = "".join(json.dumps(page, ensure_ascii=False) + "\n" for page in found)
    (out / "manpages.jsonl").write_text(lines, encoding="utf-8")
    ids: dict[str, list[str]] = {}
    for page in found:
        ids.setdefault(page["package"], []).append(page["id"])
    rows = "\n".join(
        f"| {name} | {PACKAGES[name].version} | {PACKAGES[name].license} | {', '.join(names)} |"
        for name, names in ids.items()
    )
    questions = sum(len(page["questions"]) for page in found)
    text = SOURCES.format(pages=len(found), questions=questions, rows=rows)
    (out / "SOURCES.md").write_text(text, encoding="utf-8")


def main() -> None:
    """Fetch, render, ask, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/tokenry/debian")
    parser.add_argument("--out", type=Path, default=Path("src/tokenry/data/manpages"))
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    (args.out / "licenses").mkdir(parents=True, exist_ok=True)
    tars = {name: fetch(name, args.cache) for name in PACKAGES}
    mandoc = args.cache / "mandoc"
    mandoc.write_bytes(members(tars["mandoc"], re.compile(r"\./usr/bin/mandoc")).popitem()[1])
    mandoc.chmod(0o755)
    found = []
    for name in sorted(PACKAGES):
        kept = pages(name, tars[name], mandoc, args.cache)
        found += kept
        if kept:
            copyrights = re.compile(rf"\./usr/share/doc/{name}/copyright")
            data = members(tars[name], copyrights).popitem()[1]
            (args.out / "licenses" / f"{name}.txt").write_bytes(data)
    write(args.out, found)
    kinds = Counter(q["kind"] for page in found for q in page["questions"])
    total = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{len(found)} pages, {sum(kinds.values())} questions ({dict(kinds)}), {total:,} bytes")


if __name__ == "__main__":
    main()
