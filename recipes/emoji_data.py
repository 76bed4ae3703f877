"""Make the emoji drawings that ship with the package: the same bytes on every run.

Fetches four npm packages with `npm pack` into a cache folder, checks each against its sha512, picks
600 concepts that every vendor draws (75 from each of eight groups, spread evenly over sub-groups),
packs one lossless WebP sheet per vendor, and writes the manifest, the sources and the licences.

Needs npm and Pillow. Run from the repository root (about two minutes, most of it WebP):

    python recipes/emoji_data.py
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import subprocess
import tarfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from PIL import Image, features

PACKAGES = {
    "emoji-datasource-google@16.0.0": (
        "ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A=="
    ),
    "emoji-datasource-twitter@16.0.0": (
        "7F+uCuHH+7Qnrc15P5tnbvKkg9E6tlzi4MnT2uW1RlN4pLYTza6cP/dstIfSDMtpjFLWuZewWg8jBbuL2eyELQ=="
    ),
    "emojibase-data@17.0.0": (
        "Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA=="
    ),
    "spdx-license-list@6.11.0": (
        "p5ICd51dSnh7zIMtPgbB9ShBg3HMT77OeI6WVhrFFvxa5KIFYNcqxD4joAE+n1zZ7wlJdEkrOMwC75JUMMmsJA=="
    ),
}
VENDORS = {
    "google": {
        "title": "Noto Emoji v2.048",
        "credit": "Copyright Google Inc. and the Noto Emoji contributors",
        "home": "https://github.com/googlefonts/noto-emoji",
        "license": "Apache-2.0",
        "package": "emoji-datasource-google@16.0.0",
    },
    "twitter": {
        "title": "Twemoji v16.0.1 (jdecked fork)",
        "credit": "Copyright 2020 Twitter, Inc and other contributors",
        "home": "https://github.com/jdecked/twemoji",
        "license": "CC-BY-4.0",
        "package": "emoji-datasource-twitter@16.0.0",
    },
}
GROUPS = (
    "smileys-emotion",
    "people-body",
    "animals-nature",
    "food-drink",
    "travel-places",
    "activities",
    "objects",
    "symbols",
)
PER_GROUP, SIZE, COLUMNS = 75, 64, 25
VARIATION = "-FE0F"  # the "draw me in colour" selector, which the packages write unevenly

SOURCES = """\
# The emoji drawings: where they come from

Made by `recipes/emoji_data.py`, which fetches and checks everything named here.

| part | from | by | licence |
|---|---|---|---|
{rows}
| names, groups, keywords in `emoji.json` | npm `emojibase-data` 17.0.0 (Unicode CLDR) | \
Copyright 2017-2019 Miles Johnson; Copyright 1991-2025 Unicode, Inc. | MIT, Unicode-3.0 |
| which vendor draws what | npm `emoji-datasource-*` 16.0.0 | Copyright 2013 Cal Henderson | MIT |

The licence texts are in `licenses/` (those without a package of their own are taken from npm
`spdx-license-list` 6.11.0, CC0-1.0).

## Changes made

- {count} concepts chosen: one code point each, drawn by every vendor, {per_group} from each of
  eight groups, spread evenly over sub-groups. No skin tones, flags or joined sequences.
- The 64 x 64 pictures are laid side by side in one sheet per vendor ({columns} columns) and stored
  as lossless WebP. Fully transparent pixels lost their invisible colour; no other pixel changed.

The drawings keep their own licences; the licence of the code beside them does not replace them.
Whoever shows Twemoji drawings must credit them: "Twemoji, Copyright 2020 Twitter, Inc and other
contributors, CC-BY 4.0, https://creativecommons.org/licenses/by/4.0/".
"""


def fetch(package: str, cache: Path) -> Path:
    """Download one npm package unless it is cached, and check its sha512."""
    name, version = package.split("@")
    path = cache / f"{name}-{version}.tgz"
    if not path.exists():
        subprocess.run(["npm", "pack", package, "--silent"], cwd=cache, check=True)
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if digest != PACKAGES[package]:
        raise SystemExit(f"{path}: sha512 is {digest}, wanted {PACKAGES[package]}; delete the file")
    return path


def members(archive: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Read the named files of an npm archive."""
    wanted = {f"package/{name}": name for name in names}
    found = {}
    with tarfile.open(archive, "r:gz") as tar:
        for entry in tar:
            if entry.name in wanted:
                stream = cast(IO[bytes], tar.extractfile(entry))
                found[wanted[entry.name]] = stream.read()
    if missing := sorted(set(names) - set(found)):
        raise SystemExit(f"{archive}: lacks {', '.join(missing)}")
    return found


def code(hexcode: str) -> str:
    """Return the code points without variation selectors."""
    return hexcode.replace(VARIATION, "")


def drawn(vendor: str, archive: Path) -> dict[str, str]:
    """Map each code that a vendor really draws to its picture's name in the archive."""
    entries = json.loads(members(archive, ["emoji.json"])["emoji.json"])
    return {
        code(entry["unified"]): f"img/{vendor}/64/{entry['image']}"
        for entry in entries
        if entry[f"has_img_{vendor}"]
    }


def spread(subgroups: dict[str, list[Any]], n: int) -> list[Any]:
    """Take n entries: each sub-group its share (largest remainders), evenly spaced within."""
    total = sum(map(len, subgroups.values()))
    quota = {name: len(entries) * n // total for name, entries in subgroups.items()}
    by_rest = sorted(subgroups, key=lambda name: (-(len(subgroups[name]) * n % total), name))
    for name in by_rest[: n - sum(quota.values())]:
        quota[name] += 1
    return [
        entries[(2 * i + 1) * len(entries) // (2 * quota[name])]
        for name, entries in subgroups.items()
        for i in range(quota[name])
    ]


def choose(archive: Path, common: set[str]) -> list[dict[str, Any]]:
    """Choose the concepts, in Unicode order within their groups."""
    files = members(archive, ["en/data.json", "meta/groups.json"])
    names = json.loads(files["meta/groups.json"])
    found: dict[str, dict[str, list[Any]]] = {group: defaultdict(list) for group in GROUPS}
    entries = [e for e in json.loads(files["en/data.json"]) if "group" in e]
    for entry in sorted(entries, key=lambda e: e["order"]):
        group = names["groups"][str(entry["group"])]
        single = "-" not in code(entry["hexcode"])
        if group in found and single and code(entry["hexcode"]) in common:
            subgroup = names["subgroups"][str(entry["subgroup"])]
            concept = {
                "code": code(entry["hexcode"]),
                "name": entry["label"],
                "group": group,
                "subgroup": subgroup,
                "keywords": entry.get("tags", []),
            }
            found[group][subgroup].append(concept)
    return [concept for group in GROUPS for concept in spread(found[group], PER_GROUP)]


def sheet(pictures: Sequence[bytes]) -> bytes:
    """Lay pictures side by side and pack them as lossless WebP."""
    rows = -(-len(pictures) // COLUMNS)
    canvas = np.zeros((rows * SIZE, COLUMNS * SIZE, 4), np.uint8)
    for i, data in enumerate(pictures):
        pixels = np.array(Image.open(io.BytesIO(data)).convert("RGBA"))
        if pixels.shape != (SIZE, SIZE, 4):
            raise SystemExit(f"picture {i} is {pixels.shape}, wanted {(SIZE, SIZE, 4)}")
        pixels[pixels[..., 3] == 0] = 0
        y, x = i // COLUMNS * SIZE, i % COLUMNS * SIZE
        canvas[y : y + SIZE, x : x + SIZE] = pixels
    out = io.BytesIO()
    Image.fromarray(canvas).save(out, "WEBP", lossless=True, quality=100, method=6, exact=True)
    return out.getvalue()


def write_licenses(archives: dict[str, Path], folder: Path) -> None:
    """Write the text of every licence that the files come under."""
    folder.mkdir(exist_ok=True)
    spdx = ("Apache-2.0", "CC-BY-4.0", "Unicode-3.0")
    texts = members(archives["spdx-license-list@6.11.0"], [f"licenses/{n}.json" for n in spdx])
    for name in spdx:
        text = json.loads(texts[f"licenses/{name}.json"])["licenseText"]
        (folder / f"{name}.txt").write_text(text.strip() + "\n", encoding="utf-8")
    for package in ("emoji-datasource-google@16.0.0", "emojibase-data@17.0.0"):
        name = package.split("@")[0].removesuffix("-google")
        data = members(archives[package], ["LICENSE"])["LICENSE"]
        (folder / f"MIT-{name}.txt").write_bytes(data)


def write_manifest(out: Path, vendors: dict[str, Any], concepts: list[dict[str, Any]]) -> None:
    """Write emoji.json, one concept a line, and SOURCES.md."""
    head = json.dumps({"size": SIZE, "columns": COLUMNS, "vendors": vendors}, indent=1)
    lines = ",\n".join("  " + json.dumps(concept, ensure_ascii=False) for concept in concepts)
    text = f'{head[:-2]},\n "concepts": [\n{lines}\n ]\n}}\n'
    (out / "emoji.json").write_text(text, encoding="utf-8")
    rows = "\n".join(
        f"| `{vendor['sheet']}` | {vendor['title']}, {vendor['home']}, through npm"
        f" `{vendor['package'].replace('@', '` ')} | {vendor['credit']} | {vendor['license']} |"
        for vendor in vendors.values()
    )
    sources = SOURCES.format(rows=rows, count=len(concepts), per_group=PER_GROUP, columns=COLUMNS)
    (out / "SOURCES.md").write_text(sources, encoding="utf-8")


def main() -> None:
    """Fetch, choose, pack, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/tokenry/npm")
    parser.add_argument("--out", type=Path, default=Path("src/tokenry/data/emoji"))
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    archives = {package: fetch(package, args.cache) for package in PACKAGES}
    files = {name: drawn(name, archives[v["package"]]) for name, v in VENDORS.items()}
    common = set.intersection(*(set(found) for found in files.values()))
    concepts = choose(archives["emojibase-data@17.0.0"], common)
    vendors: dict[str, Any] = {}
    for name, vendor in VENDORS.items():
        paths = [files[name][concept["code"]] for concept in concepts]
        pictures = members(archives[vendor["package"]], paths)
        data = sheet([pictures[path] for path in paths])
        (args.out / f"{name}.webp").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        vendors[name] = vendor | {"sheet": f"{name}.webp", "sha256": digest}
    write_manifest(args.out, vendors, concepts)
    write_licenses(archives, args.out / "licenses")
    total = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{len(concepts)} concepts x {len(vendors)} vendors, {total:,} bytes in {args.out}")
    print(f"packed with libwebp {features.version('webp')}; another release may pack other bytes")


if __name__ == "__main__":
    main()
