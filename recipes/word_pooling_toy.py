"""Train a small model over words, and one over bytes, and compare the words that they foresee.

Both are Llamas of the same width with the same number of layers, trained from the same seed on the
same rows of manual pages in the same order. The first pools the bytes of each word, reads words,
and spells the next one; the second reads and writes bytes. On pages that neither has seen, a word
counts as foreseen if every byte of it is the first choice, and then its end.

Run from the repository root (about three minutes on one core):

    python recipes/word_pooling_toy.py
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

import tokenry.data
from tokenry.plugs.pooling import UNITS, PooledModel
from tokenry.plugs.word_batches import END, WordCollator
from tokenry.vocab import WordPooling

METHOD = WordPooling(prefix=2, longest=12)
ROW, BATCH = 512, 4
RARE = 3

Row = list[bytes]


def rows() -> tuple[list[Row], list[Row]]:
    """The words of manual pages in rows of about `ROW` bytes: of seven pages in eight, and rest."""
    texts = dict.fromkeys(example.text for example in tokenry.data.load_text("manpages").examples)
    parts: tuple[list[Row], list[Row]] = ([], [])
    for number, text in enumerate(texts):
        row, size = [], 0
        for word in METHOD.words(text.encode()):
            row.append(word)
            size += len(word)
            if size >= ROW:
                parts[number % 8 == 7].append(row)
                row, size = [], 0
    return parts


def config(layers: int, width: int) -> LlamaConfig:
    """A small Llama over bytes."""
    return LlamaConfig(
        vocab_size=UNITS,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=2 * ROW,
        bos_token_id=END,
        eos_token_id=END,
    )


def word_model(layers: int, width: int, seed: int) -> PooledModel:
    """A model over words with this many layers in all."""
    torch.manual_seed(seed)
    inner = layers - METHOD.encoder_layers - METHOD.decoder_layers
    return PooledModel.over(LlamaForCausalLM(config(inner, width)), METHOD)


def byte_model(layers: int, width: int, seed: int) -> LlamaForCausalLM:
    """A model over bytes."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(config(layers, width))


def as_words(batch: list[Row]) -> dict[str, Tensor]:
    """Rows as the model over words reads them."""
    return WordCollator(METHOD)([b"".join(row) for row in batch])


def as_bytes(batch: list[Row]) -> dict[str, Tensor]:
    """Rows as the model over bytes reads them, `END` in front."""
    texts = [b"".join(row) for row in batch]
    width = 1 + max(map(len, texts))
    ids = torch.full((len(texts), width), END)
    labels = torch.full((len(texts), width), -100)
    for i, text in enumerate(texts):
        ids[i, 1 : len(text) + 1] = labels[i, 1 : len(text) + 1] = torch.tensor([*text])
    return {"input_ids": ids, "labels": labels}


def train(
    model: Any, read: Callable[[list[Row]], Any], data: list[Row], steps: int, seed: int = 0
) -> float:
    """Train a model on rows drawn in the order that the seed says; returns the seconds."""
    draw = random.Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    start = time.perf_counter()
    model.train()
    for step in range(steps):
        loss = model(**read(draw.sample(data, BATCH))).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        plan.step()
        if step % 50 == 49:
            seconds = time.perf_counter() - start
            sys.stdout.write(f"step {step + 1}: loss {loss.item():.3f}, {seconds:.0f} s\n")
            sys.stdout.flush()
    model.eval()
    return time.perf_counter() - start


@torch.no_grad()
def words_right(model: PooledModel, data: list[Row]) -> tuple[list[bool], float]:
    """Which words the model over words foresees, and its bits per byte, ends of words included."""
    right, nats = [], 0.0
    for start in range(0, len(data), 16):
        batch = as_words(data[start : start + 16])
        logits, labels = model(**batch).logits, batch["labels"][:, 1:]
        nats += float(cross_entropy(logits.flatten(0, 2), labels.flatten(), reduction="sum"))
        found = ((logits.argmax(-1) == labels) | (labels == -100)).all(-1)
        right += found[batch["attention_mask"][:, 1:] == 1].tolist()
    return right, nats / math.log(2) / sum(len(word) for row in data for word in row)


@torch.no_grad()
def bytes_right(model: LlamaForCausalLM, data: list[Row]) -> tuple[list[bool], float]:
    """The same of the model over bytes; a word's end is any byte that begins a new one."""
    right, nats = [], 0.0
    for start in range(0, len(data), 16):
        part = data[start : start + 16]
        batch = as_bytes(part)
        logits = model(batch["input_ids"]).logits
        nats += float(
            cross_entropy(
                logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), reduction="sum"
            )
        )
        for row, guess in zip(part, logits.argmax(-1).tolist(), strict=True):
            place = 0
            for word in row:
                end = guess[place + len(word)]
                ended = end == END or len(METHOD.words(word + bytes([end]))) > 1
                right.append(guess[place : place + len(word)] == [*word] and ended)
                place += len(word)
    return right, nats / math.log(2) / sum(len(word) for row in data for word in row)


def groups(train_rows: list[Row], test_rows: list[Row]) -> dict[str, list[int]]:
    """Which words of the test are of which kind; white space is none."""
    seen = Counter(word for row in train_rows for word in row)
    flat = [word for row in test_rows for word in row]
    shown = [i for i, word in enumerate(flat) if word.strip()]
    return {
        "all words": shown,
        f"seen at most {RARE} times": [i for i in shown if seen[flat[i]] <= RARE],
        "never seen": [i for i in shown if not seen[flat[i]]],
    }


def main() -> None:
    """Train both models and print what they foresee."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=64)
    args = parser.parse_args()
    say = sys.stdout.write
    data, held = rows()
    size = (args.layers, args.width, args.seed)
    found = {}
    for name, model, read, judge in (
        ("words", word_model(*size), as_words, words_right),
        ("bytes", byte_model(*size), as_bytes, bytes_right),
    ):
        seconds = train(model, read, data, args.steps, args.seed)
        found[name], bits = judge(model, held)
        count = sum(p.numel() for p in model.parameters())
        say(f"{name}: {count:,} parameters, {seconds:.0f} s, {bits:.3f} bits per byte\n")
    for name, some in groups(data, held).items():
        words, by_bytes = (sum(found[kind][i] for i in some) for kind in ("words", "bytes"))
        say(f"{name}: {words} of {len(some)} by words, {by_bytes} by bytes\n")


if __name__ == "__main__":
    main()
