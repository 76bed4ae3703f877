"""Pre-train pairs of small models that differ in the tokenizer alone, and hold them together.

One twin reads WordPiece as it was learned from the text. The other's vocabulary begins with the
morphemes of 320 medical words, so that these words are cut where their parts meet; the rest of
it is learned, and it has as many tokens. Both are causal models of the same size, trained from the
same seeds on the same passages in the same order. (The paper's are BERTs. In the minutes of a core
that this takes, masked models learn no more than how frequent each token is, and then nothing sets
twins apart; causal ones have a label at every place.) Three figures are taken on passages that
neither has seen:

- bits: per byte of the text;
- medical: the same of words with one of the medical words' longer morphemes alone;
- article: which of 15 articles a passage is from, by a linear probe on its mean state.

They are called equivalent where the 90 % interval of the difference over the seeds (Student's t)
lies within 5 % of the bits, or five points: the test of equivalence at 5 %.

Run from the repository root; the text is `pubmed.md` of the chunking evaluation
(https://github.com/brandonstarxel/chunking_evaluation, MIT). About ten minutes on one core:

    python recipes/biomedical_twins.py pubmed.md
"""

from __future__ import annotations

import argparse
import math
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
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from tokenry.method import Vocab
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import BiomedicalMorphemes
from tokenry.vocab.medical_words import WORDS

SPECIAL = ["[PAD]", "[UNK]", "[CLS]"]
PAD, BEGIN = SPECIAL.index("[PAD]"), SPECIAL.index("[CLS]")
SIZE, WIDTH, LAYERS = 4000, 96, 2
RATE, BATCH, IGNORED = 4e-3, 16, -100
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


def batch(passages: list[list[list[int]]]) -> Tensor:
    """Token ids of passages."""
    rows = [[BEGIN, *(token for word in passage for token in word)] for passage in passages]
    longest = max(map(len, rows))
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


def losses(model: LlamaForCausalLM, ids: Tensor) -> Tensor:
    """Nats of each token but the first; 0 of padding."""
    scores = model(ids, attention_mask=(ids != PAD).long()).logits[:, :-1]
    labels = ids[:, 1:].masked_fill(ids[:, 1:] == PAD, IGNORED)
    return cross_entropy(scores.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")


def train(one: Twin, rows: list[int], steps: int, seed: int) -> LlamaForCausalLM:
    """A small model, trained from a seed."""
    torch.manual_seed(seed)
    draw = random.Random(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=one.size,
            hidden_size=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=4,
            intermediate_size=256,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            pad_token_id=PAD,
        )
    ).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min((step + 1) / 30, 1 - step / steps)
        ids = batch([one.passages[i] for i in draw.sample(rows, BATCH)])
        loss = losses(model, ids).sum() / (ids[:, 1:] != PAD).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            print(f"    step {step}: loss {loss.item():.2f}", file=sys.stderr, flush=True)
    return model.eval()


@torch.no_grad()
def bits(
    model: LlamaForCausalLM, one: Twin, texts: list[list[str]], rows: list[int], medical: set[str]
) -> dict[str, float]:
    """Bits per byte of passages, and of their medical words alone."""
    spent, size = {"bits": 0.0, "medical": 0.0}, {"bits": 0, "medical": 0}
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        found = losses(model, batch([one.passages[i] for i in part])) / math.log(2)
        for number, costs in zip(part, found.tolist(), strict=True):
            at = 0
            for word, tokens in zip(texts[number], one.passages[number], strict=True):
                cost = sum(costs[at : at + len(tokens)])
                at += len(tokens)
                for kind in ("bits", "medical") if word in medical else ("bits",):
                    spent[kind] += cost
                    size[kind] += len(word.encode()) + 1
    return {kind: spent[kind] / size[kind] for kind in spent}


@torch.no_grad()
def articles(
    model: LlamaForCausalLM, one: Twin, owners: list[int], train: list[int], test: list[int]
) -> float:
    """Share of unseen passages whose article a linear probe names."""

    def states(rows: list[int]) -> np.ndarray:
        found = []
        for start in range(0, len(rows), BATCH):
            ids = batch([one.passages[i] for i in rows[start : start + BATCH]])
            real = ids != PAD
            made = model.model(ids, attention_mask=real.long()).last_hidden_state
            found.append((made * real[..., None]).sum(1) / real.sum(1, keepdim=True))
        return torch.cat(found).numpy()

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, C=0.1))
    probe.fit(states(train), [owners[i] for i in train])
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
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=4)
    arguments = parser.parse_args()
    texts, owners = passages(arguments.text)
    rows = random.Random(0).sample(range(len(texts)), len(texts))
    test, rest = rows[: len(rows) // 5], rows[len(rows) // 5 :]
    long = {piece for word in WORDS for piece in word if len(piece) > 4}
    medical = {word for text in texts for word in text if any(piece in word for piece in long)}
    twins = {name: twin(texts, rest, name == "morphemes") for name in ("learned", "morphemes")}
    for name, one in twins.items():
        f = BiomedicalMorphemes().judge(one.vocab).figures["F"].value
        pieces = sum(len(word) for text in one.passages for word in text)
        print(f"{name}: {one.size} tokens, F of morphemes {f:.1f} %, {pieces} tokens of text")
    found: dict[str, dict[str, list[float]]] = {name: {} for name in twins}
    for seed in range(arguments.seeds):
        for name, one in twins.items():
            start = time.process_time()
            model = train(one, rest, arguments.steps, seed)
            figures = bits(model, one, texts, test, medical)
            figures["article"] = articles(model, one, owners, rest, test)
            shown = ", ".join(f"{kind} {value:.3f}" for kind, value in figures.items())
            spent = time.process_time() - start
            print(f"seed {seed}, {name}: {shown} ({spent:.0f} processor s)", flush=True)
            for kind, value in figures.items():
                found[name].setdefault(kind, []).append(value)
        if seed:
            compared(found)


def compared(found: dict[str, dict[str, list[float]]]) -> None:
    """Print what sets the twins apart over the seeds so far."""
    for kind, old in found["learned"].items():
        whole = 100.0 if kind == "article" else statistics.mean(old)  # points, or a share of bits
        new = found["morphemes"][kind]
        apart = [100 * (a - b) / whole for a, b in zip(new, old, strict=True)]
        mean, low, high = interval(apart)
        same = "equivalent" if low > -MARGIN and high < MARGIN else "not shown to be equivalent"
        print(
            f"{len(old)} seeds, {kind}: {mean:+.2f} % ({low:+.2f} to {high:+.2f}), {same}",
            flush=True,
        )


if __name__ == "__main__":
    main()
