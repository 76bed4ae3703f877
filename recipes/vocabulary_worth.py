r"""What vocabularies are worth to models that read with them, and whether other figures say so.

Vocabularies are learned from seven texts in eight of a folder: byte pair encoding of several sizes,
its rivals of one size, and byte pair encoding learned from another language. For comparison stand
words, the most frequent ones as tokens and the others by bytes. On the passages of the last texts,
which nothing has seen, each is asked for

- bytes of a token;
- trigrams: bits per byte of counts of runs of up to three tokens (Witten and Bell 1991, method C);
- model: bits per byte of a small Llama, trained on the same passages in the same order;
- words and pure: percentages of the tokens that are written, with a lexicon and morphemes.

At the end stands how well each figure goes with the bits of trigrams and of the model over the
vocabularies, words left out (Pearson). Less-is-Better has its place here, too: what language models
need over its units, over byte pairs and over words.

Texts are made by `recipes/manpage_texts.py`, lists by `recipes/turkish_words.py`. Five minutes of a
core:

    python recipes/vocabulary_worth.py texts/tr --foreign texts/en \
        --lexicon turkish/words.txt --morphemes turkish/morphemes.txt --language tr
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from scipy.stats import pearsonr
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from tokenry import catalog
from tokenry.method import END
from tokenry.plugs.usage import usage
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import TokenPurity

PASSAGE, BATCH, RATE, IGNORED = 256, 16, 4e-3, -100
RIVALS = ("unigram", "wordpiece", "less-is-better")
ORDER = 2


@dataclass
class Writer:
    """A vocabulary.

    Attributes:
        size: Its tokens; the first one stands in front of each passage.
        write: The tokens of a text.
        tokenizer: None for words.
    """

    name: str
    size: int
    write: Callable[[str], list[int]]
    tokenizer: Any = None
    figures: dict[str, float] = field(default_factory=dict)


def read(folder: Path, most: int) -> list[str]:
    """The texts of a folder, so many bytes of them at most."""
    texts, size = [], 0
    for path in sorted(folder.glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        size += len(text.encode())
        if size > most:
            break
        texts.append(text)
    return texts


def passages(texts: list[str]) -> list[str]:
    """Neighbouring lines of a text, some `PASSAGE` bytes of them."""
    found, held = [], ""
    for text in texts:
        for line in text.splitlines(keepends=True):
            held += line
            if len(held.encode()) >= PASSAGE:
                found.append(held[: 4 * PASSAGE])
                held = ""
        held = ""
    return found


def learned(name: str, size: int, texts: list[str], label: str = "") -> Writer:
    """A vocabulary that a trainer of the catalogue learns."""
    rule: Any = catalog.make(name, size=size)
    made = rule.train(texts)
    if made.token_to_id(END) != 0:
        raise SystemExit(f"{name} does not begin with {END}")
    many = made.get_vocab_size()
    return Writer(f"{label or name} {many}", many, lambda text: made.encode(text).ids, made)


def by_words(size: int, texts: list[str]) -> Writer:
    """Words as byte pair encoding splits them, the most frequent as tokens, others by bytes."""
    split: Any = catalog.make("bpe", size=257)
    cutter = split.train(["-"]).pre_tokenizer

    def cut(text: str) -> Iterator[bytes]:
        return (text[a:b].encode() for _, (a, b) in cutter.pre_tokenize_str(text))

    often = Counter(word for text in texts for word in cut(text) if len(word) > 1)
    known = {word: 257 + at for at, (word, _) in enumerate(often.most_common(size - 257))}

    def write(text: str) -> list[int]:
        return [t for w in cut(text) for t in ([known[w]] if w in known else [1 + b for b in w])]

    return Writer(f"words {size}", size, write)


def trigrams(train: list[list[int]], held: list[list[int]], size: int) -> float:
    """Bits of the held-out passages, by counts of the others."""
    counts: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for row in train:
        for at in range(1, len(row)):
            for length in range(min(ORDER, at) + 1):
                counts[tuple(row[at - length : at])][row[at]] += 1
    totals = {before: after.total() for before, after in counts.items()}
    spent = 0.0
    for row in held:
        for at in range(1, len(row)):
            chance = 1 / size
            for length in range(min(ORDER, at) + 1):
                before = tuple(row[at - length : at])
                if before not in totals:
                    break
                after, kinds = counts[before], len(counts[before])
                chance = (after[row[at]] + kinds * chance) / (totals[before] + kinds)
            spent -= math.log2(chance)
    return spent


def batch(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Token ids of passages, and what is to be foreseen."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    labels = torch.tensor([row[1:] + [IGNORED] * (longest - len(row)) for row in rows])
    return ids, labels


def losses(model: LlamaForCausalLM, rows: list[list[int]]) -> Tensor:
    """Nats of each token but the first."""
    ids, labels = batch(rows)
    scores = model(ids).logits[:, :-1]
    nats = cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="none")
    return nats[labels.flatten() != IGNORED]


def model_bits(train: list[list[int]], held: list[list[int]], size: int, steps: int) -> float:
    """Bits of the held-out passages, by a model trained on the others."""
    torch.manual_seed(0)
    draw = random.Random(0)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=192,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min((step + 1) / 30, 1 - step / steps)
        loss = losses(model, [train[i] for i in draw.sample(range(len(train)), BATCH)]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        parts = [losses(model, held[i : i + BATCH]).sum() for i in range(0, len(held), BATCH)]
    return float(sum(parts)) / math.log(2)


def measure(one: Writer, train: list[str], held: list[str], steps: int) -> None:
    """What a vocabulary is worth."""
    size = sum(len(text.encode()) for text in held)
    rows, tests = ([[0, *one.write(text)] for text in part] for part in (train, held))
    one.figures |= {
        "bytes": size / (sum(map(len, tests)) - len(tests)),
        "trigrams": trigrams(rows, tests, one.size) / size,
        "model": model_bits(rows, tests, one.size, steps) / size,
    }


def purity(one: Writer, held: list[str], judge: TokenPurity) -> None:
    """Percentages of words and morphemes."""
    vocab = vocabulary(one.tokenizer)
    found = judge.judge(vocab, usage([vocab], {judge.language: held})[0]).figures
    one.figures |= {name: found[name].value for name in ("words", "pure")}


def correlations(found: list[Writer]) -> None:
    """Print how well figures go with bits, fewer bits being better."""
    told = {name: [one.figures[name] for one in found] for name in ("words", "pure", "bytes")}
    told["tokens"] = [math.log(one.size) for one in found]
    for kind in ("trigrams", "model"):
        better = [-one.figures[kind] for one in found]
        for name, values in told.items():
            result = pearsonr(values, better)
            low, high = result.confidence_interval()
            said = f"r = {result.statistic:+.2f} ({low:+.2f} to {high:+.2f})"
            sys.stdout.write(f"{len(found)} vocabularies, {name} with {kind}: {said}\n")


def main() -> None:
    """Print a line for each vocabulary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("texts", type=Path, help="folder of texts")
    parser.add_argument("--foreign", type=Path, help="folder of texts of another language")
    parser.add_argument("--lexicon", type=Path)
    parser.add_argument("--morphemes", type=Path)
    parser.add_argument("--language", default="tr")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 2000], help="of BPE, too")
    parser.add_argument("--size", type=int, default=4000, help="of all")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--most", type=int, default=1_500_000, help="bytes that are read")
    given = parser.parse_args()
    texts = read(given.texts, given.most)
    train, held = [t for i, t in enumerate(texts) if i % 8], texts[::8]
    parts, tests = passages(train), passages(held)
    writers = [learned("bpe", size, train) for size in (*given.sizes, given.size)]
    writers += [learned(name, given.size, train) for name in RIVALS]
    if given.foreign:
        foreign = read(given.foreign, sum(len(text.encode()) for text in train))
        writers.append(learned("bpe", given.size, foreign, "foreign bpe"))
    judge = None
    if given.lexicon and given.morphemes:
        lists = (p.read_text("utf-8").split("\n") for p in (given.lexicon, given.morphemes))
        words, morphemes = map(tuple, lists)
        judge = TokenPurity(lexicon=words, morphemes=morphemes, language=given.language)
    for one in (*writers, by_words(given.size, train)):
        measure(one, parts, tests, given.steps)
        if judge and one.tokenizer:
            purity(one, tests, judge)
        shown = ", ".join(f"{name} {value:.3f}" for name, value in one.figures.items())
        sys.stdout.write(f"{one.name}: {shown}\n")
        sys.stdout.flush()
    if judge:
        correlations(writers)
        own = [one for one in writers if not one.name.startswith("foreign")]
        if len(own) < len(writers):
            correlations(own)


if __name__ == "__main__":
    main()
