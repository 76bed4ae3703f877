"""Labels beside rankers of texts: the study of MUSER, on emoji that ship or on Debian's packages.

Emoji: the text is the name, the judge is the hierarchy of groups and sub-groups, and the keywords
that the name does not hold are the view of labels that helps. Packages, with `--index`, a file
`Packages` or what `apt-cache dumpavail` prints: the text is the description and facets are the
views; two judge and a third helps, or all judge, and labels are people's or a linear model's.

With `--published`, the folder `data` of github.com/THUlawtech/MUSER: what the measures say of the
runs and labels that its authors published, as their own script has it.

Run from the repository root (seconds; a minute with `--index`):

    python recipes/muser_study.py
    apt-cache dumpavail > Packages && python recipes/muser_study.py --index Packages
    python recipes/muser_study.py --published MUSER/data
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from tokenry.data.debtags import Package, debtags
from tokenry.data.drawings import manifest
from tokenry.ops.blending import blended
from tokenry.ops.ranking import average_precision, ndcg, precision
from tokenry.retrieval import Muser

VIEWS = ("role", "use", "works-with")
WEIGHTS = (0.1, 0.5, 0.4)
QUERIES = 150
RUNS = ("labels", "lmir", "bm25", "tfidf", "lfm")
RELEVANT = 5
"""Least grade, of 0 to 8, that precision and MAP count."""


def bm25(texts: list[str], asked: list[str]) -> np.ndarray:
    """Scores of BM25."""
    import bm25s

    split = {"stopwords": "en", "show_progress": False, "return_ids": False}
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, **split), show_progress=False)
    return np.stack([index.get_scores(one) for one in bm25s.tokenize(asked, **split)])


def likelihood(texts: list[str], asked: list[str], share: float = 0.1) -> np.ndarray:
    """Log likelihood of the queries, words of texts mixed with the collection's (Jelinek-Mercer).

    Args:
        texts: What is ranked.
        asked: The queries.
        share: Of the collection in the mixture; 0.1 as released.
    """
    counts = [Counter(text.lower().split()) for text in texts]
    every = sum(counts, Counter())
    total = every.total()
    found = np.zeros((len(asked), len(texts)))
    for row, query in enumerate(asked):
        for word in (one for one in query.lower().split() if one in every):
            own = np.array([count[word] / max(count.total(), 1) for count in counts])
            found[row] += np.log((1 - share) * own + share * every[word] / total)
    return found


def predicted(train: list[Package], pool: list[Package], view: str) -> list[Any]:
    """Labels of one view, from a linear model over words that learned from people's labels."""
    import torch
    from sklearn.feature_extraction.text import TfidfVectorizer

    from tokenry.ops.multilabel import log_sum_exp_loss

    labels = sorted({label for one in train for label in one.facet(view)})
    truth = torch.tensor([[label in one.facet(view) for label in labels] for one in train])
    words = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    seen = torch.tensor(words.fit_transform([one.text for one in train]).toarray()).float()
    new = torch.tensor(words.transform([one.text for one in pool]).toarray()).float()
    torch.manual_seed(0)
    model = torch.nn.Linear(seen.shape[1], len(labels))
    steps = torch.optim.Adam(model.parameters(), 1e-2, weight_decay=1e-5)
    for _ in range(100):
        steps.zero_grad()
        log_sum_exp_loss(model(seen), truth).mean().backward()
        steps.step()
    with torch.no_grad():
        found = (model(new) > 0).numpy()
    return [tuple(labels[at] for at in np.flatnonzero(row)) for row in found]


def scored(scores: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """nDCG@10 of each query, which itself is no answer; grades from 0 to 8, as in the paper."""
    found = []
    for query, (row, grades) in enumerate(zip(scores, np.round(8 * gold), strict=True)):
        ranking = [int(at) for at in np.argsort(-row, kind="stable") if at != query][:10]
        labels = {at: int(grade) for at, grade in enumerate(grades) if grade and at != query}
        found.append(ndcg(ranking, labels))
    return np.array(found)


def gain(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The mean gain of the first over the second, and half its 95 % interval."""
    difference = a - b
    return float(difference.mean()), 1.96 * float(difference.std(ddof=1)) / math.sqrt(len(a))


def emoji(seed: int = 0) -> dict[str, np.ndarray]:
    """nDCG@10 of each query, an emoji, by each ranker; groups and sub-groups judge."""
    every = manifest()["concepts"]
    pool = [every[at] for at in np.random.default_rng(seed).permutation(len(every))]
    names = [one["name"] for one in pool]
    groups = [[[(one["group"], one["subgroup"])]] for one in pool]
    words = [[[(w,) for w in one["keywords"] if w not in one["name"].split()]] for one in pool]
    one_view = Muser(weights=(1.0,))
    gold, labels = (one_view.score(view[:QUERIES], view) for view in (groups, words))
    text = bm25(names, names[:QUERIES])
    whole = [f"{one['name']} {' '.join(one['keywords'])}" for one in pool]
    rankers = {
        "bm25": text,
        "likelihood": likelihood(names, names[:QUERIES]),
        "labels": labels,
        "bm25 + labels": blended([text, labels], (1, 1)),
        "bm25 over names and keywords": bm25(whole, whole[:QUERIES]),
    }
    return {name: scored(scores, gold) for name, scores in rankers.items()}


def packages(index: Path, seed: int = 0) -> dict[str, np.ndarray]:
    """The same of packages; the first words of a name say who judges."""
    chosen = [one for one in debtags(index) if all(map(one.facet, VIEWS))]
    order = np.random.default_rng(seed).permutation(len(chosen))
    train, pool = (list(half) for half in np.split(np.array(chosen, dtype=object)[order], 2))
    texts = [one.text for one in pool]
    text, smoothed = bm25(texts, texts[:QUERIES]), likelihood(texts, texts[:QUERIES])

    def by(views: tuple[str, ...], weights: tuple[float, ...]) -> np.ndarray:
        labels = [[one.facet(view) for view in views] for one in pool]
        return Muser(weights=weights).score(labels[:QUERIES], labels)

    two, three = by(("role", "use"), (1.0, 1.0)), by(VIEWS, WEIGHTS)
    third = blended([text, by(("works-with",), (1.0,))], (1, 0.5))
    guessed = [list(one) for one in zip(*(predicted(train, pool, v) for v in VIEWS), strict=True)]
    noisy = Muser(weights=WEIGHTS).score(guessed[:QUERIES], guessed)
    return {
        "two views: bm25": scored(text, two),
        "two views: bm25 + the third": scored(third, two),
        "three views: bm25": scored(text, three),
        "three views: likelihood": scored(smoothed, three),
        "three views: predicted labels": scored(noisy, three),
        "three views: bm25 + predicted labels": scored(blended([text, noisy], (1, 1)), three),
        "three views: bm25 + labels": scored(blended([text, three], (1, 1)), three),
    }


def measured(run: dict[str, list[str]], labels: dict[str, dict[str, int]]) -> dict[str, float]:
    """Means over the queries of a run; `MAP of labelled` is the released one, of them alone."""
    found = []
    for query, ranking in run.items():
        grades = labels[query]
        labelled = [name for name in ranking if name in grades]
        found.append(
            {f"NDCG@{k}": ndcg(ranking, grades, k) for k in (10, 20, 30)}
            | {f"P@{k}": precision(ranking, grades, k, RELEVANT) for k in (5, 10)}
            | {
                "MAP": average_precision(ranking, grades, least=RELEVANT),
                "MAP of labelled": average_precision(
                    labelled, {name: grades[name] for name in labelled}, least=RELEVANT
                ),
            }
        )
    return {name: sum(one[name] for one in found) / len(found) for name in found[0]}


def published(folder: Path) -> dict[str, dict[str, float]]:
    """The measures of each run that lies in a folder, on the queries that are for testing."""

    def read(name: str) -> Any:
        return json.loads((folder / name).read_text(encoding="utf-8"))

    labels, asked = read("labels/top30_dict.json"), read("cases/train_test.json")["test"]
    runs = {name: read(f"predictions/{name}_top100.json") for name in RUNS}
    return {
        name: measured({query: run[query] for query in asked}, labels) for name, run in runs.items()
    }


def main() -> None:
    """Write nDCG@10 of each ranker, and what it gains over the first."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--index", type=Path, help="a file Packages of Debian")
    parser.add_argument("--published", type=Path, help="the folder data of MUSER's repository")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.published:
        for name, means in published(args.published).items():
            said = ", ".join(f"{measure} {mean:.4f}" for measure, mean in means.items())
            sys.stdout.write(f"{name}: {said}\n")
        return
    found = packages(args.index, args.seed) if args.index else emoji(args.seed)
    firsts = {name.partition(":")[0] if ":" in name else "": name for name in reversed(found)}
    for name, values in found.items():
        first = found[firsts[name.partition(":")[0] if ":" in name else ""]]
        mean, half = gain(values, first)
        sys.stdout.write(f"{name}: nDCG@10 {values.mean():.3f}, {mean:+.3f} ± {half:.3f}\n")


if __name__ == "__main__":
    main()
