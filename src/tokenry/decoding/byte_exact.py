"""Byte-exact: the next-byte probabilities that a model over tokens implies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

import numpy as np
from jaxtyping import Float

from tokenry.card import Card, Claim
from tokenry.method import ByteReader, In
from tokenry.ops import covers
from tokenry.ops.byte_trie import ByteTrie
from tokenry.ops.covers import Cover, Opening, Rows


@final
@dataclass(frozen=True, kw_only=True)
class ByteExact(ByteReader):
    r"""Next-byte probabilities from all token sequences that minimally cover a byte prefix.

    A cover of a text $x$ is a canonical token sequence (one that the tokenizer itself writes)
    whose bytes begin with $x$, and whose last token begins inside $x$. With all of them,

    $$P(x) = \sum_{t \in \mathrm{cover}(x)} P(t_1 \dots t_k), \qquad
      P(b \mid x) = P(xb) / P(x)$$

    for all bytes at once: a cover longer than $x$ counts for its next byte, one that spells just
    $x$ for the first byte of every token that may follow it. Tokens that cannot follow in
    canonical text get probability 0, and the others are scaled up.

    Args:
        invalid: What becomes of tokens that do not follow in canonical text: "drop" tests them,
            "keep" counts them as long as the text has not passed them.
        skip: The share of the probability that may rest on covers the model has not run on. 0
            leaves no cover out.
        untested: The share that may rest on tokens that were not tested. 0 tests all.

    Raises:
        UsageError: If a setting is out of range.

    Source: Phan et al. 2024, sections 3 and 4.
    """

    card: ClassVar[Card] = Card(
        slug="byte-exact",
        name="Byte-exact",
        title="Exact Byte-Level Probabilities from Tokenized Language Models for FIM-Tasks and "
        "Model Ensembles",
        summary="Reads a language model byte by byte: prompts that end inside a word, and "
        "ensembles of models with different tokenizers.",
        family="decoding",
        have="a prompt that ends inside a word, or models with different tokenizers",
        want="the model's own probabilities of the next byte, whatever the tokenizer cuts",
        dial="none: there is no keep; `skip` and `untested` say how exact it is",
        exact=True,
        year=2024,
        arxiv="2410.09303",
        venue="ICLR 2025",
        code="https://github.com/facebookresearch/Exact-Byte-Level-Probabilities-from-Tokenized-LMs",
        code_license="CC-BY-NC",
        claims=(
            Claim(
                paper="pending",
                effect="pending",
                test="tests/decoding/test_byte_exact.py::test_claim",
                measured="pending",
            ),
        ),
        differs=(),
    )

    invalid: Annotated[
        Literal["drop", "keep"], "what becomes of tokens that do not follow in canonical text"
    ] = "drop"
    skip: Annotated[
        float, In(0, 0.5), "the share of the probability on covers the model has not run on"
    ] = 1e-3
    untested: Annotated[
        float, In(0, 0.5), "the share of the probability on tokens that were not tested"
    ] = 1e-2

    def asked(self, openings: Sequence[Opening]) -> list[Cover]:
        """The covers that the model has to run on, parents before children.

        Args:
            openings: All covers of a text, with the tokens that may follow each.
        """
        return covers.unanswered(openings, self.skip)

    def tested(
        self, openings: Sequence[Opening], fresh: Sequence[Cover]
    ) -> list[tuple[Cover, Rows]]:
        """The tokens of which it has to be known whether they follow in canonical text.

        Args:
            openings: All covers of a text, with the tokens that may follow each.
            fresh: Covers for which the model has just answered.
        """
        drop = self.invalid == "drop"
        return covers.untested(openings, fresh, self.untested) if drop else []

    def following(
        self, openings: Sequence[Opening], trie: ByteTrie, length: int
    ) -> Float[np.ndarray, " 257"]:
        """Log-probabilities of each byte that may follow a text, and of its end.

        Args:
            openings: All covers of the text, with the tokens that may follow each.
            trie: The vocabulary.
            length: Bytes of the text.
        """
        weights = covers.following(openings, trie, length)
        with np.errstate(divide="ignore"):
            return covers.log_normalized(np.log(weights))
