"""Rules for haystacks: distinct random keys, where needles and threads stand, the text of pairs."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from random import Random
from typing import Literal

MARK = "*"
"""What marked keys hold, and nothing else does."""

Direction = Literal["forward", "backward", "random"]
Task = Literal["single", "multiple", "conditional", "thread", "multi-thread"]


def strings(rng: Random, count: int, digits: int | None) -> list[str]:
    """Distinct random keys: version-4 UUIDs, or short hexadecimal numbers.

    >>> strings(Random(0), 2, 4)
    ['d82c', '629f']
    """
    return _distinct(lambda: _string(rng, digits), count)


def marked_strings(rng: Random, count: int, digits: int | None) -> list[str]:
    """The same with one digit of each replaced by an asterisk.

    >>> marked_strings(Random(0), 2, 4)
    ['d82*', 'c20*']
    """

    def draw() -> str:
        key = _string(rng, digits)
        place = rng.choice([i for i, letter in enumerate(key) if letter != "-"])
        return key[:place] + MARK + key[place + 1 :]

    return _distinct(draw, count)


def text(pairs: Sequence[tuple[str, str]]) -> str:
    """The pairs as a JSON object, in their order; 80 characters for each pair of UUIDs.

    >>> text([("d82c", "62f0"), ("21e0", "9a3b")])
    '{"d82c": "62f0", "21e0": "9a3b"}'
    """
    return "{" + ", ".join(f'"{key}": "{value}"' for key, value in pairs) + "}"


def question(task: Task, keys: Sequence[str]) -> str:
    r"""The question, and the beginning of an answer to it, which also a plain model goes on.

    >>> question("single", ["d82c"])
    '\nIn this object, the value of the key "d82c" is:\n{"d82c": "'
    """
    quoted = ", ".join(f'"{key}"' for key in keys)
    follow = "\nA value of this object may be a key of it again, whose value is the next one."
    return {
        "single": f'\nIn this object, the value of the key {quoted} is:\n{{{quoted}: "',
        "multiple": f'\nIn this object, the values of the keys {quoted}, in this order, are:\n["',
        "conditional": f'\nIn this object, the values of all keys that hold "{MARK}", in the '
        'order of the object, are:\n["',
        "thread": f'{follow} Followed to its end, the key {quoted} leads to the value:\n"',
        "multi-thread": f"{follow} Followed to their ends, the keys {quoted} lead to the values:"
        '\n["',
    }[task]


def cluster(depth: float, count: int, n: int) -> list[int]:
    """Neighbouring places among `n`, from the first ones at depth 0 to the last ones at depth 1.

    >>> cluster(0.5, 3, 25)
    [11, 12, 13]
    """
    start = round(depth * (n - count))
    return list(range(start, start + count))


def threads(rng: Random, count: int, steps: int, n: int, direction: Direction) -> list[list[int]]:
    """Places among `n` of each thread's pairs, in the order in which they are followed.

    No two of them are neighbours. "random" is neither forward nor backward from three steps on.

    >>> threads(Random(0), 2, 3, 25, "backward")
    [[17, 7, 1], [20, 15, 10]]
    """
    total = count * steps
    places = [p + i for i, p in enumerate(sorted(rng.sample(range(n - total + 1), total)))]
    rng.shuffle(places)
    found = [sorted(places[i : i + steps]) for i in range(0, total, steps)]
    if direction == "backward":
        return [thread[::-1] for thread in found]
    if direction == "random":
        return [_disordered(rng, thread) for thread in found]
    return found


def _disordered(rng: Random, places: list[int]) -> list[int]:
    shuffled = rng.sample(places, len(places))
    while len(places) > 2 and shuffled in (places, places[::-1]):
        shuffled = rng.sample(places, len(places))
    return shuffled


def _string(rng: Random, digits: int | None) -> str:
    if digits is None:
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))
    return f"{rng.getrandbits(4 * digits):0{digits}x}"


def _distinct(draw: Callable[[], str], count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[draw()] = None
    return list(found)
