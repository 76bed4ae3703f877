"""Where the names beside the points go, so that none covers a point or another name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

GAP = 8.0
LINE = 15.0
# How bad it is to cover a name, a point, and a few pixels of a line.
NAME, POINT, LINE_PART = 100.0, 10.0, 0.5


@dataclass(frozen=True, slots=True)
class Label:
    """A name that wants to stand near a point; lengths in pixels.

    Args:
        x: The point, from the left.
        y: The point, from the top.
        text: The name.
        color: Its colour.
        needed: False when the name may be left out for want of room.
    """

    x: float
    y: float
    text: str
    color: str
    needed: bool = True

    @property
    def width(self) -> float:
        """Estimated width of the text."""
        return 6.7 * len(self.text)

    def boxes(self) -> list[Box]:
        """Places to try, the nearest first: right, left and above or below, then farther off."""
        right, left, middle = self.x + GAP, self.x - GAP - self.width, self.x - self.width / 2
        level, over, under = self.y - LINE / 2, self.y - GAP - LINE, self.y + GAP
        near = [(right, over), (right, level), (left, over), (right, under), (left, under)]
        far = [(middle, over - 6), (middle, under + 6), (left, over - 16), (left, under + 16)]
        corners = [*near, (left, level), *far, (right, over - 16), (right, under + 16)]
        return [(x, y, x + self.width, y + LINE) for x, y in corners]


Box = tuple[float, float, float, float]
Place = tuple[float, float]


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
    obstacles = [(_around(p), POINT) for p in points] + [(_around(p), LINE_PART) for p in line]
    placed = []
    for label in labels:
        inside = [box for box in label.boxes() if _contains(size, box)]
        covered = [
            sum(weight for other, weight in obstacles if _overlap(box, other)) for box in inside
        ]
        if inside and (label.needed or min(covered) < POINT):
            box = inside[covered.index(min(covered))]
            obstacles.append((box, NAME))
            placed.append(replace(label, x=box[0], y=box[1] + LINE / 2))
    return placed


def _around(point: Place) -> Box:
    return point[0] - 5, point[1] - 5, point[0] + 5, point[1] + 5


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _contains(outer: Box, inner: Box) -> bool:
    return (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and inner[2] <= outer[2]
        and inner[3] <= outer[3]
    )
