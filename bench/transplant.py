"""What each way of moving a model to another tokenizer loses before any training.

    python bench/transplant.py german --source-text english --dictionary en-de.tsv

writes bench/results/transplant.json. `german` and `english` are folders of texts, as
`recipes/manpage_texts.py` makes them; the tokenizer is trained on the German one.
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
SIZE, HELD, PART = 16_384, 6, 2048  # tokens; texts that are measured on; bytes of each


def tokenizer(texts: list[str]) -> Any:
    """A byte-level tokenizer with the special tokens of the model."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    roles = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
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
    parser.add_argument("--megabytes", type=float, default=8, help="of text to learn from, each")
    given = parser.parse_args()
    texts, english = (read(one, given.megabytes) for one in (given.text, given.source_text))
    held, texts = [text[:PART] for text in texts[:HELD]], texts[HELD:]
    new, loaded = tokenizer(texts), zoo.load(MODEL)
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
    size = sum(len(text.encode()) for text in held)
    block = {"tokens": f"49,152 to {SIZE:,}", "held_out_bytes": size, "rows": rows}
    environment = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "model": MODEL,
        "text": "German manual pages",
        "command": "python bench/transplant.py german --source-text english --dictionary en-de.tsv",
    }
    content = {"environment": environment, "transplant": [block]}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
