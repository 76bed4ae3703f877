"""Where the names beside the points go, so that none covers a point or another name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

LINE = 15.0
RINGS = (8.0, 24.0, 40.0, 58.0, 78.0, 100.0)
"""Distances between a point and its name to try; in the first the name needs no leader."""
# How bad it is to cover a name, a point, a leader, a few pixels of the front, and to be far off.
NAME, POINT, LEADER, FRONT, PIXEL = 100.0, 30.0, 10.0, 0.5, 0.1
_NARROW, _WIDE = "Iijlft .,:;|-()[]'", "mwMW@%…"
# Above and to the right is read most easily.
_DIRECTIONS = (
    *((1, -1), (1, 0), (-1, -1), (1, 1), (-1, 1), (-1, 0), (0, -1), (0, 1)),
    *((1, -0.5), (-1, -0.5), (1, 0.5), (-1, 0.5), (0.5, -1), (-0.5, -1), (0.5, 1), (-0.5, 1)),
)

Box = tuple[float, float, float, float]
Place = tuple[float, float]
Obstacle = tuple[Box, float]


@dataclass(frozen=True, slots=True)
class Label:
    """A name that wants to stand near a point; lengths in pixels.

    Args:
        x: The point, from the left.
        y: The point, from the top.
        text: The name.
        color: Its colour.
        needed: False when the name may be left out for want of room.
        far: Whether the name may stand away from the point, with a leader between them.
        leader: Both ends of the leader once the name is placed; None when it needs none.
    """

    x: float
    y: float
    text: str
    color: str
    needed: bool = True
    far: bool = True
    leader: tuple[Place, Place] | None = None

    @property
    def width(self) -> float:
        """Estimated width of the text."""
        return sum(
            3.5 if c in _NARROW else 10.5 if c in _WIDE else 8.5 if c.isupper() else 7.0
            for c in self.text
        )

    def boxes(self, distance: float) -> list[Box]:
        """Places to try so far from the point, the most readable first."""
        corners = [
            (
                self.x + right * distance - self.width * (1 - right) / 2,
                self.y + down * distance - LINE * (1 - down) / 2,
            )
            for right, down in _DIRECTIONS
        ]
        return [(x, y, x + self.width, y + LINE) for x, y in corners]


def place(
    labels: Sequence[Label], points: Sequence[Place], line: Sequence[Place], size: Box
) -> list[Label]:
    """Labels moved to free places: `x` becomes the left end of the text and `y` its middle.

    Greedy, in the order given: the nearest place inside the picture that covers least. A label that
    is not needed is left out rather than cover a point or a name.

    Args:
        labels: The wishes, the most important first.
        points: Every point of the plot; only covering another name is worse than covering one.
        line: Places along a line that had better not be covered.
        size: Left, top, right and bottom of the area where labels may stand.
    """
    obstacles = [(_around(p, 7), POINT) for p in points] + [(_around(p, 5), FRONT) for p in line]
    placed = []
    for label in labels:
        cost, box = _best(label, obstacles, size)
        if cost < POINT or (label.needed and cost < math.inf):
            obstacles += [(box, NAME), *((dot, LEADER) for dot in _leader_dots(label, box))]
            end = _nearest(label, box)
            leader = ((label.x, label.y), end) if _far(label, box) else None
            placed.append(replace(label, x=box[0], y=box[1] + LINE / 2, leader=leader))
    return placed


def _best(label: Label, obstacles: Sequence[Obstacle], size: Box) -> tuple[float, Box]:
    """The cheapest place and its cost, which is infinite when no place is inside the picture."""
    cost, best = math.inf, (0.0, 0.0, 0.0, 0.0)
    for distance in RINGS if label.far else RINGS[:1]:
        if cost <= PIXEL * distance:
            break
        for box in label.boxes(distance):
            if _contains(size, box) and (found := _cost(label, box, obstacles)) < cost:
                cost, best = found, box
    return cost, best


def _cost(label: Label, box: Box, obstacles: Sequence[Obstacle]) -> float:
    mine = [box, *_leader_dots(label, box)]
    covered = sum(weight for other, weight in obstacles if any(_overlap(m, other) for m in mine))
    return covered + PIXEL * math.dist((label.x, label.y), _nearest(label, box))


def _far(label: Label, box: Box) -> bool:
    return math.dist((label.x, label.y), _nearest(label, box)) > RINGS[0] * 1.5


def _leader_dots(label: Label, box: Box) -> Iterator[Box]:
    """Small boxes along the leader, outside the point itself; none when it needs no leader."""
    if _far(label, box):
        x, y = _nearest(label, box)
        length = math.dist((label.x, label.y), (x, y))
        for pixels in range(14, int(length), 5):
            share = pixels / length
            yield _around((label.x + share * (x - label.x), label.y + share * (y - label.y)), 1)


def _nearest(label: Label, box: Box) -> Place:
    """The place in the box that is nearest to the point."""
    return min(max(label.x, box[0]), box[2]), min(max(label.y, box[1]), box[3])


def _around(point: Place, reach: float) -> Box:
    return point[0] - reach, point[1] - reach, point[0] + reach, point[1] + reach


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _contains(outer: Box, inner: Box) -> bool:
    return (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and inner[2] <= outer[2]
        and inner[3] <= outer[3]
    )
