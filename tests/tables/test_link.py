"""`tokenry.link` from end to end on small tables."""

from __future__ import annotations

import tokenry

LEFT = {"id": [1, 2, 3], "name": ["Ada Lovelace", "Alan Turing", None]}
RIGHT = {"name": ["turing, alan", "Lovelace ADA", "x", ""], "born": [1912, 1815, 0, 0]}


def test_the_nearest_become_links(letters):
    links = tokenry.link(LEFT, RIGHT, on="name", method=letters)
    assert links.pairs == {
        "left": [0, 1],
        "right": [1, 0],
        "score": [1.0, 1.0],
        "source": ["nearest", "nearest"],
    }
    assert links.merged()["born"] == [1815, 1912, None]


def test_blocks_say_which_pairs_are_compared(letters):
    links = tokenry.link(LEFT, RIGHT, on="name", method=letters, block=["name:3", "name:words"])
    assert links.pairs["source"] == ["name:words", "name:words"]
