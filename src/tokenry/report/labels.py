"""Where the names beside the points go, so that none covers a point or another name."""

from __future__ import annotations

from dataclasses import dataclass

GAP = 8.0
LINE = 15.0


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

    def corners(self) -> list[tuple[float, float]]:
        """Upper left corners to try, the best first."""
        right, left, middle = self.x + GAP, self.x - GAP - self.width, self.x - self.width / 2
        level, over, under = self.y - LINE / 2, self.y - GAP - LINE, self.y + GAP
        near = [(right, over), (right, level), (left, over), (right, under), (left, under)]
        return [*near, (left, level), (middle, over - 6), (middle, under + 6)]


Box = tuple[float, float, float, float]


def place(labels: list[Label], points: list[tuple[float, float]], size: Box) -> list[Label]:
    """Labels moved to free places: `x` becomes the left end of the text and `y` its middle.

    Greedy, in the order given: the first of eight places round the point that is free. A needed
    label that finds none takes the first place inside the picture.

    Args:
        labels: The wishes, the most important first.
        points: Every point of the plot, none of which may be covered.
        size: Left, top, right and bottom of the area where labels may stand.
    """
    taken: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    placed = []
    for label in labels:
        boxes = [(x, y, x + label.width, y + LINE) for x, y in label.corners()]
        inside = [box for box in boxes if _contains(size, box)]
        free = [box for box in inside if not any(_overlap(box, other) for other in taken)]
        choice = free or (inside if label.needed else [])
        if choice:
            left, top, _, _ = choice[0]
            taken.append(choice[0])
            placed.append(Label(left, top + LINE / 2, label.text, label.color, label.needed))
    return placed


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _contains(outer: Box, inner: Box) -> bool:
    return (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and inner[2] <= outer[2]
        and inner[3] <= outer[3]
    )
