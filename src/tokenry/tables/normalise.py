"""Texts as they are compared: one form for what differs in case, marks and spaces only."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, get_args

from tokenry.errors import UsageError
from tokenry.progress import track
from tokenry.tables.engine import arrow

if TYPE_CHECKING:
    import pyarrow as pa

Form = Literal["text", "letters", "none"]
"""text: case, punctuation and spaces do not count; letters: nor do accents; none: all counts."""
_APOSTROPHES = "'\u2019\u02bc`\u00b4"
_ASCII = str.maketrans(
    {chr(i): None if chr(i) in _APOSTROPHES else " " for i in range(128) if i < 32 or i == 127}
    | {mark: None if mark in _APOSTROPHES else " " for mark in "!\"#%&'()*,-./:;?@[\\]_{}`"}
)


def normalised(text: str, form: Form = "text") -> str | None:
    r"""A text as it is compared; None when nothing is left.

    Compatible characters become one (NFKC), case is folded, punctuation and control characters
    become spaces, apostrophes vanish, spaces shrink to one.

    >>> normalised("  O’Brien & Söhne,\tGmbH. ")
    'obrien söhne gmbh'
    >>> normalised("Łódź — Æther", "letters")
    'łodz æther'
    """
    if form == "none":
        return text if text.strip() else None
    if text.isascii():
        return " ".join(text.lower().translate(_ASCII).split()) or None
    while True:
        once = _once(text, form)
        if once == text:
            return once or None
        text = once


def _once(text: str, form: Form) -> str:
    # Apostrophes first: NFKC makes a space with a mark of some.
    folded = unicodedata.normalize("NFKC", text.translate(_JOINTS)).casefold()
    folded = unicodedata.normalize("NFKC", folded)
    if form == "letters":
        apart = unicodedata.normalize("NFKD", folded)
        folded = "".join(one for one in apart if unicodedata.category(one) != "Mn")
        folded = unicodedata.normalize("NFC", folded)
    return " ".join(folded.translate(_MARKS).split())


class _Marks(dict[int, Any]):
    """What a character becomes: a space, nothing, or itself; looked up once for each."""

    def __missing__(self, code: int) -> Any:
        kind = unicodedata.category(chr(code))
        self[code] = code
        if kind == "Cf":
            self[code] = None
        elif kind[0] == "P" or kind in ("Cc", "Cs"):
            self[code] = " "
        return self[code]


_MARKS = _Marks()
_JOINTS = dict.fromkeys(map(ord, _APOSTROPHES))


def rule(given: Form | Callable[[str], str | None]) -> Callable[[str], str | None]:
    """What normalises, from its name or as the caller's own function.

    Raises:
        UsageError: If there is no such form.
    """
    if callable(given):
        return lambda text: given(text) or None
    if given not in get_args(Form):
        raise UsageError(
            f"link: normalise={given!r} is unknown; give {', '.join(get_args(Form))}, or a "
            "function from text to text."
        )
    return lambda text: normalised(text, given)


def column(values: pa.ChunkedArray, own: Callable[[str], str | None], name: str) -> pa.Array:
    """A column as it is compared; each distinct value is looked at once.

    Whole numbers are written without a fraction, whatever the type of the column: pandas makes
    fractions of whole numbers where one is missing. The values of a list are one text.

    Raises:
        UsageError: If the column holds records or bytes.
    """
    pa = arrow()
    from pyarrow import compute as pc

    kind = values.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        lists = values.to_pylist()
        values = pa.chunked_array([pa.array(map(_joined, lists), pa.large_string())])
    elif pa.types.is_nested(kind) or pa.types.is_binary(kind):
        raise UsageError(
            f"link: column {name!r} holds {kind}; keys are texts, numbers, dates or lists of them. "
            "Make a text of it first."
        )
    if pa.types.is_string(kind):
        values = values.cast(pa.large_string())  # one chunk of strings may not hold 2 GB
    folded = pc.dictionary_encode(values.combine_chunks())
    texts = map(text_of, folded.dictionary.to_pylist())
    bar = track(texts, name, total=len(folded.dictionary))
    found = [None if one is None else own(one) for one in bar]
    return pa.array(found, pa.large_string()).take(folded.indices)


def _joined(some: list[Any] | None) -> str | None:
    """The values of a list in one text."""
    texts = map(text_of, some or ())
    return " ".join(text for text in texts if text is not None) or None


def text_of(value: Any) -> str | None:
    """A cell as a text; whole numbers without a fraction, None and NaN as None.

    >>> text_of(7.0), text_of("07"), text_of(float("nan"))
    ('7', '07', None)
    """
    if value is None or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
