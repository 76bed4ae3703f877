"""Make an encoder of a raw language model's lower layers, as Mirror-BERT does, and ask people.

The lower layers of `zoo:smollm2-135m`, which was never trained to compare texts, are tuned on raw
strings: on frequent words of news, and on the sentences themselves. The model has no dropout, so
the two views of a string come from dropped heads. Before and after, cosines are compared with what
people say of pairs of words (WordSim-353, SimLex-999) and news (Lee), which gensim carries, and of
sentences (the STS benchmark), if a folder of it is given: then the sentences of its development
part, without their scores, are what is tuned on, and the test part is measured.

Run from the repository root (words: a minute on one core; sentences: several):

    python recipes/mirror_bert_smollm2.py
    python recipes/mirror_bert_smollm2.py --stsb stsb
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

from mirror_bert_minilm import Judged, frequent, judged, measure, news, say

import tokenry.zoo
from tokenry.plugs.text_encoder import text_encoder
from tokenry.plugs.tuning import tune
from tokenry.retrieval import MirrorBert

SHARE = 0.1  # of the heads is dropped


def lower(layers: int) -> Any:
    """The lower layers of SmolLM2 as an encoder: the mean of its states."""
    loaded: Any = tokenry.zoo.load("zoo:smollm2-135m")
    body = loaded.model.model
    body.layers = body.layers[:layers]
    body.config.num_hidden_layers = layers
    body.config.architectures = ["LlamaModel"]
    return text_encoder((body, loaded.processor), longest=128)


def benchmark(folder: Path, part: str) -> tuple[list[tuple[str, str]], list[float]]:
    """Pairs of sentences of the STS benchmark with their scores."""
    with (folder / f"stsb-en-{part}.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines))
    return [(first, second) for first, second, _ in rows], [float(score) for *_, score in rows]


def words(count: int = 4000) -> list[str]:
    """The words that stand most often in the news of gensim; none is chosen by who judged it."""
    return frequent(news(), count)


def main() -> None:
    """Tune on words and on sentences, and measure both against the raw model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stsb", type=Path, help="folder of the STS benchmark")
    parser.add_argument("--plans", nargs="+", default=["words", "sentences"])
    args = parser.parse_args()
    sets: Judged = judged()
    sentences = news()
    if args.stsb:
        sets["STS-B"] = benchmark(args.stsb, "test")
        pairs, _ = benchmark(args.stsb, "dev")
        sentences = [*dict.fromkeys(text for pair in pairs for text in pair)]
    plans = {
        "words": (MirrorBert(temperature=0.2, span=0, drophead=SHARE), words(), 12),
        "sentences": (MirrorBert(drophead=SHARE, mask=""), sentences, 32),
    }
    for name in args.plans:
        method, strings, longest = plans[name]
        encoder = lower(args.layers)
        say(f"raw, {name}: {json.dumps(measure(encoder, sets, strings))}")
        encoder[0].max_seq_length = longest
        done = tune(
            encoder, [*strings], method, steps=args.steps, batch_size=args.batch, rate=args.rate,
            seed=args.seed,
        )  # fmt: skip
        encoder[0].max_seq_length = 128
        say(f"{done}\ntuned, {name}: {json.dumps(measure(encoder, sets, strings))}")


if __name__ == "__main__":
    main()
