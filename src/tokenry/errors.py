"""Every error a user can meet: who, got what, allowed what, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TokenryError(Exception):
    """Base of every error that tokenry raises on purpose."""


class UsageError(TokenryError, ValueError):
    """An argument is outside what is allowed."""


class UnknownNameError(TokenryError, KeyError):
    """A method, model or data name that does not exist; the message holds the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        options = sorted(known)
        near = difflib.get_close_matches(name, options, n=3, cutoff=0.3) or options[:3]
        message = f"{kind} {name!r} is unknown; nearest: {', '.join(near) or 'none'}."
        super().__init__(f"{message} {hint}".strip())

    def __str__(self) -> str:
        # KeyError would show the repr of the message.
        return str(self.args[0])


class MissingExtraError(TokenryError, ImportError):
    """A package that only some features need is not installed."""

    def __init__(self, what: str, install: str) -> None:
        super().__init__(f"{what} needs a package that is not installed; run: {install}")


class UnsupportedModelError(TokenryError, TypeError):
    """Nothing here works on a model of this architecture."""


class AttachError(TokenryError, RuntimeError):
    """A method cannot be attached to, or taken off, this model now."""


class DataError(TokenryError, ValueError):
    """A file or folder that the user named cannot be read as data."""


class StoreError(TokenryError, OSError):
    """A file or folder of tokenry's own, such as results, an index or a report, cannot be used."""


class EndpointError(TokenryError, ConnectionError):
    """A language model behind an address gave no answer."""
