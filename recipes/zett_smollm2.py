"""Train a small hypernetwork for ``zoo:smollm2-135m``, and say what it is worth.

It has two layers and twelve minutes, where the paper has three layers and 200,000 steps of 128
texts: enough to see that all of it works on a real model, not to compete. What it is worth is said
in bits per byte of held-out manual pages and Python files, for a tokenizer of 4,096 tokens, beside
plain ways to make rows.

Run from the repository root (about twelve minutes of training on one core, then some of reading):

    python recipes/zett_smollm2.py --out smollm2-hypernetwork
"""

from __future__ import annotations

import argparse
import json
import sys
import sysconfig
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tokenry import zoo
from tokenry.data.manpages import FOLDER
from tokenry.plugs.bits import bits_per_byte
from tokenry.plugs.hypernet import HypernetTraining, save_hypernetwork, train_hypernetwork
from tokenry.plugs.moving import transplant

HELD = ("bisect", "heapq", "shlex", "textwrap")
HELD_PAGES = 4
METHODS = ("fvt", "lexical-copy", "mean-rows", "random-rows")


def sources() -> tuple[list[str], list[str]]:
    """Texts to learn from, and held-out ones."""
    pages = [
        json.loads(page)["text"]
        for page in (FOLDER / "manpages.jsonl").read_text("utf-8").splitlines()
    ]
    library = Path(sysconfig.get_paths()["stdlib"])
    files = {path.stem: path.read_text("utf-8", "ignore") for path in library.glob("*.py")}
    held = [text[:4000] for text in (*pages[:HELD_PAGES], *(files[name] for name in HELD))]
    kept = [files[name] for name in sorted(files) if name not in HELD]
    return [*pages[HELD_PAGES:], *kept], held


def tokenizer_of(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>")  # noqa: S106


def say(line: str) -> None:
    """One line of progress."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Train the hypernetwork, write it, and move the model with it and without."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="of all times; 0.02 for a trial")
    parser.add_argument("--out", type=Path, default=Path("smollm2-hypernetwork"))
    args = parser.parse_args()
    loaded = zoo.load("zoo:smollm2-135m")
    texts, held = sources()
    training = HypernetTraining(
        heads=9,
        layers=2,
        vocabulary=1024,
        batch=4,
        length=64,
        identity_tokens=1024,
        identity_steps=100_000,
        steps=100_000,
        warmup=20,
        rates=(1e-3, 3e-4),
        clip=1.0,
        seconds=(240 * args.scale, 480 * args.scale),
    )

    def watch(phase: str, step: int, loss: float) -> None:
        if step % 10 == 0:
            say(f"{phase}, step {step}: loss {loss:.4f}")

    net = train_hypernetwork(loaded.model, loaded.processor, texts, training, watch=watch)
    save_hypernetwork(net, args.out)
    new = tokenizer_of(texts, 4096)
    say(f"as it is: {bits_per_byte(loaded.model, loaded.processor, held).per_byte:.3f}")
    for method in (f"zett(hypernetwork={str(args.out)!r})", *METHODS):
        moved = transplant(loaded.model, loaded.processor, new, method)
        say(f"{method}: {bits_per_byte(moved.model, moved.tokenizer, held).per_byte:.3f}")


if __name__ == "__main__":
    main()
