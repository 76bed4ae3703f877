"""LinkOrgs: names are linked through what people who typed them picked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, final

import numpy as np
from jaxtyping import Float, Int

from tokenry.card import Card, Claim
from tokenry.method import Aids, In, Linker, Matcher, PresentMatcher, Side
from tokenry.method.linker import Rows, Scores
from tokenry.ops.alias_graph import AliasCounts, communities
from tokenry.ops.markov import markov_clusters
from tokenry.ops.name_distance import NameDistances, plain
from tokenry.ops.name_network import Distance, Network, reached, within
from tokenry.ops.nearest import Ranked, nearest_by, rounded

_LEAST = 1e-9  # a pair that shares nothing scores 0 and is no match
_LOG = 'a log of what people typed and picked, with the columns "alias", "id" and perhaps "count"'
_HOW = "pass an encoder of names; tokenry.plugs.name_metric trains one."


@final
@dataclass(frozen=True, kw_only=True)
class LinkOrgs(Linker):
    r"""Two names are as near as they are themselves, or as through a directory of aliases.

    A log of aliases says for which id people picked a name. It gives each alias a canonical id: its
    community. With the distance $d_x$ of a name from the nearest alias of a canonical id, two names
    are $\min_c \max(\rho d_x(c), \rho d_y(c))$ apart through the network, or $d(x, y)$ directly,
    whichever is less. The score is one minus the distance.

    Args:
        threshold: The least score of a match; None for what `per_record` says.
        network: How aliases get canonical ids: Markov clustering of the probability that two
            aliases match, communities of aliases and ids, or not at all.
        metric: The fuzzy distance of names, or that of vectors which `aids.embed` gives them.
        direct: Whether names are also compared with each other, and not through the network alone.
        per_record: A, the matches of a record that the threshold is chosen for.
        per_alias: The same for matches with the directory.
        rho: What the distance through the network is multiplied by.
        inflation: r of Markov clustering.
        frequent: How often an alias must be in the log to be in the directory.

    Raises:
        UsageError: If a setting is out of range.

    >>> log = Side(columns={"alias": ["IBM", "Big Blue"], "id": [7, 7]}, keys=(), count=2)
    >>> side = Side(columns={"name": ["ibm"]}, keys=("name",), count=1)
    >>> other = Side(columns={"name": ["big blue"]}, keys=("name",), count=1)
    >>> found = LinkOrgs().prepare(side, other, Aids(tables={"aliases": log}))
    >>> found.score(np.array([0]), np.array([0])).tolist()
    [1.0]

    Source: Libgober and Jerzak 2025, sections 3 and 4.
    """

    top: ClassVar[float] = 1.0
    card: ClassVar[Card] = Card(
        slug="linkorgs",
        name="LinkOrgs",
        title="Linking Datasets on Organizations Using Half A Billion Open Collaborated Records",
        summary="Links names that share no letters, through a log of which names people used for "
        "the same thing.",
        family="linking",
        have="two tables of names, and a log of aliases that were typed for known ids",
        want="links between different names of one thing",
        dial="none: it links",
        needs="nothing",
        year=2025,
        arxiv="2302.02533",
        venue="Political Science Research and Methods",
        code="https://github.com/cjerzak/LinkOrgs-software",
        code_license="CC BY-NC-ND 4.0",
        claims=(
            Claim(
                paper="Linking through the network finds pairs that fuzzy matching misses "
                "(figures of section 5).",
                effect="Pairs of names that share no trigram are found through the network and "
                "combined, and not by fuzzy matching of equal precision.",
                test="tests/linking/test_linkorgs.py::test_claim_names_that_share_no_trigram",
                measured="59 cities of GeoNames, a made-up log of 20,000 entries with four fifths "
                "of their names, Zipf's law and 2 % wrong; 118 names, mistyped, against 118 "
                "others, 193 of 236 pairs without a shared trigram. At precision .90 fuzzy finds "
                "5 pairs, none of the 193; the network 139 (106), with fuzzy 140 (104), whether "
                "by Markov clustering or by communities.",
            ),
            Claim(
                paper="The learned metric matches names better than fuzzy matching (section 5).",
                effect="Names that training never saw find their own among other names more often "
                "than by Jaccard.",
                test="tests/linking/test_linkorgs.py::"
                "test_claim_a_learned_metric_finds_names_never_typed",
                measured="1,183 cities of GeoNames, 3,876 of their names held out, 23 scripts; a "
                "transformer of 0.2 million weights over characters, 2,500 steps "
                "(recipes/linkorgs_places.py). The nearest of all English names is the right one "
                "for .736 of them, by Jaccard for .256 (+.480 [+.463, +.497]); in Latin script "
                ".689 and .418, in others .811 and .001.",
            ),
            Claim(
                paper="On lobbying and meeting data of real organisations the combination is best "
                "(section 5).",
                effect="F1 of links between organisations.",
                not_shown="The log of half a billion records is not free, and no other log of "
                "organisations is at hand; the effect is shown on a made-up log of cities.",
            ),
        ),
        differs=(
            "Aliases are the user's log; nothing of the official directory or weights is used, "
            "as their licence forbids derivatives.",
            "A pair must share a twentieth of the trigrams of the shorter name instead of the left "
            "one, so that sides may be swapped; names of less than three characters count as one.",
            "Punctuation becomes a space, as in the keys of tables, instead of nothing.",
            "The quantile of the calibration is taken over all pairs; the official one is taken "
            "over those that survived the trigram filter, and so lets fewer through than it says.",
            "One match per record instead of ten is the default, as links are read as matches.",
            "A threshold that is given is what counts; officially the number of matches does.",
            "One threshold, that of direct matching, holds for both kinds of distance; officially "
            "whatever the network joins is a match.",
            "Vectors have length one, and their squared distance is halved instead of divided by "
            "their width, so that unlike names are 1 apart.",
            "Training reads in-batch pairs in equal number: matching, random, and the nearest that "
            "match nothing; paper and code leave open how they are drawn.",
            "Every alias of the log may be in the directory; the official one holds those that "
            "came 40 times (`frequent`).",
        ),
    )

    network: Annotated[Literal["markov", "bipartite", "none"], "how aliases get canonical ids"] = (
        "markov"
    )
    metric: Annotated[Literal["fuzzy", "learned"], "what the distance of two names is"] = "fuzzy"
    direct: Annotated[bool, "whether names are compared with each other too"] = True
    per_record: Annotated[
        float, In(0, 1e6, open="left"), "the matches of a record that the threshold is chosen for"
    ] = 1.0
    per_alias: Annotated[
        float, In(0, 1e6, open="left"), "the same for matches with the directory"
    ] = 2.0
    rho: Annotated[float, In(1, 1e12), "what the distance through the network is multiplied by"] = (
        1.5
    )
    inflation: Annotated[float, In(1, 30, open="left"), "how sharp Markov clustering is"] = 2.0
    frequent: Annotated[
        float, In(0, 1e12), "how often an alias must be in the log to be in the directory"
    ] = 1.0

    def prepare(self, left: Side, right: Side, aids: Aids) -> Matcher:
        """Read both tables, and the table `aliases` unless there is no network.

        Raises:
            UsageError: If the log, a column of it, or what gives names vectors is missing.
        """
        ours = plain(left.texts())
        theirs = ours if right is left else plain(right.texts())
        learned = self.metric == "learned"
        kinds = NameDistances(aids.need("LinkOrgs", "embed", _HOW) if learned else None)
        return _Names(self, ours, theirs, kinds, aids)

    @classmethod
    def sample(cls, left: Side, right: Side, aids: Aids) -> tuple[Side, Side, Aids]:
        """Adds a log of two aliases of one id."""
        names = ["arts delicatessen studio city", "arts deli studio city", "kitchen"]
        log = Side(columns={"alias": names, "id": [1, 1, 2]}, keys=(), count=3)
        return left, right, replace(aids, tables={"aliases": log})

    def canonical(self, log: AliasCounts) -> Int[np.ndarray, " n"]:
        """The canonical id of each alias of a log, by the network that is set."""
        if self.network == "bipartite":
            return communities(log)
        return markov_clusters(log.match(), self.inflation)

    def directory(self, aids: Aids) -> tuple[list[str], Int[np.ndarray, " n"]]:
        """The aliases of the log, and the canonical id of each.

        Raises:
            UsageError: If the table `aliases` is missing, or a column of it.
        """
        table = aids.table("LinkOrgs", "aliases", _LOG)
        aliases, ids = (table.column("LinkOrgs", name) for name in ("alias", "id"))
        counts = table.columns.get("count")
        log = AliasCounts.of(plain(aliases), ids, counts, self.frequent)
        return list(log.aliases), self.canonical(log)


class _Names(PresentMatcher):
    """Names with their distances, direct and through the network."""

    def __init__(
        self,
        rule: LinkOrgs,
        left: list[str | None],
        right: list[str | None],
        kinds: NameDistances,
        aids: Aids,
    ) -> None:
        super().__init__(left, right, 0.0)
        self.direct: Distance | None = kinds.between(self.left, self.right)
        self.shape = self.direct.shape
        self.threshold = max(_LEAST, 1 - within(self.direct, rule.per_record))
        self.network: Network | None = None
        self.unjoined = 2 * rule.rho
        if rule.network != "none":
            names, labels = rule.directory(aids)
            some, others = (
                reached(kinds.between(side, names), labels, rule.per_alias)
                for side in (self.left, self.right)
            )
            self.network = Network(some, others, self.shape, rule.rho)
            if not rule.direct:
                self.direct, self.threshold = None, 1 - self.network.farthest
        if rule.threshold is not None:
            self.threshold = rule.threshold

    def pairs(self, left: Rows, right: Rows) -> Scores:
        """One minus the distance of each pair."""
        return rounded(self._score([one.pairs(left, right) for one in self._kinds()]))

    def best(self, k: int, least: float, rows: slice) -> Ranked:
        """The k nearest right names of each left one."""
        return nearest_by(self._tile, self.shape, k, least, itself=self.itself, rows=rows)

    def _tile(self, rows: slice, columns: slice) -> Float[np.ndarray, "t u"]:
        return self._score([one.tile(rows, columns) for one in self._kinds()])

    def _kinds(self) -> list[Distance | Network]:
        return [one for one in (self.direct, self.network) if one is not None]

    def _score(self, near: list[Float[np.ndarray, "*s"]]) -> Float[np.ndarray, "*s"]:
        least = near[0] if len(near) == 1 else np.fmin(*near)
        # What the network alone does not join is farther than all that it joins.
        return 1 - np.where(np.isnan(least), self.unjoined, least)
