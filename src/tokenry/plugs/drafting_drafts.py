"""The draft of one text in one pass, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from tokenry.method import DraftView, TokenTree

NOTHING = TokenTree(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))
"""The draft without nodes."""


@dataclass(slots=True)
class Draft:
    """The draft of one row, and what became of it.

    Attributes:
        view: What the drafter saw; None for a row that is done.
        tree: What it proposed.
        tokens: The same as a list.
        children: The nodes under each.
        path: The nodes that were accepted.
        written: Tokens that this pass wrote.
    """

    view: DraftView | None = None
    tree: TokenTree = NOTHING
    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    children: dict[int, list[int]] = field(default_factory=dict)
    path: list[int] = field(default_factory=list)
    written: int = 0


def part(tree: TokenTree, nodes: Sequence[int]) -> TokenTree:
    """Some nodes of a tree, and of each all that is above it.

    Args:
        tree: The tree.
        nodes: Its nodes that stay, rising.
    """
    index = torch.tensor(nodes, dtype=torch.long)
    place = {-1: -1} | {node: i for i, node in enumerate(nodes)}
    parents = torch.tensor([place[p] for p in tree.parents[index].tolist()], dtype=torch.long)
    probs = tree.probs
    if probs is not None:
        probs = probs[torch.cat([index.new_zeros(1), index + 1])]
    return TokenTree(tree.tokens[index], parents, probs)
