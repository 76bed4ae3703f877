"""Names of countries, languages, scripts and currencies in many languages, from pycountry."""

from __future__ import annotations

import gettext
from pathlib import Path

from tokenry.errors import MissingExtraError, UsageError

_STANDARDS = {
    "iso3166-1": "countries",
    "iso639-3": "languages",
    "iso15924": "scripts",
    "iso4217": "currencies",
}


def names(language: str) -> list[tuple[str, str]]:
    """English names of countries, languages, scripts and currencies with their translation.

    Names that are the same in both languages are left out.

    Args:
        language: Its code, such as `de` or `pt_BR`.

    Raises:
        UsageError: If nobody translated the names to this language.
        MissingExtraError: If pycountry is not installed.
    """
    return list(dict.fromkeys((own, other) for _, own, other in names_by_kind(language)))


def names_by_kind(language: str) -> list[tuple[str, str, str]]:
    """As `names`, each with what it is the name of: countries, languages, scripts, currencies.

    Raises:
        UsageError: If nobody translated the names to this language.
        MissingExtraError: If pycountry is not installed.
    """
    try:
        import pycountry
    except ImportError as error:
        raise MissingExtraError(
            "names with translations", 'pip install "tokenry[vocab]"'
        ) from error
    found: dict[tuple[str, str, str], None] = {}
    for standard, kind in _STANDARDS.items():
        try:
            written = gettext.translation(standard, pycountry.LOCALES_DIR, [language])
        except FileNotFoundError:
            continue
        for entry in getattr(pycountry, kind):
            translation = written.gettext(entry.name)
            if entry.name != translation:
                found[kind, entry.name, translation] = None
    if not found:
        known = sorted(path.name for path in Path(pycountry.LOCALES_DIR).iterdir())
        raise UsageError(
            f"names: nobody translated the names to {language!r}; there are {', '.join(known)}."
        )
    return list(found)
