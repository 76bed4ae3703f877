"""Pre-train pairs of small models that differ in the tokenizer alone, and hold them together.

One twin reads WordPiece as it was learned from the text. The other's vocabulary begins with the
morphemes of 320 medical words, so that these words are cut where their parts meet; the rest of
it is learned, and it has as many tokens. Both are BERTs of the same size, trained from the same
seeds on the same passages in the same order, with whole words masked. Three figures are taken on
passages that neither has seen:

- words: of the words that were masked, how many come back with all their pieces;
- medical: the same of words with one of the medical words' longer morphemes, each masked alone;
- article: which article a passage is from, by a linear probe on its mean state.

They are called equivalent where the 90 % interval of the difference over the seeds (Student's t)
lies within five points, the test of equivalence at 5 %.

Run from the repository root; the text is `pubmed.md` of the chunking evaluation
(https://github.com/brandonstarxel/chunking_evaluation, MIT), 15 articles. About 20 minutes on one
core:

    python recipes/biomedical_twins.py pubmed.md
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertForMaskedLM

from tokenry.method import Vocab
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import BiomedicalMorphemes
from tokenry.vocab.medical_words import WORDS

SPECIAL = ["[PAD]", "[UNK]", "[MASK]"]
PAD, MASK = SPECIAL.index("[PAD]"), SPECIAL.index("[MASK]")
SIZE, LENGTH, LAYERS = 4000, 112, 2
MASKED, BATCH = 0.15, 32
MARGIN = 5.0


@dataclass
class Twin:
    """A tokenizer with the passages as it writes them.

    Attributes:
        vocab: What the judge of morphemes reads.
        passages: For each passage the ids of each word.
    """

    vocab: Vocab
    passages: list[list[list[int]]]
    size: int


def passages(path: Path, words: int = 40) -> tuple[list[list[str]], list[int]]:
    """Words of passages, and which article each is from."""
    articles = re.split(r"^pmid:", path.read_text(encoding="utf-8").lower(), flags=re.MULTILINE)
    found, owners = [], []
    for number, article in enumerate(articles[1:]):
        parts = re.findall(r"[a-z]+|[0-9]+|[^\sa-z0-9]", article)
        for start in range(0, len(parts) - words, words):
            found.append(parts[start : start + words])
            owners.append(number)
    return found, owners


def word_piece(texts: list[list[str]], morphemes: bool) -> Tokenizer:
    """WordPiece of `SIZE` tokens, learned from texts; with morphemes, they come first."""
    made = blank(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - no password
    trainer = trainers.WordPieceTrainer(
        vocab_size=SIZE, special_tokens=SPECIAL, show_progress=False
    )
    made.train_from_iterator((" ".join(text) for text in texts), trainer)
    if not morphemes:
        return made
    learned = sorted(made.get_vocab(), key=made.token_to_id)
    letters = [one for one in learned if len(one.removeprefix("##")) == 1]
    parts = sorted({piece for word in WORDS for piece in word})
    forms = [form for part in parts for form in (part, f"##{part}")]
    medical = {"".join(word) for word in WORDS}
    first = list(dict.fromkeys([*SPECIAL, *letters, *forms]))
    rest = [one for one in learned if one not in set(first) and one not in medical]
    names = (first + rest)[:SIZE]
    table = {name: number for number, name in enumerate(names)}
    return blank(models.WordPiece(table, unk_token="[UNK]"))  # noqa: S106


def blank(model: Any) -> Tokenizer:
    """A tokenizer over small letters and words."""
    made = Tokenizer(model)
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.WordPiece()
    return made


def twin(texts: list[list[str]], train: list[int], morphemes: bool) -> Twin:
    """One of the two."""
    made = word_piece([texts[i] for i in train], morphemes)
    every = sorted({word for text in texts for word in text})
    codes = {word: made.encode(word).ids for word in every}
    written = [[codes[word] for word in text] for text in texts]
    return Twin(vocabulary(made), written, made.get_vocab_size())


def batch(passages: list[list[list[int]]], hide: list[set[int]]) -> tuple[Tensor, Tensor]:
    """Token ids with the hidden words masked, and the true ids where they were."""
    ids = torch.full((len(passages), LENGTH), PAD)
    labels = torch.full((len(passages), LENGTH), -100)
    longest = 0
    for row, (passage, hidden) in enumerate(zip(passages, hide, strict=True)):
        at = 0
        for place, word in enumerate(passage):
            ids[row, at : at + len(word)] = MASK if place in hidden else torch.tensor(word)
            if place in hidden:
                labels[row, at : at + len(word)] = torch.tensor(word)
            at += len(word)
        longest = max(longest, at)
    return ids[:, :longest], labels[:, :longest]


def scores(model: BertForMaskedLM, ids: Tensor, labels: Tensor) -> Tensor:
    """Scores of all tokens where words were masked, and nowhere else."""
    states = model.bert(ids, attention_mask=(ids != PAD).long()).last_hidden_state
    made: Tensor = model.cls(states[labels >= 0])
    return made


def hidden(count: int, draw: random.Random) -> set[int]:
    """The words of a passage that are masked; the same for both twins."""
    return set(draw.sample(range(count), max(1, round(MASKED * count))))


def train(
    one: Twin, rows: list[int], steps: int, seed: int, width: int, rate: float
) -> BertForMaskedLM:
    """A small BERT, trained from a seed."""
    torch.manual_seed(seed)
    draw = random.Random(seed)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=one.size,
            hidden_size=width,
            num_hidden_layers=LAYERS,
            num_attention_heads=4,
            intermediate_size=4 * width,
            max_position_embeddings=LENGTH,
        )
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min((step + 1) / (0.1 * steps), (steps - step) / (0.9 * steps))
        chosen = [one.passages[i] for i in draw.sample(rows, BATCH)]
        ids, labels = batch(chosen, [hidden(len(text), draw) for text in chosen])
        loss = cross_entropy(scores(model, ids, labels), labels[labels >= 0])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 200 == 0:
            print(f"    step {step}: loss {loss.item():.2f}", file=sys.stderr, flush=True)
    return model.eval()


@torch.no_grad()
def foreseen(model: BertForMaskedLM, one: Twin, cases: list[tuple[int, set[int]]]) -> float:
    """Of the words that are masked in passages, how many come back whole, in per cent."""
    right = count = 0
    for start in range(0, len(cases), BATCH):
        part = cases[start : start + BATCH]
        ids, labels = batch([one.passages[i] for i, _ in part], [hide for _, hide in part])
        best = scores(model, ids, labels).argmax(-1)
        same = iter((best == labels[labels >= 0]).tolist())
        for number, hide in part:
            for place in sorted(hide):
                hits = [next(same) for _ in one.passages[number][place]]
                right += all(hits)
                count += 1
    return 100 * right / count


@torch.no_grad()
def articles(
    model: BertForMaskedLM, one: Twin, owners: list[int], train: list[int], test: list[int]
) -> float:
    """Share of unseen passages whose article a linear probe names."""

    def states(rows: list[int]) -> np.ndarray:
        found = []
        for start in range(0, len(rows), BATCH):
            part = [one.passages[i] for i in rows[start : start + BATCH]]
            ids, _ = batch(part, [set() for _ in part])
            real = ids != PAD
            made = model.bert(ids, attention_mask=real.long()).last_hidden_state
            found.append((made * real[..., None]).sum(1) / real.sum(1, keepdim=True))
        return torch.cat(found).numpy()

    probe = LogisticRegression(max_iter=500).fit(states(train), [owners[i] for i in train])
    return 100 * float(probe.score(states(test), [owners[i] for i in test]))


def interval(differences: list[float]) -> tuple[float, float, float]:
    """Mean and the ends of the 90 % interval of differences over seeds."""
    mean = statistics.mean(differences)
    error = statistics.stdev(differences) / len(differences) ** 0.5
    reach = float(stats.t.ppf(0.95, len(differences) - 1)) * error
    return mean, mean - reach, mean + reach


def main() -> None:
    """Train all pairs and print what sets them apart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-3)
    arguments = parser.parse_args()
    texts, owners = passages(arguments.text)
    rows = random.Random(0).sample(range(len(texts)), len(texts))
    test, rest = rows[: len(rows) // 5], rows[len(rows) // 5 :]
    long = {piece for word in WORDS for piece in word if len(piece) > 4}
    medical = {word for text in texts for word in text if any(piece in word for piece in long)}
    draw = random.Random(0)
    cases = {
        "words": [(i, hidden(len(texts[i]), draw)) for i in test],
        "medical": [(i, {k}) for i in test for k, word in enumerate(texts[i]) if word in medical],
    }
    print({kind: sum(len(hide) for _, hide in some) for kind, some in cases.items()})
    twins = {name: twin(texts, rest, name == "morphemes") for name in ("learned", "morphemes")}
    for name, one in twins.items():
        f = BiomedicalMorphemes().judge(one.vocab).figures["F"].value
        pieces = sum(len(word) for text in one.passages for word in text)
        print(f"{name}: {one.size} tokens, F of morphemes {f:.1f} %, {pieces} tokens of text")
    found: dict[str, dict[str, list[float]]] = {name: {} for name in twins}
    for seed in range(arguments.seeds):
        for name, one in twins.items():
            start = time.perf_counter()
            model = train(one, rest, arguments.steps, seed, arguments.width, arguments.rate)
            figures = {kind: foreseen(model, one, some) for kind, some in cases.items()}
            figures["article"] = articles(model, one, owners, rest, test)
            shown = ", ".join(f"{kind} {value:.2f}" for kind, value in figures.items())
            spent = time.perf_counter() - start
            print(f"seed {seed}, {name}: {shown} ({spent:.0f} s)", flush=True)
            for kind, value in figures.items():
                found[name].setdefault(kind, []).append(value)
    for kind in found["learned"]:
        pairs = zip(found["morphemes"][kind], found["learned"][kind], strict=True)
        mean, low, high = interval([new - old for new, old in pairs])
        same = "equivalent" if low > -MARGIN and high < MARGIN else "not shown to be equivalent"
        print(f"{kind}: {mean:+.2f} points ({low:+.2f} to {high:+.2f}), {same}")


if __name__ == "__main__":
    main()
