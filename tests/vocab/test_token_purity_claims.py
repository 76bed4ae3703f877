"""Token purity's claims on real texts: English manual pages, and Turkish of translated packages."""

from __future__ import annotations

import gettext
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.vocab.test_token_purity import trained
from tokenizers import Tokenizer

from tokenry.data import load_text
from tokenry.plugs.usage import usage
from tokenry.plugs.vocabulary import vocabulary
from tokenry.vocab import TokenPurity


@pytest.fixture(scope="module")
def english() -> tuple[list[str], list[str]]:
    """Manual pages to learn from, and others."""
    texts = list(dict.fromkeys(one.text for one in load_text("manpages").examples))
    return texts[::2], texts[1::2]


@pytest.fixture(scope="module")
def turkish() -> tuple[list[str], list[str]]:
    """What Sphinx says in Turkish, and names of countries and languages, in two halves."""
    texts = [
        *translated("sphinx", "locale/tr/LC_MESSAGES/sphinx.mo"),
        *translated("pycountry", "locales/tr/LC_MESSAGES/iso3166-1.mo"),
        *translated("pycountry", "locales/tr/LC_MESSAGES/iso639-3.mo", same=False),
    ]
    return texts[::2], texts[1::2]


def translated(package: str, file: str, *, same: bool = True) -> list[str]:
    """The translations that a package holds, without those that are the English words."""
    found = find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"the Turkish texts of {package} are not installed")
    with (Path(found.origin).parent / file).open("rb") as held:
        catalog = vars(gettext.GNUTranslations(held))["_catalog"]
    return [
        text
        for key, text in catalog.items()
        if key and isinstance(text, str) and (same or key != text)
    ]


def parts(texts: list[str]) -> set[str]:
    """All runs of letters of all words."""
    found = set(re.findall("[a-z]+", " ".join(texts).lower()))
    return {w[i:j] for w in found for i in range(len(w)) for j in range(i + 2, len(w) + 1)}


def words(tokenizer: Tokenizer, texts: list[str], lexicon: tuple[str, ...], language: str) -> float:
    vocab = vocabulary(tokenizer)
    found = TokenPurity(lexicon=lexicon, language=language).judge(
        vocab, usage([vocab], {language: texts})[0]
    )
    return found.figures["words"].value


def test_claim_more_words_with_a_larger_vocabulary(english):
    package = find_spec("wordsegment")
    if package is None or package.origin is None:
        pytest.skip("the words of wordsegment are not installed")
    learned_from, other = english
    known = set(Path(package.origin).with_name("words.txt").read_text("utf-8").split())
    lexicon = tuple(known & parts(other))  # no token can be another word
    shares = [
        words(trained(learned_from, size), other, lexicon, "en") for size in (500, 1000, 4000)
    ]
    assert shares[0] < shares[1] - 5 < shares[2] - 10


def test_claim_a_turkish_tokenizer_has_more_turkish_words(turkish, english):
    learned_from, other = turkish
    lexicon = tuple(re.findall(r"[^\W\d_]+", " ".join((*learned_from, *other))))
    own, foreign = (
        words(trained(texts, 1500), other, lexicon, "tr") for texts in (learned_from, english[0])
    )
    assert own > 2 * foreign
