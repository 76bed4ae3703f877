"""The byte alphabet of GPT-2: every byte as one visible letter, so that any text is a string."""

from __future__ import annotations

_SHOWN = (*range(33, 127), *range(161, 173), *range(174, 256))
_HIDDEN = tuple(byte for byte in range(256) if byte not in _SHOWN)

LETTERS = "".join(
    chr(byte) if byte in _SHOWN else chr(256 + _HIDDEN.index(byte)) for byte in range(256)
)
"""The letter of each byte: visible ones stand for themselves, the others for U+0100 and on."""

_NO_BYTE = "\uffff"  # becomes of what is no letter, and has no code in latin-1
_AS_BYTES = dict.fromkeys(_HIDDEN, _NO_BYTE) | {
    ord(letter): chr(byte) for byte, letter in enumerate(LETTERS)
}
_AS_LETTERS = dict(enumerate(LETTERS))


def to_letters(spelled: bytes) -> str:
    r"""Bytes in the byte alphabet.

    >>> to_letters(" é\n".encode())
    'ĠÃ©Ċ'
    """
    return spelled.decode("latin-1").translate(_AS_LETTERS)


def to_bytes(letters: str) -> bytes:
    r"""The bytes that letters of the byte alphabet stand for.

    Raises:
        KeyError: If one is no such letter.

    >>> to_bytes("ĠÃ©").decode()
    ' é'
    """
    try:
        return letters.translate(_AS_BYTES).encode("latin-1")
    except UnicodeEncodeError as error:
        raise KeyError(letters[error.start]) from error
