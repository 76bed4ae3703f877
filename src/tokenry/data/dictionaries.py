"""Words with their translations: from a file, or names that standards bodies translated."""

from __future__ import annotations

from pathlib import Path

from tokenry.errors import DataError
from tokenry.names import names

_PREFIX = "names:"


def load_dictionary(source: str | Path) -> list[tuple[str, str]]:
    """Words of one language with their translations.

    Args:
        source: A file with a word, a tab and its translation on each line (lines that begin with
            `#` are remarks), or `names:LANGUAGE`: English names of countries, languages, scripts
            and currencies with those of the language, such as `names:de`.

    Raises:
        DataError: If the file cannot be read, or holds no pair.
        UsageError: If nobody translated the names to this language.
        MissingExtraError: If `names:` is asked for and pycountry is not installed.
    """
    if str(source).startswith(_PREFIX):
        return names(str(source)[len(_PREFIX) :])
    path = Path(source).expanduser()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a dictionary: {error}") from error
    pairs = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        word, tab, translation = (part.strip() for part in line.partition("\t"))
        if not (word and tab.strip("\t") == "" and translation):
            raise DataError(
                f"{path}: line {number} is {line[:60]!r}; give a word, a tab, its translation."
            )
        pairs.append((word, translation))
    if not pairs:
        raise DataError(f"{path}: holds no translations; give at least one.")
    return pairs
