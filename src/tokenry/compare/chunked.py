"""What a comparison of chunkers found, as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tokenry.compare.columns import aligned
from tokenry.compare.records import Interval, Verdict

FIGURES = ("precision", "recall", "iou", "omega")
"""What is measured of each question."""


@dataclass(frozen=True, slots=True)
class Chunked:
    """What one chunker came to.

    Attributes:
        name: The chunker with its settings.
        chunks: How many chunks it made of all documents.
        tokens: Tokens of a chunk on average.
        retrieved: Chunks that were looked at for a question, on average.
        read: Tokens that these have together, on average: what a reader pays.
        figures: Mean and interval of each figure over the questions.
        deviations: Standard deviation of each figure.
        differences: The same minus the first chunker's, on the same questions; empty for the first.
        verdicts: What each difference comes to.
        scores: Each figure of each question.
    """

    name: str
    chunks: int
    tokens: float
    retrieved: float
    read: float
    figures: Mapping[str, Interval]
    deviations: Mapping[str, float]
    differences: Mapping[str, Interval]
    verdicts: Mapping[str, Verdict]
    scores: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Chunks:
    """Chunkers side by side on the same documents and questions.

    Attributes:
        data: What the documents are called.
        documents: How many there are.
        size: Their tokens.
        questions: What was asked, in order.
        ranker: What ranked the chunks.
        metric: What measured them, with its settings.
        chunkers: What each came to.
        notes: What a reader must know.
    """

    data: str
    documents: int
    size: int
    questions: tuple[str, ...]
    ranker: str
    metric: str
    chunkers: tuple[Chunked, ...]
    notes: tuple[str, ...] = ()

    def best(self, figure: str = "iou") -> Chunked:
        """The chunker with the highest mean of a figure."""
        return max(self.chunkers, key=lambda one: one.figures[figure].value)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"{len(self.questions)} questions about {self.documents} documents of {self.data} "
            f"({self.size:,} tokens); chunks ranked by {self.ranker}; {self.metric}.",
            "",
            *aligned([("chunker", "chunks", "tokens", "read", *FIGURES), *self._rows()], left=1),
            "",
            "Below each mean its 95 % interval; + surely better, - surely worse than the first.",
        ]
        return "\n".join([*lines, *self.notes])

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for one in self.chunkers:
            marks = {"better": "+", "worse": "-"}
            yield (
                one.name,
                f"{one.chunks:,}",
                f"{one.tokens:.0f}",
                f"{one.read:,.0f}",
                *(
                    f"{one.figures[name].value:.3f}{marks.get(one.verdicts.get(name, ''), ' ')}"
                    for name in FIGURES
                ),
            )
            spans = (
                f"{one.figures[name].low:.2f}-{one.figures[name].high:.2f}" for name in FIGURES
            )
            yield ("", "", "", "", *spans)
