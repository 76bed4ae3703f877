"""Find systems by what they do: BM25 over the catalogue's own cards, without torch.

The same search runs in the browser on the documentation's page of methods. Scores are sums of
whole numbers that stand in the index, so that both rank alike to the last place.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any

from tokenry import catalog
from tokenry.errors import UnknownNameError, UsageError

WEIGHTS = {"slug": 3, "name": 3, "title": 2, "summary": 3, "have": 2, "want": 3}
"""How often a word of each part of a card counts; one of its claims counts once."""

SUBJECTS = {
    "vision": "vision image picture patch encoder",
    "cache": "cache memory long context key value attention",
    "decoding": "decoding generation speculative draft",
    "vocab": "vocabulary tokenizer tokenization embedding",
    "codes": "codebook quantization discrete code",
    "diffusion": "diffusion image generation",
    "retrieval": "retrieval search ranking late interaction embedding document query",
    "linking": "record linkage entity resolution duplicate matching table",
    "training": "training objective loss",
    "probes": "probe measure language model",
}
"""What people call the families."""

_STOP = """
a all an and any are as at be but by can do does each every for from has have how i if in into is it
its make me more most my no not of on once one only or other says so than that the their them then
there these they this to too was we were what when where which who whose will with you your
"""
STOP = frozenset(_STOP.split())

ALIKE = tuple(
    frozenset(group.split())
    for group in (
        "image picture photo",
        "train learn",
        "prune drop evict discard",
        "merge combine pool",
        "faster speed latency accelerate speculative",
        "slow latency accelerate speculative",
        "kv cache",
        "retrieve search find",
        "duplicate dedupe",
        "quantize compress",
    )
)
"""Words that ask for the same; another word of the group counts three fifths."""

# The first ending that leaves three letters goes. Crude, but the same for words and queries.
_ENDINGS = """
isations:iz izations:iz isation:iz ization:iz isers:iz izers:iz iser:iz izer:iz ising:iz izing:iz
ised:iz ized:iz ises:iz izes:iz ise:iz ize:iz ations:at ation:at ating:at ated:at ates:at ate:at
ions: ion: ively: ives: ive: eed:eed ings: ing: ers: ors: er: or: ed: ies:y als: al: ly: es: s: e:
"""
ENDINGS = tuple(tuple(pair.split(":")) for pair in _ENDINGS.split())

_WORD = re.compile(r"[^\W_]+")
_DEPTH, _EVENNESS = 1.2, 0.75  # BM25's k1 and b
_SCALE = 1000
_STRANGER = 0.6  # likeness of systems of two families
_NAMED = 20 * _SCALE  # a query that is a system's name


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One system that a search brought up.

    Args:
        slug: Its name, as in `tokenry show`.
        name: The paper's short name.
        family: The family it belongs to.
        summary: What it does, in one sentence.
        score: BM25 over the card, or for `like` a cosine; higher is nearer.
        words: The words that it was found by.
    """

    slug: str
    name: str
    family: str
    summary: str
    score: float
    words: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def find(
    query: str = "", *, like: str | None = None, family: str | None = None, k: int = 8
) -> list[Found]:
    """The systems whose cards answer a query best, or that are most like a given one.

    Titles, what a system does, what it is for and what its paper claims are searched; those of
    installed packages' methods too. Endings of words do not matter, and a word that no card holds
    stands for those that begin with it.

    Args:
        query: What is wanted, in plain words.
        like: The name of a system, in the place of a query.
        family: Only systems of this family.
        k: At most so many.

    Returns:
        The best first; empty when no card holds any word of the query.

    Raises:
        UsageError: If query and `like` are both given, or neither, or `k` is not positive.
        UnknownNameError: If there is no system `like`.

    >>> [found.slug for found in find("merge similar image tokens", k=2)]
    ['tome', 'pitome']
    >>> find(like="tome", k=1)[0].slug
    'pitome'
    """
    if bool(query.strip()) == (like is not None):
        raise UsageError(
            f"find: query={query!r} and like={like!r}; give one of them, words or a method's name."
        )
    if k < 1:
        raise UsageError(f"find: k={k} methods are none; ask for 1 or more.")
    index = _index(catalog.names())
    found = index.search(query) if like is None else index.like(like)
    return [one for one in found if family in (None, one.family)][:k]


def terms(text: str) -> list[tuple[str, str]]:
    """The words of a text with the terms that they are searched by; stop words are left out.

    >>> terms("Merging the merged patches")
    [('merging', 'merg'), ('merged', 'merg'), ('patches', 'patch')]
    """
    words = _WORD.findall(unicodedata.normalize("NFKC", text).lower())
    return [(word, _stem(word)) for word in words if word not in STOP]


class CardIndex:
    """The cards, ready to be searched.

    Args:
        cards: Cards as plain data, as in `tokenry.catalog.cards()`.
    """

    def __init__(self, cards: Sequence[Mapping[str, Any]]) -> None:
        self.cards = tuple(cards)
        self._bags = [_bag(card) for card in cards]

    @cached_property
    def postings(self) -> dict[str, dict[int, int]]:
        """For each term the numbers of the cards that hold it, with what it adds to their scores.

        That is BM25 in thousandths, in Lucene's form: $w(t) f / (f + k_1 (1 - b + b l / l'))$.
        """
        count = len(self._bags)
        holders = Counter(term for bag in self._bags for term in bag)
        lengths = [sum(bag.values()) for bag in self._bags]
        mean = sum(lengths) / max(1, count)
        found: dict[str, dict[int, int]] = {}
        for number, (bag, length) in enumerate(zip(self._bags, lengths, strict=True)):
            damping = _DEPTH * (1 - _EVENNESS + _EVENNESS * length / mean)
            for term, often in bag.items():
                rarity = math.log(1 + (count - holders[term] + 0.5) / (holders[term] + 0.5))
                impact = round(_SCALE * rarity * often / (often + damping))
                found.setdefault(term, {})[number] = impact
        for number, card in enumerate(self.cards):
            for field, impact in (("name", _NAMED), ("slug", 2 * _NAMED)):
                found.setdefault(_exact(terms(card[field])), {})[number] = impact
        return dict(sorted(found.items()))

    def search(self, query: str) -> list[Found]:
        """All cards that hold a word of the query, the best first; equal ones in their order."""
        asked = terms(query)
        scores = Counter(self.postings.get(_exact(asked), {}))
        words: dict[int, list[str]] = {number: [] for number in scores}
        for term, word in {term: word for word, term in reversed(asked)}.items():
            for number, impact in self._impacts(term).items():
                scores[number] += impact
                words.setdefault(number, []).insert(0, word)
        order = sorted(scores, key=lambda number: (-scores[number], number))
        return [self._found(n, scores[n] / _SCALE, words[n]) for n in order]

    def like(self, slug: str) -> list[Found]:
        """All other cards that share a term with this one, the nearest first.

        Raises:
            UnknownNameError: If there is no such card.
        """
        names = [card["slug"] for card in self.cards]
        if slug not in names:
            raise UnknownNameError("method", slug, names, "`tokenry list` shows all.")
        one = names.index(slug)
        near = {
            number: self._cosine(one, number)
            for number in range(len(names))
            if number != one and self._cosine(one, number) > 0
        }
        order = sorted(near, key=lambda number: (-near[number], number))
        return [self._found(n, near[n], self._shared(one, n)) for n in order]

    def to_dict(self, near: int = 4) -> dict[str, Any]:
        """Everything that the search in the browser needs, as plain data.

        Args:
            near: How many similar systems stand with each.
        """
        shown = ("slug", "name", "family", "summary")
        return {
            "stop": sorted(STOP),
            "endings": ENDINGS,
            "alike": [sorted(_stem(word) for word in group) for group in ALIKE],
            "cards": [
                {
                    **{field: card[field] for field in shown},
                    "near": [one.slug for one in self.like(card["slug"])[:near]],
                }
                for card in self.cards
            ],
            "terms": {
                term: [value for pair in holders.items() for value in pair]
                for term, holders in self.postings.items()
            },
        }

    def _impacts(self, term: str) -> dict[int, int]:
        """Of a term and those like it, or when no card holds it of those that begin with it."""
        near = _near(term)
        if not (near or term in self.postings) and len(term) > 2:
            near = {other for other in self.postings if other.startswith(term)}
        found = dict(self.postings.get(term, {}))
        for other in near:
            for number, impact in self.postings.get(other, {}).items():
                found[number] = max(impact * 3 // 5, found.get(number, 0))
        return found

    @cached_property
    def _vectors(self) -> list[dict[str, int]]:
        """What each term adds to the score of each card; numbers say nothing of likeness."""
        vectors: list[dict[str, int]] = [{} for _ in self.cards]
        for term, holders in self.postings.items():
            if term.isalpha():
                for number, impact in holders.items():
                    vectors[number][term] = impact
        return vectors

    def _cosine(self, one: int, other: int) -> float:
        a, b = self._vectors[one], self._vectors[other]
        dot = sum(weight * b[term] for term, weight in a.items() if term in b)
        norms = math.sqrt(sum(x * x for x in a.values()) * sum(x * x for x in b.values()))
        kin = self.cards[one]["family"] == self.cards[other]["family"]
        return dot / norms * (1 if kin else _STRANGER) if norms else 0.0

    def _shared(self, one: int, other: int, most: int = 3) -> list[str]:
        a, b = self._vectors[one], self._vectors[other]
        both = sorted(a.keys() & b.keys(), key=lambda term: (-a[term] * b[term], term))
        texts = [text for text, _ in _fields(self.cards[one])]
        spelled = {term: word for text in reversed(texts) for word, term in reversed(terms(text))}
        return [spelled[term] for term in both[:most]]

    def _found(self, number: int, score: float, words: Iterable[str]) -> Found:
        card = self.cards[number]
        return Found(
            slug=card["slug"],
            name=card["name"],
            family=card["family"],
            summary=card["summary"],
            score=round(score, 3),
            words=tuple(words),
        )


@lru_cache(maxsize=1)
def _index(names: tuple[str, ...]) -> CardIndex:
    return CardIndex([catalog.card(name) for name in names])


def _fields(card: Mapping[str, Any]) -> Iterable[tuple[str, int]]:
    """The texts of a card that are searched, each with its weight."""
    yield SUBJECTS[card["family"]], 1
    for field, weight in WEIGHTS.items():
        yield card[field], weight
    for claim in card["claims"]:
        yield f"{claim['paper']} {claim['effect']}", 1


def _bag(card: Mapping[str, Any]) -> Counter[str]:
    bag: Counter[str] = Counter()
    for text, weight in _fields(card):
        for _, term in terms(text):
            bag[term] += weight
    return bag


def _exact(asked: Sequence[tuple[str, str]]) -> str:
    """A term for a whole name; no word is written like it."""
    return "=" + "-".join(term for _, term in asked)


def _near(term: str) -> set[str]:
    groups = ({_stem(word) for word in group} for group in ALIKE)
    return {other for group in groups if term in group for other in group} - {term}


def _stem(word: str) -> str:
    for ending, rest in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)] + rest
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word
