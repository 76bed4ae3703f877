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
    whose bytes begin with $x$, and whose last token begins inside $x$. $P(x)$ is the sum of
    $P(t_1, \ldots, t_k)$ over the covers of $x$, and $P(b | x) = P(xb) / P(x)$ for all bytes at
    once: a cover longer than $x$ counts for its next byte, one that spells just $x$ for the
    first byte of every token that may follow it. Tokens that cannot follow in canonical text get
    probability 0, and the others are scaled up.

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
        code="https://github.com/facebookresearch/"
        "Exact-Byte-Level-Probabilities-from-Tokenized-LMs",
        code_license="CC-BY-NC",
        claims=(
            Claim(
                paper="The next-byte probabilities are those of the token model, without the bias "
                "that a cut inside a token brings (section 3: a Markov chain whose next letter "
                "looks certain token by token).",
                effect="Exact next-letter probabilities where plain tokens give 0 and 1.",
                test="tests/decoding/test_byte_exact.py::"
                "test_tokenization_bias_of_a_markov_chain_is_gone",
                measured="Within 1e-12 of the chain's own 0.3 and 0.7, where the tokens say 1 and "
                "0. Within 1e-9 of the enumeration of all strings on a vocabulary of five tokens, "
                "and of a sum over all token sequences with GPT-2's and Llama 3's splitting into "
                "words and with pieces and byte fallback.",
            ),
            Claim(
                paper="18 % better on fill-in-the-middle code when prompts end inside a token, "
                "and better than token healing.",
                effect="Names in Python source that the prompt cuts are ended as in the source "
                "more often than by token healing, and more often by that than by plain tokens.",
                test="tests/decoding/test_byte_exact.py::test_claim_prompts_that_end_inside_a_word",
                measured="Names ended as in the source: byte-exact 31 of 32, token healing 24, "
                "plain tokens 3; only by bytes right 7 and 28 times, only by the others never "
                "(sign test p = 0.016 and 8e-9). Names of 7 letters and more from 16 files of the "
                "Python standard library, seen before in the prompt, greedy. zoo:smollm2-135m.",
            ),
            Claim(
                paper="Ensembles of models with different tokenizers are up to 3.7 % better than "
                "the best member.",
                effect="Fewer nats per byte than the best member, on text neither has seen.",
                test="tests/decoding/test_byte_exact.py::"
                "test_claim_an_ensemble_of_two_vocabularies_beats_its_best_member",
                measured="1.808 nats per byte by the product and 1.827 by the average, where the "
                "members have 1.830 and 1.870; with larger vocabularies 1.461 and 1.484 against "
                "1.477 and 1.536, so that the average stays behind the best there. The members "
                "are tables of token pairs counted in different manual pages, with 450 and 500, "
                "or 800 and 900 tokens, read on 500 bytes of others. zoo:smollm2-135m, which "
                "knows little German, and two layers with 2,048 tokens of their own that read "
                "German manual pages: alone 1.83 and 2.18 bits per byte of pages held out, by the "
                "product 1.61 (12 % better than the best, 95 % interval 0.08 to 0.37 bits), by the "
                "average 1.69 (8 %, 0.00 to 0.28); 20 pages, recipes/byte_ensemble.py. A weak "
                "member costs: on 8 English pages 1.12 and 2.59 alone make 1.28 and 1.43.",
            ),
        ),
        differs=(
            "A token may follow if some canonical text goes on from there; whether it does is "
            "tried with twelve continuations, one of each kind that splits words and a letter "
            "that no token joins to what is before it. The paper encodes the text alone, which "
            "loses the tokens of line ends: the tokenizer joins two of them unless a word follows.",
            "Any tokenizer with byte coverage, not sentencepiece alone, and prompts without a "
            "space: covers begin at the last place that no token of the vocabulary can span and "
            "that every continuation tried leaves alone.",
            "`skip` and `untested` leave out what weighs next to nothing. At 0 nothing is left "
            "out, and every token of the vocabulary is tested at each byte.",
            "Without a token for the beginning of a text, the one for its end stands in front, or "
            "what is given in `start`.",
            "The official code may not be used commercially and was not read.",
        ),
    )

    invalid: Annotated[
        Literal["drop", "keep"], "what becomes of tokens that do not follow in canonical text"
    ] = "drop"
    skip: Annotated[
        float, In(0, 0.5), "the share of the probability on covers the model has not run on"
    ] = 1e-3
    untested: Annotated[
        float, In(0, 0.5), "the share of the probability on tokens that were not tested"
    ] = 2e-2

    def asked(self, openings: Sequence[Opening]) -> list[Cover]:
        """The covers that the model has to run on, parents before children.

        Args:
            openings: All covers of a text, with the tokens that may follow each.
        """
        return covers.unanswered(openings, float(self.skip))

    def tested(
        self, openings: Sequence[Opening], fresh: Sequence[Cover]
    ) -> list[tuple[Cover, Rows]]:
        """The tokens of which it has to be known whether they follow in canonical text.

        Args:
            openings: All covers of a text, with the tokens that may follow each.
            fresh: Covers for which the model has just answered.
        """
        drop = self.invalid == "drop"
        return covers.untested(openings, fresh, float(self.untested)) if drop else []

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
