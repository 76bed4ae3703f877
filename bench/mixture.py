"""What a tokenizer was trained on, by data mixture inference: mixtures made here, and real ones.

    python bench/mixture.py made TEXTS          # both write bench/results/mixture.json
    python bench/mixture.py real TEXTS zoo:gpt-2 zoo:claude

TEXTS holds a folder of plain texts per category, such as `recipes/manpage_texts.py` makes. Half
of the files of each are mixed and trained on; the others are what is judged with. The mean squared
error of the shares stands beside that of a uniform guess and of two simpler guesses, each by a line
through the logarithms that is fitted to other mixtures: one from compression, bytes per token
over those of a tokenizer trained on the category alone; and one that counts the tokens that are
more frequent in a category than in any other. Beside them stands what the paper reports for
samples of another source than the training text, as ours are. Processor seconds are those of a core
with nothing else to do, once for the shares with all optimal mixtures and once with 20 draws of the
texts as well; the baselines are not among them.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import resource
import time
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tokenry.method import Usage, Vocab
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import DataMixture
from tokenry.zoo.tokenizer import tokenizer

RESULTS = Path(__file__).parent / "results" / "mixture.json"
MIXED, PARTS, OTHERS = 1_200_000, 8, 8
# Ten languages, 10^6 to 10^10 bytes of each: the plot of notebooks/experimental_results.ipynb of
# the authors' repository, section 6.1 of the paper.
REPORTED = {100: "8e-4 to 1.3e-3", 300: "5e-4 to 7e-4", 1000: "3e-4 to 5e-4", 3000: "3e-4 to 5e-4"}


def halves(folder: Path) -> tuple[list[str], list[str]]:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    random.Random(0).shuffle(files)  # noqa: S311 - which files, no secret
    texts = [path.read_text(encoding="utf-8", errors="ignore") for path in files]
    return texts[::2], texts[1::2]


def cut(texts: list[str], size: int) -> list[str]:
    kept, left = [], size
    for text in texts:
        part = text.encode()[: max(left, 0)].decode(errors="ignore")
        left -= len(part.encode())
        kept.append(part)
    return [text for text in kept if text]


def learned(texts: list[str], merges: int) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + merges, initial_alphabet=alphabet, show_progress=False, min_frequency=0
    )
    made.train_from_iterator(texts, trainer)
    return made


def usage_of(vocab: Vocab, texts: list[str], category: str) -> Usage:
    parts = [
        Counter(chain.from_iterable(map(vocab.scribe.words, texts[k::PARTS]))) for k in range(PARTS)
    ]
    return Usage(
        category=category,
        counts=np.zeros(len(vocab), np.int64),
        texts=len(texts),
        characters=sum(map(len, texts)),
        size=sum(len(text.encode()) for text in texts),
        words=sum(parts, Counter()),
        parts=parts,
    )


def written(made: Tokenizer, kinds: list[list[str]]) -> np.ndarray:
    """How often each token is written in each kind of text."""
    found = [np.zeros(made.get_vocab_size(), np.int64) for _ in kinds]
    for counts, texts in zip(found, kinds, strict=True):
        for one in made.encode_batch_fast(texts):
            counts += np.bincount(one.ids, minlength=len(counts))
    return np.array(found)


def made(folder: Path, merges: int) -> list[dict[str, Any]]:
    names = sorted(path.name for path in folder.iterdir())
    own, other = zip(*(halves(folder / name) for name in names), strict=True)
    held = [cut(texts, 4_000_000) for texts in other]
    few = [cut(texts, 300_000) for texts in held]
    draw = np.random.default_rng(0)
    shares = draw.dirichlet(np.ones(len(names)), OTHERS)
    vocab = vocabulary(learned(mixed(own, shares[0]), merges), "mixed here")
    guess = guesses(own, few, shares, merges)
    texts = [cut(one, int(MIXED * part)) for one, part in zip(own, shares[0], strict=True)]
    sizes = np.array([sum(len(text.encode()) for text in some) for some in texts])
    true = sizes / sizes.sum()
    usage = [usage_of(vocab, texts, name) for texts, name in zip(held, names, strict=True)]
    figures, exact, drawn = timed(vocab, usage, merges)
    found = np.array([figures[f"bytes/{name}"].value for name in names])
    return [
        {
            "merges": merges,
            "error": error(found, true),
            "error of a uniform guess": error(np.ones(len(names)), true),
            **{f"error by {how}": error(one, true) for how, one in guess.items()},
            "error in the paper": REPORTED.get(merges, "not reported"),
            "processor seconds": round(drawn),
            "of these without draws": round(exact),
            "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "rows": [
                {
                    "category": name,
                    "true": round(float(true[k]), 4),
                    "found": round(float(found[k]), 4),
                    "interval": interval(figures[f"bytes/{name}"]),
                    **{f"by_{how}": round(float(one[k]), 4) for how, one in guess.items()},
                }
                for k, name in enumerate(names)
            ],
        }
    ]


def timed(vocab: Vocab, usage: list[Usage], merges: int) -> tuple[Any, float, float]:
    """The figures, and processor seconds without and with draws of the texts."""
    clocks = [time.process_time()]
    for draws in (0, 20):
        figures = DataMixture(merges=merges, resamples=draws).judge(vocab, usage).figures
        clocks.append(time.process_time())
    exact, drawn = np.diff(clocks)
    return figures, exact, drawn


def error(one: np.ndarray, true: np.ndarray) -> str:
    return f"{((one / one.sum() - true) ** 2).mean():.1e}"


def interval(figure: Any) -> str:
    return f"{figure.low:.3f} to {figure.high:.3f}"


def guesses(
    own: tuple[list[str], ...], few: list[list[str]], shares: np.ndarray, merges: int
) -> dict[str, np.ndarray]:
    """The first shares, guessed in two ways; fitted to the others."""
    sizes = np.array([sum(len(text.encode()) for text in texts) for texts in few])
    alone = [
        written(learned(cut(one, MIXED // 2), merges), [few[k]]).sum() for k, one in enumerate(own)
    ]
    every = [written(learned(mixed(own, share), merges), few) for share in shares]
    gain = np.log([alone / counts.sum(1) for counts in every])
    # A token belongs to the kind of text that it is the largest part of.
    owners = [(counts / sizes[:, None]).argmax(0)[counts.any(0)] for counts in every]
    count = np.log([np.bincount(one, minlength=len(own)) + 1 for one in owners])
    return {"compression": fitted(gain, shares), "counting tokens": fitted(count, shares)}


def fitted(seen: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The first shares by a line through the logarithms of the others."""
    slope, start = np.polyfit(seen[1:].ravel(), np.log(shares[1:].clip(1e-3)).ravel(), 1)
    guess: np.ndarray = np.exp(start + slope * seen[0])
    return guess / guess.sum()


def mixed(own: tuple[list[str], ...], share: np.ndarray) -> list[str]:
    return [
        text for one, part in zip(own, share, strict=True) for text in cut(one, int(MIXED * part))
    ]


def real(folder: Path, merges: int, sources: list[str]) -> list[dict[str, Any]]:
    names = sorted(path.name for path in folder.iterdir())
    held = [cut([*chain(*halves(folder / name))], 2_000_000) for name in names]
    rows = []
    for source in sources:
        vocab = vocabulary(tokenizer(source), source)
        usage = [usage_of(vocab, texts, name) for texts, name in zip(held, names, strict=True)]
        begin = time.perf_counter()
        findings = DataMixture(merges=merges).judge(vocab, usage)
        row = {"tokenizer": source}
        for name in names:
            one = findings.figures[f"bytes/{name}"]
            row[name] = f"{one.value:.1%} ({one.low:.1%} to {one.high:.1%})"
        row["missing merges"] = str(len(findings.tables["missing merges"]))
        row["slack"] = f"{findings.figures['slack'].value:.3f}"
        rows.append(row)
        print(row, round(time.perf_counter() - begin), "s", flush=True)
    return [{"merges": merges, "rows": rows}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=("made", "real"))
    parser.add_argument("texts", type=Path)
    parser.add_argument("sources", nargs="*")
    parser.add_argument("--merges", type=int, default=3000)
    given = parser.parse_args()
    blocks = (
        made(given.texts, given.merges)
        if given.part == "made"
        else real(given.texts, given.merges, given.sources)
    )
    result = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    key = given.part if given.part == "real" else f"made_{given.merges}"
    result[key] = blocks
    result["environment"] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": 1,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
