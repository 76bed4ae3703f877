"""Train the two small models whose memory for lists of nouns the tests measure.

Each text is two lists of ten nouns, and the second repeats the first, permutes it or has nothing
to do with it. A transformer of two layers and a GRU of its size read the same texts in the same
order. Their words are those of the probe. Both are kept in half precision.

Run from the repository root (about two minutes on one core):

    python recipes/verbatim_toy.py
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tokenry.probes import VerbatimMemory
from tokenry.probes.stimuli import base_lists

PROBE = VerbatimMemory(context="short", lengths=(10,))
STEPS, BATCH, WIDTH, RATE = 1100, 48, 64, 4e-3
OUT = Path(__file__).parents[1] / "tests" / "probes" / "tiny_verbatim"


class Recurrent(nn.Module):
    """A two-layer GRU language model."""

    def __init__(self, vocabulary: int, hidden: int = 72) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, WIDTH)
        self.core = nn.GRU(WIDTH, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, vocabulary)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Any:
        """Logits, as transformers returns them."""
        return SimpleNamespace(logits=self.head(self.core(self.embed(input_ids))[0]))


def tokenizer() -> PreTrainedTokenizerFast:
    """One token for each word of the probe; commas are skipped."""
    text = " ".join(item.text for item in PROBE.items())
    for mark in ".:,":
        text = text.replace(mark, f" {mark if mark != ',' else ''} ")
    vocabulary = {word: i for i, word in enumerate(sorted(set(text.split())))}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="."))  # noqa: S106
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(",", "removed"),
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation(),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner)


def transformer(vocabulary: int) -> LlamaForCausalLM:
    """The transformer before training."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            initializer_range=0.1,
        )
    )


def recurrent(vocabulary: int) -> Recurrent:
    """The GRU before training."""
    torch.manual_seed(0)
    return Recurrent(vocabulary)


def batches(words: PreTrainedTokenizerFast, steps: int, seed: int = 0) -> Iterator[Any]:
    """Two lists of ten nouns after random words: repeated, permuted, or unrelated."""
    rng = random.Random(seed)
    ids = words.get_vocab()
    nouns = [ids[noun] for nouns in base_lists("semantic") for noun in nouns]
    counted = set(nouns)
    others = sorted(set(ids.values()) - counted)
    for _ in range(steps):
        rows, targets = [], []
        for _ in range(BATCH):
            first, kind = rng.sample(nouns, 10), rng.random()
            second = first if kind < 0.4 else rng.sample(first if kind < 0.6 else nouns, 10)
            row = []
            for part in (first, second):
                row += [*rng.choices(others, k=rng.randint(1, 4)), ids[":"], *part, ids["."]]
            row += [ids["."]] * (32 - len(row))
            rows.append(row)
            targets.append([token if token in counted else -100 for token in row])
        yield torch.tensor(rows), torch.tensor(targets)


def loss_of(model: Any, rows: Tensor, targets: Tensor) -> Tensor:
    """Mean loss of the nouns."""
    logits = model(input_ids=rows).logits[:, :-1]
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten())


def train(model: Any, words: PreTrainedTokenizerFast, steps: int = STEPS) -> Any:
    """The model after so many batches."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.1)
    for step, (rows, targets) in enumerate(batches(words, steps)):
        loss = loss_of(model, rows, targets)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            sys.stdout.write(f"step {step + 1}: loss {loss.item():.3f}\n")
            sys.stdout.flush()
    return model.eval()


def shipped(out: Path = OUT) -> tuple[PreTrainedTokenizerFast, LlamaForCausalLM, Recurrent]:
    """The tokenizer, the transformer and the GRU as they were written."""
    words = PreTrainedTokenizerFast.from_pretrained(out / "transformer")
    gru = recurrent(len(words))
    gru.load_state_dict({k: w.float() for k, w in load_file(out / "gru.safetensors").items()})
    model = LlamaForCausalLM.from_pretrained(out / "transformer", dtype=torch.float32)
    return words, model.eval(), gru.eval()


def main() -> None:
    """Train both and write them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    words = tokenizer()
    words.save_pretrained(args.out / "transformer")
    model = train(transformer(len(words)), words, args.steps)
    model.half().save_pretrained(args.out / "transformer")
    gru = train(recurrent(len(words)), words, args.steps)
    save_file(gru.half().state_dict(), args.out / "gru.safetensors")


if __name__ == "__main__":
    main()
