"""Find texts on a theme from those that name it: the study of binding precedents.

The paragraphs of the manual pages that ship stand in for decisions, and the packages of a theme for
its truth: a paragraph from a package of image tools is on images, also where it does not name them.
Rankers learn from paragraphs that do, with the name taken out, and are judged on those that do not.
With `--index`, Debian's packages and their facets are taken instead: a file `Packages`, or what
`apt-cache dumpavail` prints.

Run from the repository root (a minute; several with `--encoder`, which reads everything with
zoo:minilm-l6 and then trains it as a whole on each theme):

    python recipes/precedent_study.py
    python recipes/precedent_study.py --encoder
    apt-cache dumpavail > Packages && python recipes/precedent_study.py --index Packages
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tokenry.data.debtags import debtags
from tokenry.retrieval import BindingPrecedent

PAGES = Path(__file__).parents[1] / "src" / "tokenry" / "data" / "manpages" / "manpages.jsonl"
SHORTEST, SHOWN, DRAWS = 4, 3, 1000


class Theme(NamedTuple):
    """What names a theme, what else may speak of it, and who is on it."""

    citation: str
    rules: tuple[str, ...]
    members: frozenset[str]


THEMES = {
    "image": Theme(
        r"\bimages?\b",
        (r"\bpixels?\b", r"\bjpe?g\b", r"\bcompress"),
        frozenset({"libjpeg-turbo-progs", "libtiff-tools", "optipng", "webp"}),
    ),
    "database": Theme(
        r"\bdatabases?\b",
        (r"\bpostgres", r"\bsql\b", r"\btables?\b"),
        frozenset({"postgresql-client-15"}),
    ),
    "server": Theme(
        r"\bservers?\b",
        (r"\bdisplay\b", r"\bwindow\b"),
        frozenset({"x11-utils", "x11-xserver-utils"}),
    ),
}
FACETS = {
    "audio": Theme(
        r"\baudio\b",
        (r"\bmusic\b", r"\bmp3\b", r"\bsound\b"),
        frozenset({"works-with::audio"}),
    ),
    "mail": Theme(
        r"\be?-?mails?\b",
        (r"\bimap\b", r"\bsmtp\b", r"\bspam\b"),
        frozenset({"works-with::mail"}),
    ),
}


class Text(NamedTuple):
    """A text, and what it belongs to."""

    text: str
    of: frozenset[str]


class Split(NamedTuple):
    """What is learned from, what does not name the theme, and what does and was held out."""

    seen: list[str]
    labels: list[bool]
    rest: list[str]
    true: np.ndarray
    held: list[str]


def paragraphs() -> list[Text]:
    """The paragraphs of the manual pages, each text once."""
    found: dict[str, Text] = {}
    for line in PAGES.read_text(encoding="utf-8").splitlines():
        page = json.loads(line)
        for part in re.split(r"\n\s*\n", page["text"]):
            if len(part.split()) >= SHORTEST:
                found.setdefault(part.strip(), Text(part.strip(), frozenset({page["package"]})))
    return list(found.values())


def packages(index: Path) -> list[Text]:
    """The tagged packages of an index."""
    every = (Text(one.text, frozenset(one.tags)) for one in debtags(index))
    return [one for one in every if len(one.text.split()) >= SHORTEST]


def split(texts: list[Text], theme: Theme, *, most: int = 1500, seed: int = 0) -> Split:
    """Half of what names the theme to learn from, with others that do not; the rest to judge."""
    cites = np.array([bool(re.search(theme.citation, one.text, re.IGNORECASE)) for one in texts])
    true = np.array([bool(theme.members & one.of) for one in texts])
    draw = np.random.default_rng(seed)
    citing = draw.permutation(np.flatnonzero(cites & true))
    silent = draw.permutation(np.flatnonzero(~cites))
    half, others = len(citing) // 2, min(most, len(silent) // 2)
    rest = silent[others : others + 4000]

    def read(at: np.ndarray) -> list[str]:
        return [texts[one].text for one in at]

    labels = [True] * half + [False] * others
    seen = np.r_[citing[:half], silent[:others]]
    return Split(read(seen), labels, read(rest), true[rest], read(citing[half:]))


class Found(NamedTuple):
    """Scores of the texts that do not name the theme, which of them are found, and figures."""

    scores: np.ndarray
    found: np.ndarray
    figures: dict[str, float]


def study(
    parts: Split, theme: Theme, by: Any, *, leak: bool = False, embed: Any = None, train: Any = None
) -> Found:
    """What one ranker finds; with `leak` it sees the name of the theme."""
    from sklearn.metrics import average_precision_score, precision_score, recall_score

    citation = "" if leak else theme.citation
    method = BindingPrecedent(by=by, citation=citation, rules=theme.rules)
    finder = method.learn(parts.seen, parts.labels, embed, train)
    scores, held = finder.score(parts.rest), finder.score(parts.held)
    found = scores >= finder.threshold
    cited = np.r_[np.ones(len(held)), np.zeros(len(scores))]
    figures = {
        "average precision": average_precision_score(parts.true, scores),
        "precision": precision_score(parts.true, found, zero_division=0),
        "recall": recall_score(parts.true, found),
        "held-out citing": average_precision_score(cited, np.r_[held, scores]),
    }
    return Found(scores, found, figures)


def interval(true: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, ...]:
    """The difference of two average precisions on the same texts, and its 95 % interval."""
    from sklearn.metrics import average_precision_score as precision

    draw, differences = np.random.default_rng(0), []
    for _ in range(DRAWS):
        at = draw.integers(0, len(true), len(true))
        differences.append(precision(true[at], first[at]) - precision(true[at], second[at]))
    whole = precision(true, first) - precision(true, second)
    return (float(whole), *map(float, np.quantile(differences, [0.025, 0.975])))


def disagreement(parts: Split, first: Found, second: Found) -> list[str]:
    """Texts on the theme that the first ranker puts high among the true ones, the second low."""
    places = [np.argsort(np.argsort(-one.scores, kind="stable")) for one in (first, second)]
    gap = np.where(parts.true, places[1] - places[0], -len(parts.true))
    best = [int(at) for at in np.argsort(-gap, kind="stable")[:SHOWN] if gap[at] > 0]
    return [
        f"{places[0][at] + 1} against {places[1][at] + 1}: " + " ".join(parts.rest[at].split())[:90]
        for at in best
    ]


def main() -> None:
    """Write the figures, the intervals and where the rankers disagree."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--index", type=Path, help="a file Packages of Debian")
    parser.add_argument("--encoder", action="store_true", help="also zoo:minilm-l6")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    texts = packages(args.index) if args.index else paragraphs()
    embed = train = None
    if args.encoder:
        from tokenry.plugs.text_encoder import text_encoder
        from tokenry.plugs.theme_classifier import theme_trainer

        embed = text_encoder("zoo:minilm-l6").encode
        train = theme_trainer("zoo:minilm-l6", seed=args.seed)
    rankers = ["tfidf", "lstm", "regex", *(["encoder", "classifier"] if embed else [])]
    for name, theme in (FACETS if args.index else THEMES).items():
        parts = split(texts, theme, seed=args.seed)
        say(name, parts, {by: study(parts, theme, by, embed=embed, train=train) for by in rankers})
        leaking = study(parts, theme, "tfidf", leak=True).figures
        sys.stdout.write(f"  tfidf that sees the name: {line(leaking)}\n")


def line(figures: dict[str, float]) -> str:
    """Figures in a line."""
    return ", ".join(f"{name} {value:.3f}" for name, value in figures.items())


def say(name: str, parts: Split, found: dict[str, Found]) -> None:
    """Write what the rankers find of one theme, and how the others differ from TF-IDF."""
    sys.stdout.write(
        f"{name}: {sum(parts.labels)} that name it to learn from; {len(parts.rest)} that do not, "
        f"{int(parts.true.sum())} of them on it\n"
    )
    for by, one in found.items():
        sys.stdout.write(f"  {by}: {line(one.figures)}\n")
    for by in list(found)[1:]:
        value, low, high = interval(parts.true, found["tfidf"].scores, found[by].scores)
        sys.stdout.write(f"  tfidf - {by}: {value:+.3f} [{low:+.3f}, {high:+.3f}]\n")
        for first, second in (("tfidf", by), (by, "tfidf")):
            for text in disagreement(parts, found[first], found[second]):
                sys.stdout.write(f"    {first} {second}, places {text}\n")


if __name__ == "__main__":
    main()
