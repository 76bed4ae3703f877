"""Views of one layer's cache, made by hand."""

import pytest
import torch

from tokenry.method import KVView


def make_view(seed=0, count=8, b=2, g=2, heads=2, s=24, e=4, valid=None, memory=None, **changes):
    """A complete layer of random keys, values, attention mass and last queries."""
    source = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=source)

    asked = {
        "mass": draw(b, g * heads, s).exp(),
        "queries": draw(b, g * heads, 6, e),
        "query_tokens": torch.arange(s - 6, s).expand(b, -1),
    }
    given = {
        "layer": 0,
        "depth": 1,
        "count": count,
        "seen": s,
        "keys": draw(b, g, s, e),
        "values": draw(b, g, s, e + 1),
        "tokens": torch.arange(s).expand(b, g, -1),
        "size": None,
        "valid": valid,
        "places": torch.arange(s).expand(b, -1),
        "scale": e**-0.5,
        "memory": {} if memory is None else memory,
        "asked": asked,
    }
    return KVView(**{**given, **changes})


@pytest.fixture(scope="session")
def view():
    """Build a view: `view(seed=1, count=5)`."""
    return make_view


@pytest.fixture(scope="session")
def left_padded():
    """Which of 24 slots are real: all of the first text, all but the first five of the second."""
    valid = torch.ones(2, 2, 24, dtype=torch.bool)
    valid[1, :, :5] = False
    return valid


def best(score, real, count, first=0, last=0):
    """`count` slots: the first and last real ones, then those of highest score, then padding."""
    forced = [*real[:first], *(real[-last:] if last else [])]
    rest = sorted((j for j in real if j not in forced), key=lambda j: (-score[j], j))
    padding = [j for j in range(len(score)) if j not in real]
    return sorted(list(dict.fromkeys(forced + rest + padding))[:count])


@pytest.fixture(scope="session")
def check_slots(left_padded):
    """`check_slots(method, seed, count, padded, rule)`: what stays is what `rule` says by loops.

    `rule(view, text, head, real)` gives a score per slot, and how many first and last ones stay.
    """

    def check_slots(method, seed, count, padded, rule):
        view = make_view(seed, count, valid=left_padded if padded else None)
        got = method.evict(view).keep
        for i in range(2):
            real = [j for j in range(24) if view.valid is None or view.valid[i, 0, j]]
            for head in range(2):
                score, first, last = rule(view, i, head, real)
                assert got[i, head].tolist() == best(score, real, count, first, last)

    return check_slots
