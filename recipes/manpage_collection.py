"""Make a collection of manual pages in the form of BEIR: one-line descriptions find their pages.

Fetches Debian packages with `apt-get download`, takes the English pages out of them and writes
corpus.jsonl, queries.jsonl and qrels/test.tsv for `tokenry.load_collection(FOLDER)`. The pages
have many licences (their packages' copyright files say which), so the folder is yours to measure
with and not shipped. Pages that only point to others, translations, and pages whose description
another page has too are left out. Needs apt-get and dpkg-deb (Debian or a machine with both). Run
from the repository root (about a minute each; the second fetches 224 MB):

    python recipes/manpage_collection.py manpages-large --pages 855
    python recipes/manpage_collection.py manpages-huge --pages 20000 --packages many
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import re
import subprocess
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from manpage_texts import plain

PACKAGES = "manpages manpages-dev coreutils util-linux git-man procps"
MANY = """
manpages-dev libxcb-doc perl-doc erlang-manpages grass-doc libbio-perl-perl libcurl4-doc netpbm
libx11-doc openmpi-doc libssl-doc emboss mpich-doc tcl8.6-doc libperl-critic-perl manpages
git-man tk8.6-doc libowfat-dev libsystemd-dev systemd podman libibverbs-dev libmoose-perl
iproute2 libmojolicious-perl libdbix-class-perl libssh2-1-dev libhtml-formfu-perl
kubernetes-client coreutils gromacs-data ncurses-doc libppi-perl texlive-binaries util-linux
debhelper libmodbus-dev libplack-perl libdancer2-perl dcmtk libzmq3-dev liblog-log4perl-perl
libnet-ldap-perl groff libhwloc-doc libtemplate-perl librdmacm-dev dpkg-dev libpoe-perl
libdbi-perl libdpkg-perl libmail-box-perl gdal-bin linux-perf buildah libexcel-writer-xlsx-perl
libxml-libxml-perl libldns-dev infiniband-diags slurm-client libemail-sender-perl mariadb-client
binutils-common libspreadsheet-writeexcel-perl procps zsh-common exim4-base libwww-perl
golang-go hdf5-tools bind9 ghostscript imagemagick-6.q16 postfix samba-common-bin libgraph-perl
mariadb-server papi-tools cups-client valgrind ffmpeg-doc
"""
"""Packages with many pages that differ: of commands, of C, Perl, Erlang, Tcl, and of formats."""

PAGE = re.compile(r"\./usr/share/man/man([1-8])/([^/]+)\.\1[a-z]*\.gz")
NAME = re.compile(r"NAME\n(?P<names>.+?) -+ (?P<about>.+?)\n(?=[A-Z][A-Z ]+\n)", re.S)
SHORTEST = 400  # characters; shorter pages only point to others


def pages(names: list[str]) -> Iterator[tuple[str, str]]:
    """Name and text of each page of some packages, links left out."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", "-q", *names], cwd=folder, check=True)
        for deb in sorted(Path(folder).glob("*.deb")):
            command = ["dpkg-deb", "--fsys-tarfile", deb]
            tar = subprocess.run(command, capture_output=True, check=True).stdout
            with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
                for entry in archive:
                    found = PAGE.fullmatch(entry.name)
                    stream = archive.extractfile(entry) if found and entry.isfile() else None
                    if found and stream:
                        text = gzip.decompress(stream.read()).decode(errors="replace")
                        yield f"{found[2]}.{found[1]}", plain(text)


def described(text: str) -> tuple[str, str] | None:
    """The description of a page and the page without it; None where it has none."""
    found = NAME.search(text[:2000])
    if found is None or len(text) < SHORTEST:
        return None
    about = " ".join(found["about"].split())
    return about, f"NAME\n{found['names']}\n{text[found.end() :]}"


def main() -> None:
    """Write the collection."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder of the collection; made when not there")
    parser.add_argument(
        "--packages", default=PACKAGES, help="Debian packages, joined by blanks, or `many`"
    )
    parser.add_argument("--pages", type=int, default=855, help="most pages; chosen by their names")
    given = parser.parse_args()
    names = MANY if given.packages == "many" else given.packages
    every = {name: parts for name, text in pages(names.split()) if (parts := described(text))}
    common = Counter(about for about, _ in every.values())
    single = sorted(
        (name for name, (about, _) in every.items() if common[about] == 1),
        key=lambda name: hashlib.sha256(name.encode()).digest(),
    )[: given.pages]
    (given.out / "qrels").mkdir(parents=True, exist_ok=True)
    rows = {
        "corpus.jsonl": [{"_id": n, "title": "", "text": every[n][1]} for n in sorted(single)],
        "queries.jsonl": [{"_id": n, "text": every[n][0]} for n in sorted(single)],
    }
    for file, content in rows.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
        (given.out / file).write_text(text, encoding="utf-8")
    labels = "".join(f"{name}\t{name}\t1\n" for name in sorted(single))
    head = "query-id\tcorpus-id\tscore\n"
    (given.out / "qrels" / "test.tsv").write_text(head + labels, encoding="utf-8")
    size = sum(len(every[name][1]) for name in single)
    print(f"{len(single)} of {len(every)} pages, {size:,} characters")


if __name__ == "__main__":
    main()
