"""Entities with names and links: what a spot in a text may mean, and what it does mean there."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tokenry.ops.segmentation import folded

_WORDS = 6  # of a spot
_RARE = 0.02  # meanings of a smaller share are not looked at
_MEANINGS = 10


class Spot(NamedTuple):
    """Words that may mean something.

    Attributes:
        start: The first word.
        stop: The word behind the last.
        meanings: Entities with the share of each, the most common first.
        firm: Whether it names them by itself; if not, other spots have to speak for them.
    """

    start: int
    stop: int
    meanings: tuple[tuple[int, float], ...]
    firm: bool = True


class Meant(NamedTuple):
    """What a spot was found to mean.

    Attributes:
        entity: Its place.
        surety: The mean of its commonness and its coherence with the other spots.
    """

    entity: int
    surety: float


def listed(value: Any) -> list[str]:
    """The parts of a cell: of a list, of a text with `|` between them, or none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return []
    cells = value.split("|") if isinstance(value, str) else value
    return [text for one in cells if (text := str(one).strip())]


class Entities:
    """A knowledge base as a linker of mentions reads it.

    Args:
        names: Of each entity, its title first; a name may be several words.
        priors: How often each is meant; None for all alike.
        links: The places of the entities that each links to.

    >>> base = Entities([["Spain"], ["Madrid"]], [3.0, 1.0], [[1], [0]])
    >>> found = base.spots(["in", "spain"], lambda word: 0.0, 1.0, 1.0)
    >>> base.relatedness(0, 1), found[0].meanings
    (1.0, ((0, 1.0),))

    Source: Ferragina and Scaiella 2010 (TagMe); Milne and Witten 2008 for relatedness.
    """

    def __init__(
        self,
        names: Sequence[Sequence[str]],
        priors: Sequence[float | int] | None,
        links: Sequence[Iterable[int]],
    ) -> None:
        weights = [1.0] * len(names) if priors is None else list(map(float, priors))
        spots: dict[str, dict[int, float]] = defaultdict(dict)
        self.words: dict[str, tuple[str, ...]] = {}
        for place, own in enumerate(names):
            for name in own:
                key = folded("".join(name.split()))
                spots[key][place] = weights[place]
                self.words.setdefault(key, tuple(name.split()))
        self.titles = {folded("".join(own[0].split())) for own in names if own}
        self.meanings = {key: _shares(found) for key, found in spots.items() if key}
        self.related: dict[tuple[int, int], float] = {}  # what was asked for
        # An entity counts among those that link to it, so that what it links to is related to it.
        self.links_in: list[set[int]] = [{place} for place in range(len(names))]
        for place, others in enumerate(links):
            for other in others:
                self.links_in[other].add(place)

    def relatedness(self, a: int, b: int) -> float:
        r"""How many entities link to both, of those that link to either.

        $1 - \frac{\ln \max(|A|, |B|) - \ln |A \cap B|}{\ln W - \ln \min(|A|, |B|)}$ within 0 and 1,
        where A and B are the sets of entities that link to the two, themselves included, and W is
        the size of the base. 0 where nothing links to both, 1 for equal sets.
        """
        one, other = self.links_in[a], self.links_in[b]
        shared = len(one & other)
        if not shared:
            return 0.0
        low, high = sorted((len(one), len(other)))
        if shared == high:
            return 1.0
        whole = math.log(len(self.links_in)) - math.log(low)
        far = (math.log(high) - math.log(shared)) / whole if whole > 0 else 1.0
        return min(1.0, max(0.0, 1 - far))

    @classmethod
    def of_columns(
        cls, titles: Sequence[str | None], columns: Mapping[str, Sequence[Any]]
    ) -> Entities:
        """A base from a table.

        Args:
            titles: Of each row, None where it has none.
            columns: `id`, `aliases`, `links` and `prior`, as far as there are any.
        """
        none: Sequence[Any] = [None] * len(titles)
        ids = columns.get("id", range(len(titles)))
        places = {str(one): row for row, one in enumerate(ids)}
        names = [
            [title, *listed(others)] if title else []
            for title, others in zip(titles, columns.get("aliases", none), strict=True)
        ]
        links = [
            [places[one] for one in listed(cell) if one in places]
            for cell in columns.get("links", none)
        ]
        priors = columns.get("prior")
        weights = (
            None if priors is None else [0.0 if p is None or p != p else float(p) for p in priors]
        )
        return cls(names, weights, links)

    def spots(
        self, words: Sequence[str], share: Callable[[str], float], common: float, wordy: float
    ) -> list[Spot]:
        """Runs of words that are names, the longest first and none overlapping.

        Args:
            words: The words.
            share: How likely a folded word is in any text.
            common: A word that is likelier is no name by itself.
            wordy: A word that is likelier, and no title, needs others to speak for it.
        """
        found: list[Spot] = []
        taken: set[int] = set()
        for size in range(min(_WORDS, len(words)), 0, -1):
            for start in range(len(words) - size + 1):
                places = range(start, start + size)
                key = folded("".join(words[start : start + size]))
                meanings = self.meanings.get(key)
                likely = share(key) if size == 1 else 0.0
                if meanings and taken.isdisjoint(places) and likely <= common:
                    taken.update(places)
                    firm = likely <= wordy or key in self.titles
                    found.append(Spot(start, start + size, meanings, firm))
        return sorted(found)

    def vote(self, entity: int, spots: Sequence[Spot]) -> float:
        """How much other spots speak for an entity: the mean relatedness of what they may mean."""
        votes = 0.0
        for spot in spots:
            for other, share in spot.meanings:
                pair = (entity, other) if entity < other else (other, entity)
                if pair not in self.related:
                    self.related[pair] = self.relatedness(*pair)
                votes += share * self.related[pair]
        return votes / len(spots) if spots else 0.0

    def choose(
        self, spots: Sequence[Spot], context: Sequence[Spot], near: float, least: float
    ) -> list[Meant]:
        """What each spot means: of those that the others speak for most, the most common.

        Of two that are equally common and equally spoken for, both.

        Args:
            spots: What to decide.
            context: Further spots, which speak too.
            near: Of the highest vote; meanings within this share of it are equally good.
            least: Meanings of a smaller surety are left out.
        """
        found = []
        for at, spot in enumerate(spots):
            others = [*spots[:at], *spots[at + 1 :], *context]
            votes = {entity: self.vote(entity, others) for entity, _ in spot.meanings}
            bar = max(votes.values()) * (1 - near)
            # The most common comes first, and so wins among the good ones.
            first, most = next(pair for pair in spot.meanings if votes[pair[0]] >= bar)
            surety = (most * spot.firm + votes[first]) / 2
            same = [e for e, s in spot.meanings if s == most and votes[e] == votes[first]]
            found += [Meant(entity, surety) for entity in same if surety >= least]
        return found

    def coherence(self, meant: Sequence[Meant]) -> float:
        """The mean relatedness of all pairs of different entities; 0 without a pair."""
        own = sorted({one.entity for one in meant})
        pairs = [(a, b) for at, a in enumerate(own) for b in own[at + 1 :]]
        return sum(self.relatedness(a, b) for a, b in pairs) / len(pairs) if pairs else 0.0


def _shares(found: dict[int, float]) -> tuple[tuple[int, float], ...]:
    total = sum(found.values())
    shares = {place: w / total if total else 1 / len(found) for place, w in found.items()}
    order = sorted(shares, key=lambda place: (-shares[place], place))[:_MEANINGS]
    kept = [place for place in order if shares[place] >= _RARE] or order[:1]
    return tuple((place, shares[place]) for place in kept)
