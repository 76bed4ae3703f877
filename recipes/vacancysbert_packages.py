"""Tune MiniLM's lower layers as VacancySBERT does, with software packages or emoji for vacancies.

A package's short description is its title, its debtags are its skills, and the section of the
archive that maintainers put it in is the normal form of its title. Sections are never shown in
training: the encoder learns from titles and skills alone, and then finds the name of the section
among all of them. Sections that say what kind of file a package is (libs, devel, ...) are left out.

With `--emoji`, the name of an emoji is its title, its keywords are its skills and the sub-group
of Unicode is the normal form; that data ships. With `--adverts`, few titles stand in many adverts
each, with other skills every time, as in recruitment; adverts of one title are told from each other
in one training and not in the other.

Run from the repository root, without `--emoji` on a machine with apt (about two minutes on a core):

    python recipes/vacancysbert_packages.py
    python recipes/vacancysbert_packages.py --emoji --steps 20 --test 200
    python recipes/vacancysbert_packages.py --adverts 12
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import tokenry.zoo
from tokenry.data.drawings import manifest
from tokenry.plugs.text_encoder import text_encoder
from tokenry.plugs.tuning import tune
from tokenry.retrieval import VacancySBERT

FACETS = (
    "accessibility", "biology", "culture", "devel", "field", "filetransfer", "game", "hardware",
    "interface", "mail", "network", "office", "protocol", "security", "sound", "use", "web",
    "works-with", "works-with-format",
)  # fmt: skip
NAMES = {
    "admin": "system administration", "comm": "communication", "database": "databases",
    "editors": "text editors", "education": "education", "electronics": "electronics",
    "games": "games", "graphics": "graphics", "hamradio": "amateur radio", "httpd": "web servers",
    "mail": "e-mail", "math": "mathematics", "net": "network", "news": "newsgroups",
    "science": "science", "shells": "shells", "sound": "sound", "tex": "TeX",
    "text": "text processing", "vcs": "version control", "video": "video", "web": "web",
    "fonts": "fonts", "localization": "localization", "otherosfs": "other file systems",
    "gnome": "GNOME", "kde": "KDE", "xfce": "Xfce", "kernel": "kernel",
}  # fmt: skip
METHOD = VacancySBERT()


class Package(NamedTuple):
    """A title, its skills as one text, and its section."""

    title: str
    skills: str
    section: str


def packages() -> list[Package]:
    """The packages that apt knows, with enough skills; no two titles alike."""
    found = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True)
    kept: dict[str, Package] = {}
    for entry in found.stdout.split("\n\n"):
        fields = dict(re.findall(r"^(\S+): (.*(?:\n .*)*)", entry, re.MULTILINE))
        tags = re.findall(r"([\w-]+)::([\w:+-]+)", fields.get("Tag", ""))
        words = [re.sub("[-:]", " ", value) for facet, value in tags if facet in FACETS]
        title, section = fields.get("Description", ""), fields.get("Section", "")
        skills = METHOD.skills(title, words)
        if skills and section in NAMES:
            kept.setdefault(title.lower(), Package(title, skills, section))
    return [kept[title] for title in sorted(kept)]


def emoji() -> list[Package]:
    """The emoji that ship, with enough keywords that their names do not hold."""
    found = []
    for one in manifest()["concepts"]:
        skills = METHOD.skills(one["name"], one["keywords"])
        if skills:
            found.append(Package(one["name"], skills, one["subgroup"]))
    return found


def plain(every: list[Package]) -> dict[str, str]:
    """The sections of some packages, in words."""
    return {one.section: one.section.replace("-", " ") for one in every}


def encoder(layers: int) -> Any:
    """The lower layers of MiniLM."""
    loaded = tokenry.zoo.load("zoo:minilm-l6")
    loaded.model.encoder.layer = loaded.model.encoder.layer[:layers]
    loaded.model.config.num_hidden_layers = layers
    return text_encoder((loaded.model, loaded.processor), longest=24)


def ranks(model: Any, test: list[Package], names: dict[str, str] = NAMES) -> dict[str, Tensor]:
    """The rank of each package's section, from its title, its skills, and both."""
    sections = sorted(names)

    def read(texts: list[str]) -> Tensor:
        return model.encode(texts, batch_size=64, convert_to_tensor=True)

    forms = read([names[section] for section in sections])
    titles, skills = read([p.title for p in test]), read([p.skills for p in test])
    gold = torch.tensor([sections.index(p.section) for p in test])
    found = {}
    for name, query in (
        ("title", titles), ("skills", skills), ("both", METHOD.query(titles, skills)),
    ):  # fmt: skip
        near = query @ forms.T
        found[name] = (near >= near.gather(1, gold[:, None])).sum(1)
    return found


def interval(first: Tensor, second: Tensor) -> tuple[float, float, float]:
    """The mean difference of two scores of the same packages, and its 95 % interval."""
    difference = (second - first).numpy()
    drawn = np.random.default_rng(0).choice(difference, (2000, len(difference))).mean(1)
    return float(difference.mean()), *map(float, np.quantile(drawn, [0.025, 0.975]))


def say(name: str, found: dict[str, Tensor]) -> None:
    """Write the recall at 1, 5 and 10 of each query."""
    for query, rank in found.items():
        at = " ".join(f"{float((rank <= k).float().mean()):.3f}" for k in (1, 5, 10))
        sys.stdout.write(f"{name}, {query}: R@1/5/10 {at}\n")
    sys.stdout.flush()


def adverts(train: list[Package], titles: int, copies: int, seed: int) -> list[tuple[str, str]]:
    """Few titles, each in several adverts that name some of its skills."""
    draw = random.Random(seed)
    return [METHOD.pair(p.title, p.skills, draw) for p in train[:titles] for _ in range(copies)]


def repeated(
    train: list[Package], test: list[Package], names: dict[str, str], args: argparse.Namespace
) -> dict[str, Tensor]:
    """Ranks from titles alone after tuning on adverts whose equal titles are one group, or not."""
    apart: dict[str, list[Tensor]] = {"masked": [], "told apart": []}
    for seed in range(args.seed, args.seed + args.seeds):
        pairs = adverts(train, args.titles, args.adverts, seed)
        for name, groups in (
            ("masked", [title for title, _ in pairs]),
            ("told apart", [*range(len(pairs))]),
        ):  # fmt: skip
            model = encoder(args.layers)
            tune(
                model, pairs, METHOD, steps=args.steps, batch_size=args.batch, rate=1e-4,
                groups=groups, seed=seed,
            )  # fmt: skip
            apart[name].append(ranks(model, test, names)["title"])
    return {name: torch.stack(found) for name, found in apart.items()}


def main() -> None:
    """Tune and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--test", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--emoji", action="store_true", help="emoji in the place of packages")
    parser.add_argument("--adverts", type=int, help="of each title; compares what is masked")
    parser.add_argument("--titles", type=int, default=60, help="that stand in adverts")
    parser.add_argument("--seeds", type=int, default=3, help="trainings on adverts")
    args = parser.parse_args()
    every = emoji() if args.emoji else packages()
    names = plain(every) if args.emoji else NAMES
    random.Random(args.seed).shuffle(every)
    test, train = every[: args.test], every[args.test :]
    sys.stdout.write(f"{len(train)} packages to learn from, {len(test)} to test\n")
    if args.adverts:
        say_repeated(repeated(train, test, names, args))
    else:
        compared(train, test, names, args)


def say_repeated(found: dict[str, Tensor]) -> None:
    """Write the recall with equal titles masked and told apart, and the difference."""
    for k in (1, 5, 10):
        at = {name: (one <= k).float().mean(0) for name, one in found.items()}
        said = ", ".join(f"{name} {float(one.mean()):.3f}" for name, one in at.items())
        mean, low, high = interval(at["told apart"], at["masked"])
        sys.stdout.write(f"R@{k}: {said}; masked {mean:+.3f} [{low:+.3f}, {high:+.3f}]\n")


def compared(
    train: list[Package], test: list[Package], names: dict[str, str], args: argparse.Namespace
) -> None:
    """Tune with true and with shuffled skills, and write what each finds."""
    found = {"untuned": ranks(encoder(args.layers), test, names)}
    say("untuned", found["untuned"])
    mixed = random.Random(args.seed + 1).sample([p.skills for p in train], len(train))
    for name, skills in (("tuned", [p.skills for p in train]), ("shuffled", mixed)):
        model = encoder(args.layers)
        pairs = [(p.title, s) for p, s in zip(train, skills, strict=True)]
        done = tune(
            model, pairs, METHOD, steps=args.steps, batch_size=args.batch, rate=1e-4,
            seed=args.seed,
        )  # fmt: skip
        found[name] = ranks(model, test, names)
        sys.stdout.write(f"{done}\n")
        say(name, found[name])
    for k in (1, 5, 10):
        at = {n: {q: (r <= k).float() for q, r in one.items()} for n, one in found.items()}
        for first, second in (
            (("untuned", "title"), ("tuned", "title")),
            (("untuned", "title"), ("shuffled", "title")),
            (("tuned", "title"), ("tuned", "both")),
            (("tuned", "skills"), ("tuned", "title")),
        ):
            mean, low, high = interval(at[first[0]][first[1]], at[second[0]][second[1]])
            sys.stdout.write(
                f"R@{k}, {' '.join(first)} -> {' '.join(second)}: {mean:+.3f} "
                f"[{low:+.3f}, {high:+.3f}]\n"
            )


if __name__ == "__main__":
    main()
