"""What a log of aliases says about which names mean the same thing."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from tokenry.errors import UsageError

Labels = Int[np.ndarray, " n"]


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class AliasCounts:
    """How often each alias was picked for each id.

    Attributes:
        aliases: Each once, in the order in which they came.
        ids: Each once, in the order in which they came.
        counts: Aliases by ids.
    """

    aliases: tuple[str, ...]
    ids: tuple[Hashable, ...]
    counts: sparse.csr_array

    @classmethod
    def of(
        cls,
        aliases: Sequence[str | None],
        ids: Sequence[Hashable],
        counts: Sequence[float | int] | None = None,
        least: float | int = 0,
    ) -> AliasCounts:
        """Counts from the entries of a log; entries without alias, id or count are left out.

        Args:
            aliases: Of each entry.
            ids: Of each entry.
            counts: How often each entry came; once by default.
            least: How often an alias must have come.

        Raises:
            UsageError: If a count is negative.
        """
        times = [1.0] * len(aliases) if counts is None else counts
        rows, columns, values = [], [], []
        places: dict[str, int] = {}
        known: dict[Hashable, int] = {}
        for alias, who, count in zip(aliases, ids, times, strict=True):
            missing = who is None or who != who or count != count  # NaN is missing too
            if not alias or missing or not count:
                continue
            if count < 0:
                raise UsageError(f"AliasCounts: {alias!r} has the count {count}; counts are >= 0.")
            rows.append(places.setdefault(alias, len(places)))
            columns.append(known.setdefault(who, len(known)))
            values.append(float(count))
        shape = (len(places), len(known))
        table = sparse.coo_array((values, (rows, columns)), shape=shape).tocsr()
        kept = np.flatnonzero(np.asarray(table.sum(1)).reshape(-1) >= least)
        names = tuple(places)
        return cls(
            aliases=tuple(names[place] for place in kept), ids=tuple(known), counts=table[kept]
        )

    def shares(self) -> sparse.csr_array:
        r"""$P(u \mid a)$, the share of an alias' entries that picked an id."""
        totals = np.asarray(self.counts.sum(1)).reshape(-1)
        return sparse.csr_array(sparse.diags_array(1 / np.maximum(totals, 1e-300)) @ self.counts)

    def match(self) -> sparse.csr_array:
        r"""$P(a \sim a') = \sum_u P(u \mid a) P(u \mid a')$ of all pairs of aliases.

        It is the probability that two people who type the two aliases pick the same id.

        >>> log = AliasCounts.of(["ibm", "big blue", "ibm"], [1, 1, 2], [3, 5, 1])
        >>> log.match().toarray().tolist()
        [[0.625, 0.75], [0.75, 1.0]]

        Source: Libgober and Jerzak 2025, section 3.
        """
        shares = self.shares()
        return sparse.csr_array(shares @ shares.T)

    def match_of(self, left: Labels, right: Labels) -> Float[np.ndarray, " n"]:
        """The same of given pairs of aliases."""
        shares = self.shares()
        return np.asarray(shares[left].multiply(shares[right]).sum(1)).reshape(-1)


def communities(log: AliasCounts) -> Labels:
    """The community of each alias in the graph of aliases and ids, weighted by counts.

    Communities are joined for as long as modularity grows; it is meant for logs of some thousand
    aliases, beyond which `tokenry.ops.markov` is much faster.

    Source: Clauset, Newman and Moore 2004, in networkx.
    """
    import networkx as nx

    count = len(log.aliases)
    edges = log.counts.tocoo()
    graph = nx.Graph()
    graph.add_nodes_from(range(count + len(log.ids)))
    row, column = edges.coords
    graph.add_weighted_edges_from(
        zip(row.tolist(), (column + count).tolist(), edges.data.tolist(), strict=True)
    )
    labels = np.zeros(count + len(log.ids), np.int64)
    if graph.number_of_edges():
        found = nx.community.greedy_modularity_communities(graph, weight="weight")
        for label, nodes in enumerate(found):
            labels[sorted(nodes)] = label
    return labels[:count]
