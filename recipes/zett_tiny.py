"""Train the small pair that the tests of ZeTT read: a language model, and its hypernetwork.

The model is a Llama of two layers and width 96 over 1,024 byte-level BPE tokens. It reads manual
pages and Python's library; some pages and some files are held out. The hypernetwork then learns to
predict its rows for tokenizers drawn at random from the same text.

Run from the repository root (about nine minutes on one core):

    python recipes/zett_tiny.py
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tokenry.data.manpages import FOLDER
from tokenry.plugs.hypernet import HypernetTraining, save_hypernetwork, train_hypernetwork

OUT = Path(__file__).parents[1] / "tests" / "vocab" / "tiny_zett"
HELD = ("bisect", "heapq", "shlex", "textwrap")
HELD_PAGES = 8


def sources() -> list[str]:
    """Manual pages and files of the library that are not held out."""
    pages = (FOLDER / "manpages.jsonl").read_text("utf-8").splitlines()
    library = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(path for path in library.glob("*.py") if path.stem not in HELD)
    return [
        *(json.loads(page)["text"] for page in pages[HELD_PAGES:]),
        *(path.read_text("utf-8", "ignore") for path in files),
    ]


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


def language_model(tokenizer: Any, texts: list[str], seconds: float) -> LlamaForCausalLM:
    """A small model that has read the texts for so long."""
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=96,
            intermediate_size=288,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=2048,
            tie_word_embeddings=False,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    ids = torch.tensor([i for text in tokenizer(texts)["input_ids"] for i in (0, *text)])
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, (0.9, 0.98))
    start, step = time.monotonic(), 0
    while (spent := (time.monotonic() - start) / seconds) < 1:
        rate = 3e-3 * min(1, (step + 1) / 20) * math.cos(spent * math.pi / 2) ** 2
        optimizer.param_groups[0]["lr"] = rate
        rows = [ids[i : i + 127] for i in torch.randint(len(ids) - 127, (16,))]
        batch = torch.cat([torch.zeros(16, 1, dtype=torch.long), torch.stack(rows)], 1)
        loss = model(batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 100 == 0:
            say(f"model, step {step}: loss {loss.item():.3f}")
    return model.eval()


def say(line: str) -> None:
    """One line of progress."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Train both and write them in half precision."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="of all times; 0.02 for a trial")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    torch.manual_seed(0)
    texts = sources()
    tokenizer = tokenizer_of(texts, 1024)
    model = language_model(tokenizer, texts, 180 * args.scale)
    training = HypernetTraining(
        hidden=192,
        heads=4,
        layers=2,
        vocabulary=1024,
        memory=4,
        batch=16,
        length=96,
        identity_tokens=1024,
        identity_steps=10_000,
        steps=10_000,
        warmup=20,
        rates=(1e-3, 1e-3),
        clip=1.0,
        seconds=(100 * args.scale, 240 * args.scale),
    )

    def watch(phase: str, step: int, loss: float) -> None:
        if step % 50 == 0:
            say(f"{phase}, step {step}: loss {loss:.4f}")

    net = train_hypernetwork(model, tokenizer, texts, training, watch=watch)
    tokenizer.save_pretrained(args.out / "model")
    model.half().save_pretrained(args.out / "model")
    save_hypernetwork(net.half(), args.out / "hypernetwork")


if __name__ == "__main__":
    main()
