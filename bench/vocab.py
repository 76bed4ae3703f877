"""What vocabularies cost and bring.

    python bench/vocab.py train                 # writes bench/results/vocab.json, part "train"

train: seconds to learn a vocabulary from 10 MB of Python's own sources, and how many tokens the
tenth of them that was held out takes.
"""

from __future__ import annotations

import argparse
import json
import platform
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tokenry import catalog

RESULTS = Path(__file__).parent / "results" / "vocab.json"
BYTES, SIZE = 10_000_000, 16_000
TRAINERS = ("bpe", "wordpiece", "unigram", "less-is-better")


def sources() -> Iterator[str]:
    """Python's own library, without its tests."""
    root = Path(sysconfig.get_path("stdlib"))
    left = BYTES
    for path in sorted(root.rglob("*.py")):
        if {"site-packages", "test", "tests"} & set(path.relative_to(root).parts):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        left -= len(text.encode())
        if left < 0:
            return
        yield text


def train() -> dict[str, Any]:
    texts = list(sources())
    held = texts[::10]
    kept = [text for i, text in enumerate(texts) if i % 10]
    rows = []
    for name in TRAINERS:
        rule: Any = catalog.make(name, size=SIZE)
        start = time.perf_counter()
        tokenizer = rule.train(kept)
        seconds = time.perf_counter() - start
        tokens = sum(len(one.ids) for one in tokenizer.encode_batch_fast(held))
        spaced = sum("Ġ" in token.strip("Ġ") for token in tokenizer.get_vocab())
        rows.append(
            {
                "vocabulary": name,
                "tokens": tokenizer.get_vocab_size(),
                "seconds": round(seconds, 1),
                "tokens_per_character": round(tokens / sum(map(len, held)), 4),
                "bytes_per_token": round(sum(len(text.encode()) for text in held) / tokens, 3),
                "tokens_with_a_space_inside": f"{spaced / tokenizer.get_vocab_size():.1%}",
            }
        )
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    splitter: Any = catalog.make("bpe", size=257).train(["-"]).pre_tokenizer
    words = sum(len(splitter.pre_tokenize_str(text)) for text in held)
    return {
        "learned_from_bytes": sum(len(text.encode()) for text in kept),
        "words_per_character": round(words / sum(map(len, held)), 4),
        "rows": rows,
    }


PARTS: dict[str, Callable[[], dict[str, Any]]] = {"train": train}


def main() -> None:
    """Measure parts, print, and write them beside those measured before."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[*PARTS])
    content: dict[str, Any] = {}
    if RESULTS.exists():
        content = json.loads(RESULTS.read_text(encoding="utf-8"))
    for name in parser.parse_args().parts:
        content[name] = [PARTS[name]()]
    content["environment"] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "command": "python bench/vocab.py",
    }
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
