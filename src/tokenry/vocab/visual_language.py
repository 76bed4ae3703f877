"""Visual language: statistics of a language, of any stream of tokens, images included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2
from typing import Annotated, Any, ClassVar, final

import numpy as np

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import Figure, Findings, In, Judge, Usage, Vocab
from tokenry.ops import ngrams
from tokenry.ops.grammar import bits_of_order

_TELLING = 20  # tokens that the table of telling tokens holds


@final
@dataclass(frozen=True, kw_only=True)
class VisualLanguage(Judge):
    r"""Asks whether tokens are used as words are: few often, most rarely, seldom new ones.

    Of each category: the exponent $s$ of $f(r) \propto r^{-s}$ for runs of 1 to 4 tokens, by
    maximum likelihood and by least squares on the logarithms; the share of the vocabulary seen in
    the first sequences and Heaps' exponent; entropy $H$ (Miller and Madow), entropy given the token
    before, Huffman's bits per token and what they save against $\lceil\log_2 v\rceil$. With a
    grammar also what order is worth: bits per token of short pieces under a context-free grammar
    that was learned from others, and how many more the same pieces take in shuffled order. Of
    several categories, such as kinds of pictures or of what is in them, also how much of the
    category the presence of one token tells.

    Args:
        longest: Longest runs of tokens.
        first: Sequences, such as images, after which the share of the vocabulary is taken.
        grammar: Symbols of the grammar that branch; 0 learns none.

    Raises:
        UsageError: If a setting is out of range.

    Source: Chan et al. 2024, sections 2, 3 and 5.
    """

    card: ClassVar[Card] = Card(
        slug="visual-language",
        name="Visual language",
        title="Analyzing The Language of Visual Tokens",
        summary="Compares how tokens are used with how words are: Zipf's law, entropy, innovation.",
        family="vocab",
        have="a stream of tokens, of text or of images",
        want="to know whether it is distributed like a language",
        dial="keep does not apply: a judge changes nothing",
        year=2024,
        arxiv="2411.05001",
        venue="arXiv 2024",
        claims=(
            Claim(
                paper="Visual tokens follow Zipf's law, but flatter: higher entropy (10.7 against "
                "9.0 bits), and Huffman's code saves 2.9 % against 34.9 % for text.",
                effect="Codes of patches have a larger share of the highest possible entropy than "
                "words, and Huffman's code saves less.",
                test="tests/vocab/test_visual_language.py::"
                "test_claim_patches_are_spread_more_evenly_than_words",
                measured="92.8 % of the highest entropy against 79.0 %, and 6.7 % saved against "
                "25.0 %: 128 k-means codes of 4 x 4 patches of 300 emoji without their white "
                "ground (with it 80.3 % and 19.7 %), and the words of manual pages.",
            ),
            Claim(
                paper="Nearly all visual tokens appear within the first 100 images.",
                effect="The first 100 pictures use nearly all codes, and new ones come more "
                "seldom than new words do.",
                test="tests/vocab/test_visual_language.py::"
                "test_claim_a_hundred_pictures_show_nearly_all_codes",
                measured="99.2 % of 128 codes; Heaps' exponent 0.46 against 0.84 for words.",
            ),
            Claim(
                paper="Visual languages lack the grammar of natural ones (compound PCFG).",
                effect="A grammar fits text better than codes, and more of it is order.",
                not_shown="only the first half: a grammar of 6 branching symbols takes 2.97 bits "
                "for a word and 4.81 for a code, but in shuffled order 0.06 and 0.14 more (pieces "
                "of 8, the 63 most frequent and the rest; words and codes as above). Patches "
                "beside each other are alike, and most words are the rest.",
            ),
        ),
        differs=(
            "Granularity is asked of the categories that sequences come in, whatever they are; the "
            "paper's are objects, their parts and whole images. Topology is left out.",
            "Grammars are plain probabilistic ones, learned by expectation and maximisation from "
            "short pieces; the paper's are compound ones with neural rules.",
            "Slopes are also given by maximum likelihood, which the tail does not bend; entropies "
            "are corrected for the sample; what a code saves is also given against the tokens "
            "in use, so that unused ones do not count.",
        ),
    )

    longest: Annotated[int, In(1, 8), "the longest runs of tokens"] = 4
    first: Annotated[int, In(1, 1_000_000), "the sequences after which new tokens are counted"] = (
        100
    )
    grammar: Annotated[int, In(0, 64), "the symbols of a grammar that branch; 0 learns none"] = 0

    def judge(self, vocab: Vocab, usage: Sequence[Usage] = ()) -> Findings:
        """Statistics of each category's sequences.

        Raises:
            UsageError: If there are none.
        """
        figures: dict[str, Figure] = {}
        runs: list[dict[str, Any]] = []
        for one in usage:
            rows = [row for row in one.sequences if len(row)]
            if not rows:
                raise UsageError(f"VisualLanguage: {one.category!r} has no sequences of tokens.")
            found = self._figures(rows, len(vocab))
            found |= self._order(rows)
            figures |= {f"{name}/{one.category}": figure for name, figure in found.items()}
            runs += self._runs(one.category, rows)
        if not figures:
            raise UsageError("VisualLanguage: there is no text; give at least one category.")
        telling: list[dict[str, Any]] = []
        if len(usage) > 1:
            figures["told"], telling = _told(vocab, usage)
        return Findings(
            figures=figures,
            tables={"runs": runs, "telling tokens": telling},
            notes=("Entropies given the token before are too low where most pairs occur once.",),
        )

    def _runs(self, category: str, rows: Sequence[Any]) -> list[dict[str, Any]]:
        found = []
        for n in range(1, self.longest + 1):
            if max(map(len, rows)) < n:
                break
            counts = ngrams.ngram_counts(rows, n)
            found.append(
                {
                    "category": category,
                    "n": n,
                    "different": len(counts),
                    "slope": ngrams.likeliest_slope(counts),
                    "slope by least squares": ngrams.least_squares_slope(counts),
                    "once": 100 * float((counts == 1).mean()),
                }
            )
        return found

    def _order(self, rows: Sequence[Any]) -> dict[str, Figure]:
        if not self.grammar:
            return {}
        own, shuffled = bits_of_order(rows, branching=self.grammar)
        return {
            "grammar": Figure(value=own, unit="bits per token of pieces of 8 under a grammar"),
            "order": Figure(value=shuffled - own, unit="bits per token more in shuffled order"),
        }

    def _figures(self, rows: Sequence[Any], size: int) -> dict[str, Figure]:
        counts = ngrams.ngram_counts(rows, 1)
        used = len(counts)
        bits = ngrams.miller_madow(counts)
        huffman = ngrams.huffman_bits(counts)
        early = len(np.unique(np.concatenate(rows[: self.first])))
        most, most_used = log2(max(used, 2)), ceil(log2(max(used, 2)))
        fixed = ceil(log2(max(size, 2)))
        return {
            "slope": Figure(value=ngrams.likeliest_slope(counts), unit="exponent of Zipf's law"),
            "entropy": Figure(value=bits, unit="bits per token"),
            "entropy share": Figure(value=100 * bits / most, unit="% of the highest possible"),
            "entropy given one": Figure(value=_conditional(rows), unit="bits per token"),
            "huffman": Figure(value=huffman, unit="bits per token"),
            "huffman saving": Figure(value=100 * (1 - huffman / fixed), unit="% of a fixed length"),
            "huffman saving in use": Figure(
                value=100 * (1 - huffman / most_used), unit="% of a fixed length for used tokens"
            ),
            "seen early": Figure(
                value=100 * early / size, unit=f"% of tokens in the first {self.first} sequences"
            ),
            "innovation": Figure(
                value=ngrams.heaps_exponent(ngrams.growth(rows)), unit="Heaps' exponent"
            ),
        }


def _conditional(rows: Sequence[Any]) -> float:
    """Entropy of a token given the one before it, of the pairs within sequences."""
    heads = [row[:-1] for row in rows if len(row) > 1]
    if not heads:
        return 0.0
    pairs = ngrams.ngram_counts(rows, 2)
    return ngrams.entropy(pairs) - ngrams.entropy(ngrams.ngram_counts(heads, 1))


def _told(vocab: Vocab, usage: Sequence[Usage]) -> tuple[Figure, list[dict[str, Any]]]:
    """How much of a sequence's category one token tells, and the tokens that tell most."""
    groups = [[row for row in one.sequences if len(row)] for one in usage]
    bits, shares = ngrams.told(groups, len(vocab))
    all_ = ngrams.entropy(np.array([len(rows) for rows in groups]))
    varied = bits[bits != 0]
    figure = Figure(
        value=100 * float(varied.mean()) / all_ if len(varied) else 0.0,
        unit="% of a sequence's category, told by whether one token is in it, mean of tokens",
    )
    rows = [
        {
            "token": vocab.pieces[token],
            "% of the category": 100 * float(bits[token]) / all_,
            "mostly in": usage[int(shares[:, token].argmax())].category,
            "% of its sequences": 100 * float(shares[:, token].max()),
        }
        for token in np.argsort(-bits, kind="stable")[:_TELLING]
        if bits[token] > 0
    ]
    return figure, rows
