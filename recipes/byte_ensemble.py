"""Read a text by two models with different tokenizers as one, and compare with each alone.

One is ``zoo:smollm2-135m``, which has read much, and little of it German. The other is trained
here: two layers of width 128 over 2,048 byte-level BPE tokens of its own, which have read nothing
but German manual pages. Every tenth page is held out; from each of some of these a piece of 32
letters that stands in none of the other pages is read, behind the 300 letters before it.

Run from the repository root (about five minutes on one core):

    apt-get download manpages-de && dpkg-deb -x manpages-de_*.deb pages
    python recipes/manpage_texts.py pages/usr/share/man/de german
    python recipes/byte_ensemble.py german

It prints bits per byte of both models, of their average and of their product, and what the
ensembles gain over the better model, with the 95 % interval over pages.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tokenry import zoo
from tokenry.compare.probed import interval
from tokenry.plugs.byte_ensemble import ByteEnsemble
from tokenry.plugs.bytes import ByteLM

BATCH, WINDOW, RATE = 8, 160, 4e-3
BEFORE, READ = 300, 32


def tokenizer_of(texts: list[str], size: int = 2048) -> PreTrainedTokenizerFast:
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
    special = {"bos_token": "<s>", "eos_token": "<s>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, **special)


def trained(tokenizer: Any, texts: list[str], steps: int) -> LlamaForCausalLM:
    """A small model that has read the texts."""
    size = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 2}
    config = LlamaConfig(
        vocab_size=len(tokenizer), num_attention_heads=4, bos_token_id=0, eos_token_id=0, **size
    )
    model = LlamaForCausalLM(config)
    ids = torch.tensor([i for text in tokenizer(texts)["input_ids"] for i in (0, *text)])
    optimizer = torch.optim.AdamW(model.parameters(), RATE, (0.9, 0.98))
    for step in range(steps):
        rate = RATE * min(1, (step + 1) / 50) * math.cos(step / steps * math.pi / 2) ** 2
        optimizer.param_groups[0]["lr"] = rate
        rows = [ids[i : i + WINDOW] for i in torch.randint(len(ids) - WINDOW, (BATCH,))]
        batch = torch.cat([torch.zeros(BATCH, 1, dtype=torch.long), torch.stack(rows)], 1)
        loss = model(batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 100 == 0:
            say(f"step {step + 1}: loss {loss.item():.3f}")
    return model.eval()


def pieces(texts: list[str], count: int, known: str) -> list[tuple[bytes, bytes]]:
    """From each of some texts what comes before, and the bytes that are read."""
    draw, found = random.Random(0), []
    for text in texts[:: len(texts) // count][:count]:
        read = known
        while read in known:  # notes on the translation stand on every page
            start = draw.randrange(len(text) - BEFORE - READ)
            read = text[start + BEFORE :][:READ]
        found.append((text[start : start + BEFORE].encode(), read.encode()))
    return found


def bits(readers: list[Any], before: bytes, read: bytes) -> np.ndarray:
    """Bits per byte of one piece, for each reader."""
    spent = np.zeros(len(readers))
    for i, byte in enumerate(read):
        spent -= [float(reader.next(before + read[:i])[byte]) for reader in readers]
    return spent / len(read) / math.log(2)


def say(line: str) -> None:
    """One line of progress."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Train the small model and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("texts", type=Path, help="folder of texts, from recipes/manpage_texts.py")
    parser.add_argument("--steps", type=int, default=600, help="of training; 20 for a trial")
    parser.add_argument("--pages", type=int, default=20, help="held-out pages that are read")
    args = parser.parse_args()
    torch.manual_seed(0)
    texts = [path.read_text(encoding="utf-8") for path in sorted(args.texts.glob("*.txt"))]
    known = [text for i, text in enumerate(texts) if i % 10]
    tokenizer = tokenizer_of(known)
    model = trained(tokenizer, known, args.steps)
    large = zoo.load("zoo:smollm2-135m")
    members = [ByteLM(large.model, large.processor), ByteLM(model, tokenizer)]
    ways = {"SmolLM2": members[0], "small": members[1]}
    ways |= {rule: ByteEnsemble(members, rule) for rule in ("average", "product")}
    held = pieces(texts[::10], args.pages, "\n".join(known))
    found = np.empty((len(held), len(ways)))
    for i, piece in enumerate(held):
        found[i] = bits(list(ways.values()), *piece)
        means = zip(ways, found[: i + 1].mean(0), strict=True)
        say(f"{i + 1} pages: " + ", ".join(f"{name} {mean:.3f}" for name, mean in means))
    best = int(found[:, :2].mean(0).argmin())
    for column, rule in ((2, "average"), (3, "product")):
        gain = interval(found[:, best] - found[:, column], "mean", 0)
        share = gain.value / found[:, best].mean()
        say(f"{rule}: {gain.value:.3f} bits [{gain.low:.3f}, {gain.high:.3f}], {share:.1%}")


if __name__ == "__main__":
    main()
