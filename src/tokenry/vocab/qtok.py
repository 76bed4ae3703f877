"""Qtok: what kinds of tokens a vocabulary holds, of which scripts and languages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, final

from tokenry.alphabet import LETTERS
from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import Figure, Findings, In, Judge, Usage, Vocab
from tokenry.ops.scripts import script_of

CLASSES = tuple(
    re.findall(
        r"[\w-]+",
        "control_tokens pure_unicode char_alpha spaced_alpha inner_alpha char_other spaced_other "
        "inner_other unicode_flanks char_errors spaced_errors inner_errors",
    )
)
"""What a token can be, as the paper names it."""

_SCRIPTS = frozenset(
    re.findall(
        r"[\w-]+",
        "ADLAM ARABIC ARMENIAN BALINESE BAMUM BATAK BENGALI BOPOMOFO BUGINESE CANADIAN CHAM "
        "CHEROKEE CJK COPTIC CYRILLIC DEVANAGARI EGYPTIAN ETHIOPIC GEORGIAN GLAGOLITIC GOTHIC "
        "GREEK GURMUKHI HALFWIDTH HANGUL HEBREW HIRAGANA JAVANESE KANNADA KATAKANA KHMER LAO "
        "LATIN LEPCHA LIMBU LISU MALAYALAM MANDAIC MEETEI MONGOLIAN MYANMAR NKO OGHAM OL ORIYA "
        "RUNIC SAMARITAN SINHALA SUNDANESE SYRIAC TAGALOG TAI TAMIL TELUGU THAANA THAI TIBETAN "
        "TIFINAGH VAI YI GUJARATI",
    )
)
_TAGS = frozenset(
    re.findall(
        r"[\w-]+",
        "a b body br button code div em form h1 h2 h3 h4 h5 h6 head html i img input label li link "
        "meta ol option p pre script section select span strong style table tbody td th thead "
        "title tr u ul",
    )
)


@final
@dataclass(frozen=True, kw_only=True)
class Qtok(Judge):
    r"""Sorts the tokens of a vocabulary into twelve classes, and those of letters by script.

    A token of letters (`char_alpha`, `spaced_alpha`, `inner_alpha`) is one whose characters, but
    for a blank in front, all have Unicode names that begin with the same script. A token that a
    lexicon knows in $k$ languages counts $1/k$ for each.

    Args:
        lexicon: Words with a language each, as "de Haus"; none, no table of languages.
        other: Scripts and languages of at most this percentage stand together as "Other".
        released: Count as the official code does: single characters that its byte alphabet uses as
            letters, such as "é", are bytes, and percentages of languages are of language hits.

    Raises:
        UsageError: If a setting is out of range.

    Source: Chelombitko et al. 2024, section 2.
    """

    card: ClassVar[Card] = Card(
        slug="qtok",
        name="Qtok",
        title="Qtok: A Comprehensive Framework for Evaluating Multilingual Tokenizer Quality in "
        "Large Language Models",
        summary="Says what a vocabulary is made of: bytes, letters by script and language, rest.",
        family="vocab",
        have="a tokenizer",
        want="to know which scripts and languages its vocabulary was made for",
        dial="keep does not apply: a judge changes nothing",
        year=2024,
        arxiv="2410.12989",
        venue="arXiv 2024",
        code="https://github.com/nup-csai/Qtok",
        code_license="MIT",
        claims=(
            Claim(
                paper="Vocabularies lean heavily towards Latin script and English.",
                effect="Among tokens of letters Latin script has the largest share, and Cyrillic "
                "far less, in a vocabulary made for English.",
                test="tests/vocab/test_qtok.py::test_claim_vocabularies_lean_towards_latin",
                measured="99.4 % Latin and 0.1 % Cyrillic in zoo:smollm2-135m; 57.3 % Latin, "
                "30.1 % Chinese and 4.6 % Cyrillic in DeepSeek's 129,280 tokens.",
            ),
            Claim(
                paper="Large parts of a vocabulary are not linguistic at all.",
                effect="Many tokens are neither letters nor letters with a blank.",
                not_shown="it depends on the vocabulary. Of the tokens of the paper's 13, as "
                "their package holds them, 20.5 % (Qwen), 23.4 % (Llama 3) and 27.9 % (DBRX) are "
                "no letters, the three that come from cl100k; of the other ten vocabularies "
                "between 3.5 % (Yi) and 10.4 % (Pythia). Here 3.4 % of zoo:smollm2-135m and "
                "9.7 % of DeepSeek's.",
            ),
        ),
        differs=(
            "A token is read from the bytes that it spells, whatever the file writes for a blank; "
            "the official loader guesses the mark from how often characters occur, and knows no "
            "Unigram vocabularies.",
            "Only tokens of one byte are pure_unicode; the official code also takes the 188 other "
            "characters that its byte alphabet uses (released=True).",
            "Percentages of languages are of tokens, not of hits (released=True).",
            "Core tokens and singletons of several vocabularies stand in the audit.",
        ),
    )

    lexicon: Annotated[tuple[str, ...], "words with a language each, as 'de Haus'"] = ()
    other: Annotated[float, In(0, 100), "the percentage up to which rows stand together"] = 1.0
    released: Annotated[bool, "whether to count as the official code does"] = False

    def judge(self, vocab: Vocab, usage: Sequence[Usage] = ()) -> Findings:
        """Classes, scripts and languages of a vocabulary; reads no text.

        Raises:
            UsageError: If the vocabulary or a line of the lexicon is empty.
        """
        kinds = Counter(
            self.kind(spelled, piece)
            for spelled, piece in zip(vocab.spelled, vocab.pieces, strict=True)
            if piece or spelled is not None
        )
        if not kinds:
            raise UsageError(f"Qtok: the vocabulary {vocab.name!r} holds no tokens.")
        classes: Counter[str] = Counter()
        for (kind, _), n in kinds.items():
            classes[kind] += n
        scripts = Counter(
            {(script, kind): n for (kind, script), n in kinds.items() if kind.endswith("_alpha")}
        )
        letters = sum(scripts.values())
        latin = sum(n for (script, _), n in scripts.items() if script == "LATIN")
        total = kinds.total()
        return Findings(
            figures={
                "vocabulary": Figure(value=total, unit="tokens"),
                "letters": Figure(value=100 * letters / total, unit="% of tokens"),
                "latin": Figure(value=100 * latin / max(1, letters), unit="% of tokens of letters"),
                "bytes": Figure(
                    value=100 * (classes["pure_unicode"] + classes["unicode_flanks"]) / total,
                    unit="% of tokens",
                ),
                "word-initial": Figure(value=100 * _spaced(classes) / total, unit="% of tokens"),
            },
            tables={
                "classes": [
                    {"class": name, "tokens": classes[name], "%": 100 * classes[name] / total}
                    for name in CLASSES
                ],
                "scripts": self._scripts(scripts, letters),
                "languages": self._languages(vocab),
            },
        )

    def kind(self, spelled: bytes | None, piece: str) -> tuple[str, str]:
        """The class of a token, and its script if it is one of letters.

        Args:
            spelled: What the token spells; None if it stands for no text.
            piece: How the tokenizer writes it.
        """
        if spelled is None or (piece[:1] in ("<", "[") and _is_control(piece)):
            return "control_tokens", ""
        if len(spelled) == 1:
            return "pure_unicode", ""
        if spelled.removeprefix(b" ").isalpha():  # of ASCII; most tokens are no more than that
            return ("spaced_alpha" if spelled[:1] == b" " else "inner_alpha"), "LATIN"
        try:
            text = spelled.decode()
        except UnicodeDecodeError:
            return "unicode_flanks", ""
        if self.released and len(text) == 1 and text in LETTERS:
            return "pure_unicode", ""
        place = "char" if len(text) == 1 else "spaced" if text[:1] == " " else "inner"
        found = set(map(script_of, text[1:] if place == "spaced" else text))
        if None in found:
            return f"{place}_errors", ""
        if len(found) == 1 and (script := found.pop()) in _SCRIPTS:
            return f"{place}_alpha", str(script)
        return f"{place}_other", ""

    def _scripts(self, counts: Counter[tuple[str, str]], letters: int) -> list[dict[str, Any]]:
        rows = [
            {"script": script.title(), "place": kind.removesuffix("_alpha"), "tokens": n}
            for (script, kind), n in counts.most_common()
        ]
        return self._gathered(rows, letters, {"script": "Other", "place": ""})

    def _languages(self, vocab: Vocab) -> list[dict[str, Any]]:
        known: dict[str, set[str]] = {}
        for line in self.lexicon:
            language, _, word = line.partition(" ")
            if not (language and word.strip()):
                raise UsageError(f"Qtok: lexicon holds {line!r}; write a language and a word.")
            known.setdefault(word.strip(), set()).add(language)
        shares: Counter[str] = Counter()
        hits = unseen = 0
        for spelled, piece in zip(vocab.spelled, vocab.pieces, strict=True) if known else ():
            if spelled and self.kind(spelled, piece)[0].endswith("_alpha"):
                languages = known.get(spelled.decode().strip(), set())
                shares.update(dict.fromkeys(languages, 1 / len(languages)) if languages else {})
                hits += len(languages) if self.released else bool(languages)
                unseen += not languages
        rows = [{"language": name, "tokens": n} for name, n in shares.most_common()]
        found = self._gathered(rows, hits, {"language": "Other"})
        return [*found, {"language": "(not in the lexicon)", "tokens": unseen}] if known else []

    def _gathered(
        self, rows: list[dict[str, Any]], total: int, other: dict[str, str]
    ) -> list[dict[str, Any]]:
        """The rows with their percentages; small ones as one."""
        shown = [row | {"%": 100 * row["tokens"] / total} for row in rows]
        large = [row for row in shown if row["%"] > self.other]
        small = [row["tokens"] for row in shown if row["%"] <= self.other]
        if small:
            large.append(other | {"tokens": sum(small), "%": 100 * sum(small) / total})
        return large


def _is_control(piece: str) -> bool:
    """Whether it stands in angles or brackets and is no HTML tag."""
    if len(piece) < 3 or (piece[0] + piece[-1]) not in ("<>", "[]"):
        return False
    if piece.startswith("<0x") and len(piece) == 6:
        return False
    return piece[1:-1].lower().replace("/", "") not in _TAGS


def _spaced(classes: Counter[str]) -> int:
    return sum(n for name, n in classes.items() if name.startswith("spaced"))
