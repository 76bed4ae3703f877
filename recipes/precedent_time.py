"""Learn a theme from late texts that name it, and find it in early ones: precedents in time.

A precedent is looked for in decisions that are older than itself, so what is learned is late and
what is searched is early. Python's news stand in for decisions: an entry is a text, the day of its
release its date, the section it stands in the truth about its theme. A ranker learns from entries
that name the theme, with the name taken out, and is judged on early entries that do not name it.
Learned from as many early entries instead, it says what time alone costs. Then finds are counted
before and after a day, as the paper does, and compared with the true counts.

The news come with Python's source (`Misc/NEWS`) and with Debian's package python3.11
(`/usr/share/doc/python3.11/NEWS.gz`). Run from the repository root (a minute on one core):

    python recipes/precedent_time.py NEWS.gz
"""

from __future__ import annotations

import argparse
import gzip
import re
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tokenry.method import Finder
from tokenry.retrieval import BindingPrecedent

DRAWS = 1000

THEMES = {
    "IDLE": r"\b(idle(lib)?)\b",
    "Windows": r"\b(windows|win32|winapi)\b",
    "Documentation": r"\bdoc(s|umentation|umented|string|strings)?\b",
    "Tests": r"\b(tests?|test_\w+|regrtest)\b",
}
HEADING = re.compile(r"^([^\n]+)\n-+\n", re.MULTILINE)
RELEASE = re.compile(r"^\*?Release date: (\d{4})-(\d\d)-(\d\d)\*?$", re.MULTILINE)


class Entry(NamedTuple):
    """A text, its day, and the section it stands in."""

    text: str
    day: int
    section: str


def entries(news: str) -> list[Entry]:
    """The entries of Python's news, each text once, the oldest first."""
    found: dict[str, Entry] = {}
    for release in re.split(r"^What's New in ", news, flags=re.MULTILINE)[1:]:
        match = RELEASE.search(release)
        if match:
            day = date(*map(int, match.groups())).toordinal()
            for section, text in _sections(release[match.end() :]):
                found[text] = Entry(text, day, section)  # the oldest of equal texts stays
    return sorted(found.values(), key=lambda one: one.day)


def _sections(release: str) -> Iterator[tuple[str, str]]:
    parts = HEADING.split(release)
    for section, body in zip(parts[1::2], parts[2::2], strict=True):
        for entry in re.split(r"^- ", body, flags=re.MULTILINE)[1:]:
            text = " ".join(entry.split())
            yield section.strip(), re.sub(r"^(bpo-|gh-issue-|Issue #)\d+: ", "", text)


class Halves(NamedTuple):
    """Entries before and after the middle, by number: those that name a theme, and others."""

    naming: tuple[np.ndarray, np.ndarray]
    silent: tuple[np.ndarray, np.ndarray]
    judged: np.ndarray


def halves(every: list[Entry], theme: str, seed: int = 0) -> Halves:
    """What is learned from, early and late, as many of each; and what early silent ones judge."""
    draw = np.random.default_rng(seed)
    names = np.array([bool(re.search(THEMES[theme], one.text, re.IGNORECASE)) for one in every])
    on = np.array([one.section == theme for one in every])
    late = np.arange(len(every)) >= len(every) // 2
    naming = [draw.permutation(np.flatnonzero(names & on & side)) for side in (~late, late)]
    silent = [draw.permutation(np.flatnonzero(~names & side)) for side in (~late, late)]
    few = min(map(len, naming))
    learned = min(map(len, silent)) // 2
    return Halves(
        naming=(naming[0][:few], naming[1][:few]),
        silent=(silent[0][:learned], silent[1][:learned]),
        judged=np.sort(silent[0][learned:]),
    )


def finder(every: list[Entry], parts: Halves, late: bool, method: BindingPrecedent) -> Finder:
    """What is learned from one half."""
    rows = [*parts.naming[late].tolist(), *parts.silent[late].tolist()]
    labels = [True] * len(parts.naming[late]) + [False] * len(parts.silent[late])
    return method.learn([every[at].text for at in rows], labels)


def study(every: list[Entry], theme: str, by: Any, seed: int = 0) -> dict[str, Any]:
    """What one ranker finds of a theme among early entries, learned early and late; and counts."""
    from sklearn.metrics import average_precision_score as precision

    parts = halves(every, theme, seed)
    method = BindingPrecedent(by=by, citation=THEMES[theme])
    early, late = (finder(every, parts, side, method) for side in (False, True))
    judged = [every[at] for at in parts.judged.tolist()]
    true = np.array([one.section == theme for one in judged])
    scores = [one.score([e.text for e in judged]) for one in (early, late)]
    draw, drops = np.random.default_rng(0), []
    for _ in range(DRAWS):
        at = draw.integers(0, len(true), len(true))
        drops.append(precision(true[at], scores[1][at]) - precision(true[at], scores[0][at]))
    learned = {*np.concatenate((*parts.naming, *parts.silent)).tolist()}
    rest = [one for at, one in enumerate(every) if at not in learned]
    days = np.array([one.day for one in rest])
    middle = every[len(every) // 2].day
    counts = {
        name: method.trend(days, values, middle, 365)
        for name, values in (
            ("found", late.find([one.text for one in rest])),
            ("true", np.array([one.section == theme for one in rest])),
        )
    }
    return {
        "naming": len(parts.naming[0]), "judged": len(true), "on it": int(true.sum()),
        "early": precision(true, scores[0]), "late": precision(true, scores[1]),
        "drop": tuple(map(float, np.quantile(drops, [0.025, 0.975]))), "counts": counts,
    }  # fmt: skip


def main() -> None:
    """Write what time costs, and finds and true counts by year."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("news", type=Path, help="Python's news, plain or .gz")
    parser.add_argument("--by", nargs="+", default=["tfidf"])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    data = args.news.read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    every = entries(data.decode("utf-8"))
    first, last = (date.fromordinal(every[at].day) for at in (0, -1))
    sys.stdout.write(f"{len(every)} entries from {first} to {last}\n")
    for theme in THEMES:
        for by in args.by:
            say(theme, by, study(every, theme, by, args.seed))


def say(theme: str, by: str, found: dict[str, Any]) -> None:
    """Write what one ranker came to."""
    low, high = found["drop"]
    sys.stdout.write(
        f"{theme}, {by}: {found['naming']} that name it to learn from; {found['judged']} early "
        f"ones that do not, {found['on it']} of them on it\n  average precision learned early "
        f"{found['early']:.3f}, late {found['late']:.3f}, "
        f"{found['late'] - found['early']:+.3f} [{low:+.3f}, {high:+.3f}]\n"
    )
    for name, (periods, moved) in found["counts"].items():
        years = " ".join(f"{hits}/{texts}" for _, texts, hits in periods.tolist())
        sys.stdout.write(
            f"  {name}: {moved.before:.4f} before, {moved.after:.4f} after, ratio "
            f"{moved.ratio:.2f}, p {moved.p_value:.1e}; by year {years}\n"
        )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
