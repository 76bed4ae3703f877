"""What each way of moving a model to another tokenizer loses before any training.

    python bench/transplant.py german --source-text english --dictionary en-de.tsv

writes bench/results/transplant.json. `german` and `english` are folders of texts, as
`recipes/manpage_texts.py` makes them; the tokenizer is trained on the German one. The dictionary
is a word, a tab and its translation on each line (here those of FreeDict, Debian's
`dict-freedict-eng-deu`). The same for a small model that has read English alone:

    python bench/transplant.py german --source-text english --dictionary en-de.tsv \
        --model tests/vocab/tiny_zett/model --size 2048
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from tokenry import zoo
from tokenry.data.dictionaries import load_dictionary
from tokenry.data.text_loader import load_text
from tokenry.plugs.bits import bits_per_byte
from tokenry.plugs.moving import transplant

MODEL = "zoo:smollm2-135m"
RESULTS = Path(__file__).parent / "results" / "transplant.json"
METHODS = (
    "random-rows", "mean-rows", "lexical-copy", "fvt", "focus", "wechsel(by=words)", "wechsel",
    "wechsel(identical=True)",
)  # fmt: skip
ROLES = ("bos_token", "eos_token", "pad_token")
HELD, PART = 6, 2048  # texts that are measured on; bytes of each


def tokenizer(texts: list[str], size: int, old: Any) -> Any:
    """A byte-level tokenizer with the special tokens of the model."""
    roles = {role: getattr(old, role) for role in ROLES if getattr(old, role) is not None}
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(dict.fromkeys(roles.values())),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, **roles)


def read(folder: str, megabytes: float) -> list[str]:
    """Texts in an order of their own, up to so many megabytes."""
    texts = sorted(one.text for one in load_text(folder).examples)
    Random(0).shuffle(texts)  # noqa: S311
    most, found = megabytes * 1e6, []
    for text in texts:
        most -= len(text.encode())
        found.append(text)
        if most < 0:
            break
    return found


def lines(texts: list[str]) -> list[str]:
    """Every line a text of its own."""
    return [line for text in texts for line in text.split("\n") if line]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("text")
    parser.add_argument("--source-text", required=True)
    parser.add_argument("--dictionary", required=True)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--size", type=int, default=16_384, help="of the new vocabulary")
    parser.add_argument("--megabytes", type=float, default=8, help="of text to learn from, each")
    given = parser.parse_args()
    texts, english = (read(one, given.megabytes) for one in (given.text, given.source_text))
    held, texts = [text[:PART] for text in texts[:HELD]], texts[HELD:]
    loaded = zoo.load(given.model)
    new = tokenizer(texts, given.size, loaded.processor)
    learned = {"texts": lines(texts), "source_texts": lines(english)}
    learned["dictionary"] = load_dictionary(given.dictionary)
    before = bits_per_byte(loaded.model, loaded.processor, held)
    rows = [{"method": "untouched", "bits_per_byte": round(before.per_byte, 3), "bytes_per_token":
             round(before.bytes_per_token, 2)}]  # fmt: skip
    for method in tqdm(METHODS, unit="method"):
        start = time.perf_counter()
        moved = transplant(loaded.model, loaded.processor, new, method, **learned)
        seconds = time.perf_counter() - start
        bits = bits_per_byte(moved.model, moved.tokenizer, held)
        figures = {"bits_per_byte": round(bits.per_byte, 3)}
        figures["bytes_per_token"] = round(bits.bytes_per_token, 2)
        origins = moved.summary()["rows"]
        del origins["predicted"]
        rows.append({"method": method, **figures, **origins, "seconds": round(seconds, 1)})
        print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    write(given, len(loaded.processor), sum(len(text.encode()) for text in held), rows)


def write(given: argparse.Namespace, before: int, size: int, rows: list[dict[str, Any]]) -> None:
    """Put the rows of a model into the file of results; those of others stay there."""
    sizes = f"{before:,} to {given.size:,}"
    block = {"model": given.model, "tokens": sizes, "held_out_bytes": size, "rows": rows}
    environment = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "text": "German manual pages",
        "command": "python bench/transplant.py german --source-text english --dictionary en-de.tsv",
    }
    content = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    others = [one for one in content.get("transplant", []) if one.get("model") != given.model]
    content = {"environment": environment, "transplant": [*others, block]}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
