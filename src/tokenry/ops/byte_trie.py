"""A byte trie over the tokens of a vocabulary, held as one sorted table."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


class Node(NamedTuple):
    """A node of the trie: the rows of the table that share their first `depth` bytes.

    Attributes:
        start: First row.
        stop: The row after the last one; equal to `start` when no token begins like this.
        depth: How many bytes they share.
    """

    start: int
    stop: int
    depth: int

    def __bool__(self) -> bool:
        return self.stop > self.start

    @property
    def rows(self) -> slice:
        """The rows as a slice."""
        return slice(self.start, self.stop)


class ByteTrie:
    """Tokens sorted by their bytes, so that those with the same beginning stand together.

    Args:
        tokens: The bytes of each token that stands for text, by id.

    Attributes:
        ids: The token of each row.
        spelled: The bytes of each row.
        longest: Bytes of the longest token.

    >>> trie = ByteTrie({0: b"a", 1: b"ab", 2: b"b", 3: b"abc"})
    >>> node = trie.child(trie.child(trie.root, ord("a")), ord("b"))
    >>> [trie.spelled[row] for row in range(node.start, node.stop)], list(trie.ends(node))
    ([b'ab', b'abc'], [1])
    """

    ids: Int[np.ndarray, " n"]

    def __init__(self, tokens: Mapping[int, bytes]) -> None:
        rows = sorted((spelled, token) for token, spelled in tokens.items() if spelled)
        self.ids = np.array([token for _, token in rows], dtype=np.int64)
        self.spelled = [spelled for spelled, _ in rows]
        self.longest = max(map(len, self.spelled))
        self.root = Node(0, len(rows), 0)
        # Column by column, -1 behind the end: a node's next bytes are one sorted run of memory.
        self._table = np.full((len(rows), self.longest + 1), -1, dtype=np.int16, order="F")
        for row, spelled in enumerate(self.spelled):
            self._table[row, : len(spelled)] = np.frombuffer(spelled, dtype=np.uint8)
        self._pairs = np.zeros((256, 256), dtype=bool)
        for left, right in pairwise(self._table.T):
            inside = right >= 0
            self._pairs[left[inside], right[inside]] = True

    def _column(self, node: Node) -> Int[np.ndarray, " k"]:
        return self._table[node.rows, node.depth]

    def child(self, node: Node, byte: int) -> Node:
        """The tokens of a node that go on with a byte."""
        low, high = np.searchsorted(self._column(node), (byte, byte + 1))
        return Node(node.start + int(low), node.start + int(high), node.depth + 1)

    def ends(self, node: Node) -> range:
        """The rows of a node that have no further byte; several when tokens are spelled alike."""
        return range(node.start, node.start + int(np.searchsorted(self._column(node), 0)))

    def following(self, node: Node, mass: Float[np.ndarray, " n"]) -> Float[np.ndarray, " 256"]:
        """What the tokens of a node weigh together, by the byte that they go on with.

        Args:
            node: The node.
            mass: The weight of each row of the table.
        """
        found: Float[np.ndarray, " 257"] = np.bincount(
            self._column(node) + 1, weights=mass[node.rows], minlength=257
        )
        return found[1:]

    def apart(self, byte: int, rows: Int[np.ndarray, " k"]) -> Bool[np.ndarray, " k"]:
        """Which tokens no other can join to this byte: none has it and their first one inside."""
        found: np.ndarray = ~self._pairs[byte, self._table[rows, 0]]
        return found

    def joined(self, left: int, right: int) -> bool:
        """Whether some token has these two bytes next to each other."""
        return bool(self._pairs[left, right])

    def boundary(self, text: bytes, last: int) -> int:
        """The last place where every way to write a text has a border between tokens.

        Args:
            text: The text; what follows it is open.
            last: The last place that will do.

        Returns:
            A number of bytes; 0 when some token may stand across every other place.
        """
        reach: dict[int, int] = {}
        for place in range(last, 0, -1):
            for start in range(place - 1, max(place - self.longest, -1), -1):
                if start not in reach:
                    reach[start] = self._reach(text, start)
                if reach[start] > place:
                    break
            else:
                return place
        return 0

    def _reach(self, text: bytes, start: int) -> int:
        """Where the longest token ends that may stand at `start`."""
        node, end = self.root, start
        for place in range(start, len(text)):
            node = self.child(node, text[place])
            if not node:
                return end
            ends = self.ends(node)
            if ends:
                end = place + 1
        return end if len(ends) == node.stop - node.start else len(text) + 1
