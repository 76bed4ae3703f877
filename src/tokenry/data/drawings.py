"""The emoji drawings that ship with the package: the same concepts by several vendors."""

from __future__ import annotations

import hashlib
import io
import json
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from PIL import Image

from tokenry.data.decode import to_rgb
from tokenry.data.examples import Example, ImageData
from tokenry.data.pictures import Pixels
from tokenry.errors import DataError

FOLDER = Path(__file__).parent / "emoji"
VENDORS = ("google", "twitter")


@lru_cache(maxsize=1)
def manifest() -> Any:
    """Return `emoji.json`: the size of a cell, the vendors, the concepts."""
    return json.loads((FOLDER / "emoji.json").read_text(encoding="utf-8"))


def emoji(vendor: str | None = None) -> ImageData:
    """Return the emoji drawings of one vendor, or of all.

    The label is the concept's name, the domain is the vendor, the id is vendor/code point; meta
    holds group, subgroup, keywords and the character itself.

    Args:
        vendor: "google" (Noto Emoji), "twitter" (Twemoji), or None for both.
    """
    chosen = VENDORS if vendor is None else (vendor,)
    about = [manifest()["vendors"][name] for name in chosen]
    return ImageData(
        name="emoji" if vendor is None else f"emoji:{vendor}",
        examples=tuple(
            _example(name, i, concept)
            for i, concept in enumerate(manifest()["concepts"])
            for name in chosen
        ),
        license="; ".join(f"{v['title']}: {v['license']}, {v['credit']}" for v in about),
        source="; ".join(f"{v['title']}, {v['home']}" for v in about),
    )


def _example(vendor: str, index: int, concept: Any) -> Example:
    meta = {
        "group": concept["group"],
        "subgroup": concept["subgroup"],
        "keywords": ", ".join(concept["keywords"]),
        "character": chr(int(concept["code"], 16)),
    }
    picture = Pixels(partial(_cell, vendor, index))
    return Example(f"{vendor}/{concept['code']}", concept["name"], None, vendor, meta, picture)


@lru_cache(maxsize=len(VENDORS))
def _sheet(vendor: str) -> Image.Image:
    about = manifest()["vendors"][vendor]
    path = FOLDER / about["sheet"]
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != about["sha256"]:
        raise DataError(f"{path}: is not the file that was shipped; install tokenry again.")
    return to_rgb(Image.open(io.BytesIO(data)), path.name)


def _cell(vendor: str, index: int) -> Image.Image:
    size, columns = manifest()["size"], manifest()["columns"]
    y, x = index // columns * size, index % columns * size
    return _sheet(vendor).crop((x, y, x + size, y + size))
