"""Data mixture inference: the order of a tokenizer's merges tells what it was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np
from jaxtyping import Float, Int

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import Figure, Findings, In, Judge, Usage, Vocab
from tokenry.ops.merges import Replay, base, spell, trained
from tokenry.ops.mixture import History, MixtureProgram, history

_ROUNDS = 10  # of rows added to the program of resampled texts, which begins with known rows
_AMISS = 0.1  # share of missing merges from which on texts are not split as the trainer split


@final
@dataclass(frozen=True, kw_only=True)
class DataMixture(Judge):
    r"""Find the weights of categories of text under which every merge took the most frequent pair.

    A trainer of byte-pair encoding merges the pair that occurs most often, so each merge m_t says
    of every other pair that it was rarer at that moment. With the share g of a pair in samples of
    each category, counted after the merges before it, a linear program

    .. math:: \min \sum_t v_t + \sum_p u_p, \quad
        \sum_i \alpha_i (g_{t,i}(m_t) - g_{t,i}(p)) + v_t + u_p \ge 0, \quad \sum_i \alpha_i = 1

    finds the mixture that contradicts the order of merges least.

    Args:
        merges: How many merges are replayed (paper: T).
        skip: How many of the first of them are replayed without being judged; for a tokenizer
            that continues the merges of another one.
        resamples: How often the parts of each category are drawn anew for the intervals.
        seed: Of these draws.

    Raises:
        UsageError: If a setting is out of range.

    Source: Hayase et al. 2024, sections 3 and 4.
    """

    card: ClassVar[Card] = Card(
        slug="data-mixture",
        name="Data mixture inference",
        title="Data Mixture Inference: What do BPE Tokenizers Reveal about their Training Data?",
        summary="Tells from the order of a tokenizer's merges how much of each language or kind "
        "of text it was trained on.",
        family="vocab",
        have="a BPE tokenizer and samples of the kinds of text that it may have been trained on",
        want="the shares of these kinds in its training text, with intervals",
        dial="no keep: it judges a vocabulary",
        year=2024,
        arxiv="2407.16607",
        venue="NeurIPS 2024",
        code="https://github.com/alisawuffles/tokenizer-attack",
        claims=(
            Claim(
                paper="The order of merges determines the mixture when the samples are like the "
                "training text.",
                effect="With counts of the training text itself no merge contradicts it.",
                test="tests/vocab/test_data_mixture.py::"
                "test_mixture_of_its_own_text_is_found_exactly",
                measured="Slack 0, mean squared error 5e-5 at 30 merges, 8e-8 at 100 and below "
                "1e-30 from 300 on (manual pages in German, French, Polish, Russian and Turkish "
                "and Python sources, mixed to 1.2 MB).",
            ),
            Claim(
                paper="Errors orders of magnitude below those of guesses.",
                effect="With other texts of the same kinds, far better than a uniform guess.",
                test="tests/vocab/test_data_mixture.py::test_claim_mixture_of_other_texts_is_found",
                measured="Errors 3e-5, 8e-5 and 5e-5 against 1.6e-2, 1.6e-2 and 9e-3 of a uniform "
                "guess: names of languages and countries in six languages, other names than those "
                "trained on, 300 merges. Manual pages in five languages and Python: 1.7e-4 at "
                "1,000 merges against 1.3e-2; English pages, Python, C++ headers: 1.6e-2 (3.7e-2).",
            ),
            Claim(
                paper="Mean squared errors around 10^-7 over languages at 30,000 merges; with "
                "samples of another source some 3e-4 to 5e-4 at 3,000 (section 6.1, a plot).",
                effect="The same.",
                not_shown="1.9e-4 at 3,000 merges with other manual pages than those trained on "
                "(uniform guess 2.1e-2, from bytes per token 1.8e-3, by counting tokens 5.3e-3; "
                "bench/mixture.py); three of six shares lie outside their intervals, which do not "
                "say how far samples are from the training text.",
            ),
        ),
        differs=(
            "Rows are added by the worst span of each pair; the optimum is the same.",
            "A merge whose pair has the number 0 counts; the official code takes it for missing.",
            "Each share has an interval: all optimal mixtures, and those of texts drawn anew.",
        ),
    )
    reads_words, categories = True, 2

    merges: Annotated[int, In(1, 1_000_000), "how many merges are replayed"] = 3000
    skip: Annotated[int, In(0, 1_000_000), "first merges that are replayed but not judged"] = 0
    resamples: Annotated[int, In(0, 10_000), "how often texts are drawn anew for intervals"] = 20
    seed: Annotated[int, In(0, 2**32 - 1), "of what is drawn"] = 0

    def judge(self, vocab: Vocab, usage: Sequence[Usage] = ()) -> Findings:
        """The mixture that a vocabulary was trained on.

        Figures are `pairs/CATEGORY` and `bytes/CATEGORY`, shares of the training text; an
        interval holds all optimal solutions, and those of resampled texts where `usage` has parts.

        Args:
            vocab: The vocabulary, of byte-pair encoding.
            usage: How it splits the texts of each category into words; two categories at least.

        Raises:
            UsageError: If the vocabulary has no merges, a category comes twice or has no pair of
                symbols, or no merge occurs in any.
        """
        _refuse(vocab, usage)
        by_hand = sorted({made for *_, made in vocab.merges.tolist()} & vocab.added)
        listed = [merge for merge in vocab.merges.tolist() if not vocab.added & {*merge}]
        merges = [listed[at] for at in trained(listed, self.skip + self.merges)]
        parts = [one.parts or (one.words,) for one in usage]
        of = np.repeat(np.arange(len(usage)), [len(one) for one in parts])
        replay = _replay(vocab, [part for one in parts for part in one])
        sums = replay.counts.sum(0)
        totals = np.bincount(of, sums, len(usage))
        _refuse_empty(usage, totals)
        for merge in merges[: self.skip]:
            replay.merge(*merge)
        seen = history(replay, merges[self.skip :])
        if not len(seen.taken):
            raise UsageError(
                f"DataMixture: none of the {len(merges)} merges of {vocab.name!r} that are read "
                "occurs in the texts; give texts that the tokenizer may have been trained on, "
                "split into words by the tokenizer itself."
            )
        fold: Float[np.ndarray, "k n"] = (of[:, None] == np.arange(len(usage))) / totals
        program = MixtureProgram(seen.weighed(fold))
        found = program.solve()
        drawn = np.array([*self._resampled(seen, sums, of, program)]).reshape(-1, len(usage))
        optimal = np.vstack([found.weights, program.optimal()])
        missing = [merges[self.skip + at] for at in seen.missing]
        return Findings(
            figures=_figures(usage, totals, optimal, drawn, found.slack),
            tables={
                "missing merges": [
                    {"left": vocab.pieces[left], "right": vocab.pieces[right]}
                    for left, right, _ in missing
                ],
                "put in by hand": [{"token": vocab.pieces[token]} for token in by_hand],
            },
            notes=_notes(len(missing), len(merges) - self.skip, len(drawn)),
        )

    def _resampled(
        self,
        seen: History,
        totals: Float[np.ndarray, " k"],
        of: Int[np.ndarray, " k"],
        program: MixtureProgram,
    ) -> Iterator[Float[np.ndarray, " n"]]:
        """Weights of texts whose parts are drawn anew, as many of each category as it has."""
        kinds = of[-1] + 1
        draw = np.random.default_rng(self.seed)
        for _ in range(self.resamples if len(of) > kinds else 0):
            fold = np.zeros((len(of), kinds))
            for kind in range(kinds):
                own = np.flatnonzero(of == kind)
                fold[own, kind] = draw.multinomial(len(own), np.full(len(own), 1 / len(own)))
            sums = totals @ fold
            if sums.all():
                yield program.again(seen.weighed(fold / sums)).solve(_ROUNDS).weights


def _refuse(vocab: Vocab, usage: Sequence[Usage]) -> None:
    if not len(vocab.merges):
        raise UsageError(
            f"DataMixture: {vocab.name!r} ({vocab.kind}) has no merges; only the order of merges "
            "of byte-pair encoding tells a mixture. Judges of tokens and texts work without."
        )
    names = [one.category for one in usage]
    if len(names) < 2 or len({*names}) < len(names):
        raise UsageError(
            f"DataMixture: got the categories {names}; give texts of two or more, each once."
        )


def _refuse_empty(usage: Sequence[Usage], totals: Float[np.ndarray, " n"]) -> None:
    empty = [one.category for one, total in zip(usage, totals, strict=True) if not total]
    if empty:
        raise UsageError(
            f"DataMixture: no word of the category {empty[0]!r} has two symbols that the "
            "vocabulary knows; give it text, or leave it out."
        )


def _replay(vocab: Vocab, parts: Sequence[Mapping[bytes, int]]) -> Replay:
    """The words of all parts as base symbols, with a row of counts per part."""
    words = dict.fromkeys(word for part in parts for word in part)
    places = {word: place for place, word in enumerate(words)}
    counts = np.zeros((len(parts), len(places)))
    for row, part in zip(counts, parts, strict=True):
        row[[places[word] for word in part]] = list(part.values())
    letters = base(vocab.merges.tolist(), vocab.spelled, vocab.added)
    runs = [spell(word, letters) for word in places]
    return Replay(
        [run for of_word in runs for run in of_word],
        np.repeat(counts, [len(of_word) for of_word in runs], axis=1),
    )


def _figures(
    usage: Sequence[Usage],
    totals: Float[np.ndarray, " n"],
    optimal: Float[np.ndarray, "m n"],
    drawn: Float[np.ndarray, "r n"],
    slack: float,
) -> dict[str, Figure]:
    """Shares of pairs and of bytes; the first of the optimal mixtures is the finding."""
    figures = {}
    sizes = np.array([sum(len(w) * n for w, n in one.words.items()) for one in usage]) / totals
    for what, size in (("pairs", np.ones(len(usage))), ("bytes", sizes)):
        shares, others = (rows * size / (rows @ size)[:, None] for rows in (optimal, drawn))
        low, high = shares.min(0), shares.max(0)
        if len(others):
            below, above = np.quantile(others, (0.025, 0.975), axis=0)
            low, high = np.minimum(low, below), np.maximum(high, above)
        for place, one in enumerate(usage):
            figures[f"{what}/{one.category}"] = Figure(
                value=float(shares[0, place]),
                unit=f"share of the {what} of the training text",
                low=float(low[place]),
                high=float(high[place]),
            )
    unit = "shares of pairs that contradict the mixture, summed over merges and pairs"
    return figures | {"slack": Figure(value=slack, unit=unit, better="low")}


def _notes(missing: int, judged: int, drawn: int) -> tuple[str, ...]:
    notes = ["Only the categories given are weighed: text of another kind counts as the nearest."]
    if missing > _AMISS * judged:
        notes.append(
            f"{missing} of {judged} merges occur in no category. Either a category is missing, or "
            "the texts are not split into words as the trainer split them."
        )
    if not drawn:
        notes.append("The texts came in one part: intervals do not show how sure samples are.")
    return tuple(notes)
