"""Tune a raw language model's lower layers on words as Mirror-BERT does, and ask people.

The lower layers of `zoo:smollm2-135m`, which was never trained to compare texts, are tuned on words
that are frequent in news. The model has no dropout, so the two views of a word come from dropped
heads. Before and after, cosines are compared with what people say of pairs of words (WordSim-353,
SimLex-999) and of news (Lee), which gensim carries. It does not work: see the card.

Run from the repository root (about two minutes on one core):

    python recipes/mirror_bert_smollm2.py
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from mirror_bert_minilm import frequent, judged, measure, news, say

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


def words(count: int = 4000) -> list[str]:
    """The words that stand most often in the news of gensim; none is chosen by who judged it."""
    return frequent(news(), count)


def main() -> None:
    """Tune on words, and measure against the raw model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sets, strings = judged(), words()
    method = MirrorBert(temperature=0.2, span=0, drophead=SHARE)
    encoder = lower(args.layers)
    say(f"raw: {json.dumps(measure(encoder, sets, strings))}")
    encoder[0].max_seq_length = 12
    done = tune(
        encoder, [*strings], method, steps=args.steps, batch_size=args.batch, rate=args.rate,
        seed=args.seed,
    )  # fmt: skip
    encoder[0].max_seq_length = 128
    say(f"{done}\ntuned: {json.dumps(measure(encoder, sets, strings))}")


if __name__ == "__main__":
    main()
