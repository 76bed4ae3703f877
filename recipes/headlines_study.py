"""Train an encoder on pairs of titles that HEADLINES finds, and look for stories it has not seen.

The 300 news texts that gensim carries stand for what came over the wire. Three papers print each of
200: every editor takes one sentence out as the title and cuts the end, and the scanner misreads
letters. Which reprints tell the same is found from their texts alone; the titles of one story are
pairs, and the two lower layers of `zoo:minilm-l6` are tuned on them. Then three sentences of each
of the other 100 stories are looked for among all 300 stories, of which those sentences were taken
out. The same with titles that were shuffled, which must not help.

Run from the repository root (about a minute on one core):

    python recipes/headlines_study.py
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from vacancysbert_packages import encoder, interval

from tokenry.data.scans import scanned
from tokenry.method import Record
from tokenry.ops.clusters import edge_agreement, pairs_within
from tokenry.plugs.tuning import Pair, tune
from tokenry.retrieval import Headlines

PAPERS, ASKED = 3, 3


class Story(NamedTuple):
    """A text without the sentences that stand for titles, and those sentences."""

    text: str
    titles: list[str]


def stories(seed: int = 0) -> list[Story]:
    """The news that gensim carries, in an order drawn; those with too few sentences left out."""
    import gensim

    path = Path(gensim.__file__).parent / "test/test_data/lee_background.cor"
    draw, found = random.Random(seed), []
    for line in path.read_text(encoding="utf-8").splitlines():
        whole = [s for s in re.split(r"(?<=[.?!]) ", line) if s]
        long = [s for s in whole if len(s.split()) >= 6]
        if len(long) > PAPERS + 2:
            titles = draw.sample(long, PAPERS)
            found.append(Story(" ".join(s for s in whole if s not in titles), titles))
    return draw.sample(found, len(found))


def printed(some: list[Story], noise: float, seed: int = 0) -> tuple[list[Record], np.ndarray]:
    """What the papers made of stories, in any order, and which story each tells."""
    draw, found = random.Random(seed), []
    for number, story in enumerate(some):
        for title in story.titles:
            text = scanned(story.text, draw, noise=noise, kept=draw.uniform(0.6, 1), line=60)
            found.append((Record(text=text, title=title), number))
    draw.shuffle(found)
    return [record for record, _ in found], np.array([number for _, number in found])


def paired(records: list[Record], method: Headlines) -> tuple[list[Pair], np.ndarray]:
    """Titles of the same story, as the method finds them, and the pairs of reprints."""
    groups = method.group(records)
    titles: list[Pair] = [(records[a].title, records[b].title) for a, b in groups.pairs.tolist()]
    return titles, pairs_within(groups.labels)


def shuffled(pairs: list[Pair], seed: int = 0) -> list[Pair]:
    """The same titles, of which no two belong together."""
    left, right = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return [*zip(left, random.Random(seed).sample(right, len(right)), strict=True)]


def found(model: Any, asked: list[Story], every: list[Story]) -> Tensor:
    """nDCG@10 of each sentence that is asked for."""

    def read(texts: list[str]) -> Tensor:
        return model.encode(texts, batch_size=64, convert_to_tensor=True)

    places = [every.index(story) for story in asked for _ in range(ASKED)]
    queries = read([title for story in asked for title in story.titles[:ASKED]])
    near = queries @ read([story.text for story in every]).mT
    own = near.gather(1, near.new_tensor(places).long()[:, None])
    ranks = (near >= own).sum(1)
    return (1 / (ranks + 1.0).log2()).where(ranks <= 10, near.new_tensor(0.0))


def tuned(pairs: list[Pair], steps: int, layers: int, seed: int) -> Any:
    """The lower layers of MiniLM, tuned on pairs."""
    model = encoder(layers)
    model[0].max_seq_length = 64
    tune(model, pairs, "in-batch", steps=steps, batch_size=32, rate=1e-4, seed=seed, progress=False)
    return model


def main() -> None:
    """Print, group, pair, tune, and ask."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--noise", type=float, default=0.05)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--held", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    every = stories(args.seed)
    asked, known = every[: args.held], every[args.held :]
    records, truth = printed(known, args.noise, args.seed)
    titles, reprints = paired(records, Headlines(by="ngrams", least=0.1))
    agreement = edge_agreement(reprints, pairs_within(truth))
    sys.stdout.write(
        f"{len(records)} reprints of {len(known)} stories: {len(titles)} pairs of titles; pairs of "
        f"reprints: precision {agreement.precision:.3f}, recall {agreement.recall:.3f}\n"
    )
    plain = encoder(args.layers)
    plain[0].max_seq_length = 64
    scores = {"untuned": found(plain, asked, every)}
    for name, pairs in (("titles", titles), ("shuffled", shuffled(titles, args.seed))):
        scores[name] = found(tuned(pairs, args.steps, args.layers, args.seed), asked, every)
    for name, values in scores.items():
        mean, low, high = interval(scores["untuned"], values)
        sys.stdout.write(
            f"{name}: nDCG@10 {float(values.mean()):.3f}, {mean:+.3f} [{low:+.3f}, {high:+.3f}]\n"
        )


if __name__ == "__main__":
    main()
