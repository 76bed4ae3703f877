"""FVT: a new token is the mean of the old tokens that wrote it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, final

from tokenry.card import Card, Claim
from tokenry.method import EmbeddingRows, Move, VocabMap
from tokenry.method.blends import Blend, blended, shared


@final
@dataclass(frozen=True, kw_only=True)
class FVT(VocabMap):
    r"""Fast vocabulary transfer: the mean of the rows of a token's old spelling.

    $e_x = \frac{1}{|S(x)|} \sum_{y \in S(x)} e_y$, where $S(x)$ is how the old tokenizer writes
    the text of x. A token of both vocabularies keeps its row, and one that the old tokenizer
    cannot write is drawn at random.

    Source: Gee et al. 2022, section 3.1.
    """

    card: ClassVar[Card] = Card(
        slug="fvt",
        name="FVT",
        title="Fast Vocabulary Transfer for Language Model Compression",
        summary="A new token starts as the mean of the old tokens that wrote its text; needs "
        "nothing but the two tokenizers.",
        family="vocab",
        have="a model and a tokenizer of the same language or script, and no text",
        want="a start that is right at once for words the old tokenizer wrote in pieces",
        dial="none",
        year=2022,
        arxiv="2402.09977",
        venue="EMNLP 2022 (industry)",
        code="https://github.com/LeonidasY/fast-vocabulary-transfer",
        code_license="Apache-2.0",
        claims=(
            Claim(
                paper="Smaller vocabularies of a domain's own keep most of the accuracy, and more "
                "of it than when only shared tokens are copied.",
                effect="Fewer bits per byte before any training than copies of shared tokens.",
                test="tests/vocab/test_move_claims.py::test_order_before_any_training",
                measured="TODO",
            ),
        ),
        differs=(
            "A token that the old tokenizer cannot write is drawn at random; those of the paper "
            "write everything.",
        ),
    )

    def rows(self, move: Move) -> EmbeddingRows:
        """Means over the old spelling of each token."""
        known = shared(move.source, move.target)
        return blended(
            move,
            [
                [(known[token], 1.0)] if token in known else self._pieces(move, spelled)
                for token, spelled in enumerate(move.target.spelled)
            ],
        )

    def _pieces(self, move: Move, spelled: bytes | None) -> Blend:
        pieces = move.source.scribe.write(spelled) if spelled else []
        return [(token, n / len(pieces)) for token, n in Counter(pieces).most_common()]
