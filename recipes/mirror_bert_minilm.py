"""Make a raw masked language model of MiniLM's lower layers, then tune it as Mirror-BERT does.

`zoo:minilm-l6` is a finished encoder, so it is undone first: its upper layers go, a new one takes
their place, and the rest is trained as a masked language model on package descriptions and news.
That is the raw model. It is tuned on raw strings, and both are measured on human judgements: pairs
of words (WordSim-353, SimLex-999) and of documents (Lee), which the package gensim carries.

Run from the repository root on a machine with apt (about eight minutes on one core):

    python recipes/mirror_bert_minilm.py
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gensim.test.utils import datapath
from scipy.stats import spearmanr
from transformers import BertForMaskedLM

import tokenry.zoo
from tokenry.plugs.text_encoder import text_encoder
from tokenry.plugs.tuning import Pair, tune
from tokenry.retrieval import MirrorBert

KEPT, NEW = 3, 1  # layers of MiniLM that stay, and fresh ones on top
Judged = dict[str, tuple[list[tuple[str, str]], list[float]]]


def descriptions() -> list[str]:
    """The short descriptions of all packages that apt knows, each once, in order."""
    found = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True)
    return [*dict.fromkeys(re.findall(r"^Description: (.+)$", found.stdout, re.MULTILINE))]


def news() -> list[str]:
    """The sentences of Lee's 300 background texts; none of the 50 that people judged."""
    text = Path(datapath("lee_background.cor")).read_text(encoding="utf-8")
    return [s for line in text.splitlines() for s in re.split(r"(?<=[.?!]) ", line) if len(s) > 20]


def frequent(texts: list[str], count: int) -> list[str]:
    """The words that stand most often in texts."""
    seen = Counter(word for text in texts for word in re.findall("[a-z]{2,}", text.lower()))
    return [word for word, _ in seen.most_common(count)]


def raw_model(seed: int) -> tuple[Any, Any]:
    """MiniLM's lower layers under a fresh one, with an untrained head; and its tokenizer."""
    loaded = tokenry.zoo.load("zoo:minilm-l6")
    torch.manual_seed(seed)
    config = loaded.model.config
    config.num_hidden_layers = KEPT + NEW
    config.architectures = ["BertForMaskedLM"]
    model: Any = BertForMaskedLM(config)
    own, theirs = model.bert, loaded.model
    own.embeddings.load_state_dict(theirs.embeddings.state_dict())
    for i in range(KEPT):
        own.encoder.layer[i].load_state_dict(theirs.encoder.layer[i].state_dict())
    return model, loaded.processor


def learn_language(
    model: Any, tokenizer: Any, texts: list[str], steps: int, seed: int, rate: float = 3e-4
) -> None:
    """Train as a masked language model: 15 % of the tokens, of which 80 % are masked."""
    draw, source = random.Random(seed), torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    model.train()
    start, recent = time.perf_counter(), []
    for step in range(steps):
        part = tokenizer(
            draw.sample(texts, 32), truncation=True, max_length=48, padding=True,
            return_tensors="pt", return_special_tokens_mask=True,
        )  # fmt: skip
        ids, luck = part["input_ids"], torch.rand(part["input_ids"].shape, generator=source)
        chosen = (luck < 0.15) & ~part["special_tokens_mask"].bool()
        masked = ids.where(~(chosen & (luck < 0.12)), torch.tensor(tokenizer.mask_token_id))
        rows = model.bert(masked, attention_mask=part["attention_mask"]).last_hidden_state
        loss = torch.nn.functional.cross_entropy(model.cls(rows[chosen]), ids[chosen])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        plan.step()
        recent.append(loss.item())
        if step % 100 == 99:
            say(f"step {step + 1}: {np.mean(recent[-100:]):.3f} nats per masked token, "
                f"{time.perf_counter() - start:.0f} s")  # fmt: skip
    model.eval()


def judged() -> Judged:
    """Pairs of texts with what people said of them."""
    found: Judged = {}
    for name, file in (("WordSim-353", "wordsim353.tsv"), ("SimLex-999", "simlex999.txt")):
        lines = Path(datapath(file)).read_text(encoding="utf-8").splitlines()
        rows = [line.split("\t") for line in lines if not line.startswith("#")]
        found[name] = [(a, b) for a, b, _ in rows], [float(score) for _, _, score in rows]
    texts = Path(datapath("lee.cor")).read_text(encoding="latin-1").splitlines()
    scores = np.loadtxt(datapath("similarities0-1.txt"))
    pairs = [(i, j) for i in range(len(texts)) for j in range(i)]
    told = [max(scores[i, j], scores[j, i]) for i, j in pairs]  # one half of the table is empty
    found["Lee"] = [(texts[i], texts[j]) for i, j in pairs], told
    return found


def measure(encoder: Any, sets: Judged, strings: list[str]) -> dict[str, float]:
    """Spearman's correlation with people, and the mean cosine of strings drawn at random."""
    found = {}
    for name, (pairs, told) in sets.items():
        texts = sorted({text for pair in pairs for text in pair})
        vectors = dict(zip(texts, encoder.encode(texts, batch_size=64), strict=True))
        near = [float(vectors[a] @ vectors[b]) for a, b in pairs]
        found[name] = float(spearmanr(near, told).statistic)
    some = encoder.encode(strings[:400], batch_size=64)
    near = some @ some.T
    found["mean cosine"] = float((near.sum() - len(some)) / (len(some) ** 2 - len(some)))
    return found


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Make the raw model, tune it on words and on sentences, and measure all three."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--raw-steps", type=int, default=300)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plans", nargs="+", default=["words-cls", "words-mean", "sentences-mean"])
    parser.add_argument("--keep", type=Path, help="folder for the raw model; taken if it is there")
    args = parser.parse_args()
    texts = descriptions() + news()
    random.Random(args.seed).shuffle(texts)
    words = frequent(texts, 10_000)
    model, tokenizer = raw_model(args.seed)
    if args.keep and args.keep.exists():
        model = BertForMaskedLM.from_pretrained(args.keep)
    else:
        learn_language(model, tokenizer, texts, args.raw_steps, args.seed)
        if args.keep:
            model.save_pretrained(args.keep)
    raw, sets = (model.bert, tokenizer), judged()
    plans: dict[str, tuple[Any, Any, list[str]]] = {
        "words-cls": ("cls", MirrorBert(temperature=0.2, span=0), words),
        "words-mean": ("mean", MirrorBert(temperature=0.2, span=0), words),
        "sentences-mean": ("mean", MirrorBert(), texts[:10_000]),
    }
    for name in args.plans:
        pooling, method, strings = plans[name]
        encoder = text_encoder(raw, pooling=pooling, longest=128)
        say(f"raw, {name}: {json.dumps(measure(encoder, sets, strings))}")
        encoder[0].max_seq_length = 24 if method.span else 12
        pairs: list[Pair] = [*strings]
        done = tune(
            encoder, pairs, method, steps=args.steps, batch_size=args.batch, warm=0.0,
            seed=args.seed,
        )  # fmt: skip
        encoder[0].max_seq_length = 128
        say(f"{done}\ntuned, {name}: {json.dumps(measure(encoder, sets, strings))}")


if __name__ == "__main__":
    main()
