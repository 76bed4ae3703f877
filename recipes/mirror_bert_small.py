"""Train a small masked language model from nothing, and make an encoder of it as Mirror-BERT does.

A BERT of three layers learns English as a masked language model from package descriptions and news.
That is the raw model, which nobody ever asked to compare texts. It is tuned on raw strings, and
asked before and after how alike people find pairs of texts: sentences (STS-B, if its file is
given), news (Lee) and words (WordSim-353, SimLex-999), the last three from gensim. It does not
work: see the card.

Run from the repository root on a machine with apt (about five minutes on one core):

    python recipes/mirror_bert_small.py --stsb stsb-en-test.csv
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path
from typing import Any

import numpy as np
from dupmae_pages import word_pieces
from mirror_bert_minilm import Judged, descriptions, frequent, judged, learn_language, news, say
from scipy.stats import spearmanr
from transformers import BertConfig, BertForMaskedLM, set_seed

from tokenry.plugs.text_encoder import text_encoder
from tokenry.plugs.tuning import tune
from tokenry.retrieval import MirrorBert

PLANS = {
    "sentences": MirrorBert(),
    "words": MirrorBert(temperature=0.2, span=0),
}
LONGEST = {"sentences": 50, "words": 25}  # tokens of a string that is tuned on


def raw_model(texts: list[str], args: Any) -> tuple[Any, Any]:
    """A masked language model that has seen the texts, and its tokenizer."""
    tokenizer = word_pieces(texts, args.pieces)
    set_seed(args.seed)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=args.width, num_hidden_layers=args.layers,
        num_attention_heads=args.width // 32, intermediate_size=4 * args.width,
        max_position_embeddings=160,
    )  # fmt: skip
    model: Any = BertForMaskedLM(config)
    if args.keep and (args.keep / "config.json").is_file():
        model = BertForMaskedLM.from_pretrained(args.keep)
    else:
        learn_language(model, tokenizer, texts, args.raw_steps, args.seed, rate=args.raw_rate)
        if args.keep:
            model.save_pretrained(args.keep)
    return model.bert, tokenizer


def sentences(path: Path) -> Judged:
    """STS-B: pairs of sentences with what people said of them."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [*csv.reader(file)]
    return {"STS-B": ([(a, b) for a, b, _ in rows], [float(score) for _, _, score in rows])}


def cosines(encoder: Any, pairs: list[tuple[str, str]]) -> np.ndarray:
    """How near the two texts of each pair are."""
    texts = sorted({text for pair in pairs for text in pair})
    vectors = dict(zip(texts, encoder.encode(texts, batch_size=64), strict=True))
    return np.array([vectors[a] @ vectors[b] for a, b in pairs])


def agreement(told: list[float], before: np.ndarray, after: np.ndarray) -> str:
    """Spearman's correlation with people before and after, and the difference's 95 % interval."""
    people = np.array(told)
    draw, apart = np.random.default_rng(0), []
    for _ in range(500):
        some = draw.integers(0, len(people), len(people))
        first, second = (spearmanr(x[some], people[some]).statistic for x in (before, after))
        apart.append(second - first)
    first, second = (spearmanr(x, people).statistic for x in (before, after))
    low, high = np.quantile(apart, [0.025, 0.975])
    return f"{first:.3f} -> {second:.3f} ({second - first:+.3f} [{low:+.3f}, {high:+.3f}])"


def spread(encoder: Any, strings: list[str]) -> float:
    """The mean cosine of strings drawn at random."""
    some = encoder.encode(strings[:400], batch_size=64)
    near = some @ some.T
    return float((near.sum() - len(some)) / (len(some) ** 2 - len(some)))


def tuned(raw: Any, name: str, pooling: str, strings: list[str], sets: Judged, args: Any) -> None:
    """Tune the raw model on strings, and write what people say of it before and after."""
    encoder = text_encoder(raw, pooling=pooling, longest=128)
    before = {at: cosines(encoder, pairs) for at, (pairs, _) in sets.items()}
    wide = spread(encoder, strings)
    encoder[0].max_seq_length = LONGEST[name]
    done = tune(
        encoder, [*strings], PLANS[name], steps=args.steps, batch_size=args.batch,
        rate=args.rate, warm=0.0, seed=args.seed,
    )  # fmt: skip
    encoder[0].max_seq_length = 128
    say(f"{name}, {pooling}: {done}")
    say(f"  mean cosine {wide:.3f} -> {spread(encoder, strings):.3f}")
    for at, (pairs, told) in sets.items():
        say(f"  {at}: {agreement(told, before[at], cosines(encoder, pairs))}")


def main() -> None:
    """Make the raw model, tune it on words and on sentences, and measure all three."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stsb", type=Path, help="a file of STS-B: sentence, sentence, score")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--pieces", type=int, default=6000)
    parser.add_argument("--raw-steps", type=int, default=700)
    parser.add_argument("--raw-rate", type=float, default=1e-3)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--pooling", nargs="+", default=["mean", "cls"])
    parser.add_argument("--plans", nargs="+", default=[*PLANS])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the raw model; taken if it is there")
    args = parser.parse_args()
    texts = descriptions() + news()
    random.Random(args.seed).shuffle(texts)
    strings = {"sentences": texts[:10_000], "words": frequent(texts, 10_000)}
    raw = raw_model(texts, args)
    sets = judged() | (sentences(args.stsb) if args.stsb else {})
    for pooling in args.pooling:
        for name in args.plans:
            tuned(raw, name, pooling, strings[name], sets, args)


if __name__ == "__main__":
    main()
