"""The contract of scorers of documents by tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from tokenry.method.base import Method
from tokenry.ops.ragged import Ragged

Reads = Literal["vectors", "words"]


@dataclass(frozen=True, eq=False, slots=True)
class Prepared:
    """Documents that wait for queries.

    Attributes:
        score: From the tokens of queries to one score per query and document.
        bytes: What is held of the documents.
    """

    score: Callable[[Ragged], Float[Tensor, "q d"]]
    bytes: int


@dataclass(frozen=True, kw_only=True)
class LateScorer(Method):
    """Scores documents for queries, from the tokens of both.

    Attributes:
        reads: What stands for a text: a `vector` for each token, or the number of each word.
        pairwise: Whether the score of a query and a document depends on nothing else. Where it is
            False, the other documents count: they retrieve, or say how rare a word is.
    """

    noun: ClassVar[str] = "scorer of documents"
    reads: ClassVar[Reads] = "vectors"
    pairwise: ClassVar[bool] = True

    @abstractmethod
    def score(self, q: Ragged, d: Ragged) -> Float[Tensor, "q d"]:
        """One score per query and document, greater where the document answers better.

        A document without tokens answers nothing: minus infinity, or for words 0.

        Args:
            q: Tokens of the queries.
            d: Tokens of all documents.
        """

    def prepared(self, d: Ragged) -> Prepared:
        """The documents as they are held before a query comes; scores are those of `score`.

        Args:
            d: Tokens of all documents.
        """
        return Prepared(lambda q: self.score(q, d), d.values.nbytes)
