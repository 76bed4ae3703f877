"""Token purity: how many of the tokens that text is written with are words, or single morphemes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, final

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import Figure, Findings, In, Judge, Usage, Vocab
from tokenry.ops.scripts import letters_by_script, lowered

_SHARED = 0.2
"""Least share of the texts' letters that are of the lexicon's scripts."""
_SHOWN = 40
_UNIT = "% of produced tokens"


@final
@dataclass(frozen=True, kw_only=True)
class TokenPurity(Judge):
    r"""Looks the tokens that texts are really written with up in a lexicon and a list of morphemes.

    With $U$ the different tokens that were written, blanks stripped and small letters made, special
    ones left out, $\%TR = 100\,|\{u \in U : u \text{ is a word}\}| / |U|$ and $\%Pure$ the same for
    roots and single affixes. Both are given by occurrence too.

    Args:
        lexicon: Valid words of the language.
        morphemes: Its roots and affixes.
        language: Its code; says how small letters are made, and names the category of texts that is
            judged. Without a category of that name all are.
        shortest: Fewest letters that a word or morpheme can have.
        letters_only: Leave out tokens that hold no letter (numbers, punctuation).

    Raises:
        UsageError: If a setting is out of range.

    Source: Bayram et al. 2025, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="token-purity",
        name="Token purity",
        title="Tokenization Standards for Linguistic Integrity: Turkish as a Benchmark",
        summary="Says how many of the tokens that a text is written with are words or morphemes of "
        "its language.",
        family="vocab",
        have="a tokenizer, texts of a language and its word list",
        want="to know whether tokens are words and morphemes of the language",
        dial="keep does not apply: a judge changes nothing",
        year=2025,
        arxiv="2502.07057",
        venue="arXiv 2025",
        claims=(
            Claim(
                paper="Tokenizers differ widely in how many of their tokens are Turkish words, "
                "and larger vocabularies have more.",
                effect="Of the tokens that a Turkish text is written with, more are words the "
                "larger the vocabulary learned from Turkish.",
                test="tests/vocab/test_token_purity_claims.py::"
                "test_claim_more_words_with_a_larger_vocabulary",
                measured="48.5, 53.6 and 58.7 % with 1,000, 4,000 and 16,000 tokens, on manual "
                "pages in Turkish that they were not learned from (words of hunspell-tr). No "
                "package of the extras lists words of Turkish, so the test takes English: 36.5, "
                "48.1 and 59.2 % with 500, 1,000 and 4,000 tokens, manual pages, words of "
                "wordsegment.",
            ),
            Claim(
                paper="Language-specific token percentages follow what a tokenizer was made for.",
                effect="A tokenizer learned from Turkish has more Turkish words than one of the "
                "same size learned from English.",
                test="tests/vocab/test_token_purity_claims.py::"
                "test_claim_a_turkish_tokenizer_has_more_turkish_words",
                measured="53.6 % against 13.2 % with 4,000 tokens each, learned from Turkish and "
                "from English manual pages; 15.6 % of DeepSeek's 129,280. The test learns 1,500 "
                "from half of what Sphinx and pycountry say in Turkish: 28.9 % against 10.0 % of "
                "what the other half is written with are words that occur in them.",
            ),
            Claim(
                paper="The percentage of words correlates with the score on Turkish questions "
                "better than purity or the number of parameters does.",
                effect="Of several vocabularies those with more words need fewer bits per byte.",
                not_shown="It takes a dozen large models and the 6,200 questions. Of seven "
                "vocabularies on Turkish manual pages (recipes/vocabulary_worth.py; BPE of three "
                "sizes and of English, Unigram, WordPiece, Less-is-Better) words go with fewer "
                "bits per byte of trigrams at r = 0.92 and of a small Llama at 0.87, purity at "
                "0.69 and 0.41, the logarithm of the size at -0.29 and 0.00. But that is the "
                "English one alone: without it words have 0.58 and 0.12, purity 0.61 and -0.90.",
            ),
        ),
        differs=(
            "Any language with a list of words and one of morphemes, not Turkish alone.",
            "Tokens of one letter are no words (shortest=1 to count them).",
            "Affixes are no words, but pure.",
            "Numbers and punctuation are part of the produced tokens, as nothing says otherwise "
            "(letters_only=True leaves them out).",
        ),
    )

    lexicon: Annotated[tuple[str, ...], "valid words of the language"] = ()
    morphemes: Annotated[tuple[str, ...], "its roots and affixes"] = ()
    language: Annotated[str, "the code of the language"] = "tr"
    shortest: Annotated[int, In(1, 20), "the fewest letters of a word or morpheme"] = 2
    letters_only: Annotated[bool, "whether tokens without a letter are left out"] = False

    expected_failures: ClassVar[dict[str, str]] = dict.fromkeys(
        ("figures", "repeat", "order", "untouched"),
        "the words of a language are settings, and it refuses to judge without",
    )

    def judge(self, vocab: Vocab, usage: Sequence[Usage] = ()) -> Findings:
        """Percentages of words and of morphemes.

        Raises:
            UsageError: If there is no text, neither list, or the lists are in another script than
                the text.
        """
        if not (self.lexicon or self.morphemes):
            raise UsageError(
                "TokenPurity: lexicon and morphemes are both empty; give valid words of "
                f"{self.language!r}, its roots and affixes, or both."
            )
        produced = self._produced(vocab, usage)
        words, morphemes = self._known(self.lexicon), self._known(self.morphemes)
        self._check_scripts(words | morphemes, produced)
        figures: dict[str, Figure] = {"produced": Figure(value=len(produced), unit="tokens")}
        for name, known in (("words", words), ("pure", morphemes)):
            if known:
                figures |= _shares(name, produced, known)
        return Findings(
            figures=figures,
            tables={"neither": _neither(produced, words | morphemes)},
            notes=(
                f"Tokens of fewer than {self.shortest} letters are neither words nor morphemes."
                if self.shortest > 1
                else "Single letters that the lists hold count.",
            ),
        )

    def _produced(self, vocab: Vocab, usage: Sequence[Usage]) -> Counter[str]:
        """How often each different token was written, as small letters without blanks."""
        own = [one for one in usage if one.category == self.language] or list(usage)
        counts = sum((one.counts for one in own), start=0 * own[0].counts) if own else ()
        found: Counter[str] = Counter()
        for token, count in enumerate(counts):
            spelled = vocab.spelled[token]
            if not count or spelled is None:
                continue
            text = lowered(spelled.decode(errors="backslashreplace").strip(), self.language)
            if text and (not self.letters_only or any(map(str.isalpha, text))):
                found[text] += int(count)
        if not found:
            raise UsageError("TokenPurity: no token was written; give texts to write.")
        return found

    def _known(self, entries: Collection[str]) -> set[str]:
        small = (lowered(entry.strip(), self.language) for entry in entries)
        return {entry for entry in small if len(entry) >= self.shortest}

    def _check_scripts(self, known: Collection[str], produced: Mapping[str, int]) -> None:
        ours, texts = letters_by_script(known), letters_by_script(produced)
        usual = {script for script, n in ours.items() if n >= sum(ours.values()) / 20}
        shared = sum(n for script, n in texts.items() if script in usual)
        if texts and shared < _SHARED * sum(texts.values()):
            raise UsageError(
                f"TokenPurity: the lists are in {_names(ours)}, the texts in {_names(texts)}; give "
                "words of the language that the texts are in."
            )


def _shares(name: str, produced: Mapping[str, int], known: Collection[str]) -> dict[str, Figure]:
    hits = [text for text in produced if text in known]
    often = sum(produced[text] for text in hits) / sum(produced.values())
    return {
        name: Figure(value=100 * len(hits) / len(produced), unit=_UNIT, better="high"),
        f"{name} by occurrence": Figure(value=100 * often, unit="% of written", better="high"),
    }


def _neither(produced: Counter[str], known: Collection[str]) -> list[dict[str, Any]]:
    """The most frequent tokens with letters that are in no list."""
    rest = Counter({text: n for text, n in produced.items() if text not in known})
    lettered = [(text, n) for text, n in rest.most_common() if any(map(str.isalpha, text))]
    return [{"token": text, "written": n} for text, n in lettered[:_SHOWN]]


def _names(scripts: Counter[str]) -> str:
    return " and ".join(script.title() for script, _ in scripts.most_common(2)) or "no script"
