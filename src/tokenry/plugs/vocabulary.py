"""A tokenizer of the `tokenizers` library as rules see it: `Vocab`."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from tokenizers import Tokenizer

from tokenry.alphabet import to_bytes, to_letters
from tokenry.errors import UsageError
from tokenry.method import Vocab
from tokenry.zoo.cache import called

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_WORD = re.compile(rb" *[^ ]+| +")
_SPACE = "\u2581"  # what sentencepiece writes for a space


def vocabulary(tokenizer: Any, name: str | None = None) -> Vocab:
    """A tokenizer as rules see it.

    Args:
        tokenizer: A fast tokenizer of transformers, or one of the `tokenizers` library.
        name: What a person calls it; found out when not given.

    Raises:
        UsageError: If it is a slow tokenizer, which cannot be looked into.

    >>> from tokenizers import Tokenizer, models
    >>> vocabulary(Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))).merges.tolist()
    [[0, 1, 2]]
    """
    text = engine(tokenizer).to_str()
    with _collecting_later():
        settings = json.loads(text)
    added = {one["id"]: one for one in settings["added_tokens"]}
    ids = _ids(settings["model"]["vocab"]) | {one["content"]: n for n, one in added.items()}
    size = max(ids.values(), default=-1) + 1
    pieces = [""] * size
    for piece, token in ids.items():
        pieces[token] = piece
    special = _special(tokenizer, added)
    return Vocab(
        name=name or _name(tokenizer),
        kind=settings["model"]["type"],
        spelled=_spelled(pieces, ids, settings, added, special),
        pieces=tuple(pieces),
        added=frozenset(added),
        special=special,
        merges=_merges(settings["model"], ids),
        scores=_scores(settings["model"], size),
        scribe=_Scribe(text, settings),
    )


@contextmanager
def _collecting_later() -> Iterator[None]:
    """Without garbage collection, which goes through all merges again and again as they come."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _spelled(
    pieces: Sequence[str],
    ids: Mapping[str, int],
    settings: Mapping[str, Any],
    added: Mapping[int, Any],
    special: Mapping[str, int],
) -> tuple[bytes | None, ...]:
    """What each token stands for."""
    spell, silent = speller(settings), set(special.values())
    usual = [token for token in ids.values() if token not in added and token not in silent]
    names = [pieces[token] for token in usual]
    spelled: list[bytes | None] = [None] * len(pieces)
    every = _letters_of_all(names) if spell is _letters else map(spell, names)
    for token, bytes_ in zip(usual, every, strict=True):
        spelled[token] = bytes_
    for token in added.keys() - silent:
        spelled[token] = pieces[token].encode()
    return tuple(spelled)


def _letters_of_all(pieces: Sequence[str]) -> list[bytes]:
    """The same as `_letters` of each, several times as fast where all are of the byte alphabet."""
    try:
        joined = to_bytes("".join(pieces))
    except KeyError:
        return [_letters(piece) for piece in pieces]
    ends = list(accumulate(map(len, pieces)))
    return [joined[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def engine(tokenizer: Any) -> Tokenizer:
    """The `tokenizers` object inside a tokenizer.

    Raises:
        UsageError: If there is none.
    """
    if isinstance(tokenizer, Tokenizer):
        return tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise UsageError(
            f"vocabulary: {type(tokenizer).__name__} is a slow tokenizer, which cannot say what "
            "its tokens spell or how they were learned; load the fast one, as "
            "AutoTokenizer.from_pretrained does, a tokenizer.json, or the .model file of "
            "sentencepiece beside it, as tokenry.zoo.tokenizer.tokenizer reads it. Those that "
            "write bytes or characters (ByT5, CANINE) have no fast one, and nothing to judge."
        )
    return backend


def speller(settings: Mapping[str, Any]) -> Any:
    """What turns a token, as a tokenizer of these settings writes it, into the bytes it spells."""
    model, decoder = settings["model"], settings["decoder"] or {"type": "none"}
    kinds = {step["type"]: step for step in decoder.get("decoders", [decoder])}
    splitter = settings["pre_tokenizer"] or {"type": "none"}
    kinds |= {step["type"]: step for step in splitter.get("pretokenizers", [splitter])}
    if "ByteLevel" in kinds:
        return _letters
    if model["type"] == "WordPiece":
        return partial(_wordpiece, inner=model["continuing_subword_prefix"])
    return partial(_piece, space=_space(kinds))


def _space(kinds: Mapping[str, Any]) -> str:
    """The letter that stands for a space in pieces."""
    if "Metaspace" in kinds:
        return str(kinds["Metaspace"]["replacement"])
    return str(kinds.get("Replace", {}).get("pattern", {}).get("String", _SPACE))


def _letters(piece: str) -> bytes:
    try:
        return to_bytes(piece)
    except KeyError:  # a token that was put in by hand
        return piece.encode()


def _wordpiece(piece: str, inner: str) -> bytes:
    inside = bool(inner) and piece.startswith(inner)
    return piece[len(inner) :].encode() if inside else f" {piece}".encode()


def _piece(piece: str, space: str) -> bytes:
    byte = _BYTE.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace(space, " ").encode()


def _special(tokenizer: Any, added: Mapping[int, Any]) -> dict[str, int]:
    """Ids of special tokens: those with a role by role, the others by themselves."""
    found = {one["content"]: token for token, one in added.items() if one["special"]}
    roles = getattr(tokenizer, "special_tokens_map", {})
    named = {
        role: tokenizer.convert_tokens_to_ids(one)
        for role, one in roles.items()
        if isinstance(one, str)
    }
    taken = set(named.values())
    rest = {one: token for one, token in found.items() if token not in taken}
    return {role: token for role, token in named.items() if token is not None} | rest


def _ids(vocab: Any) -> dict[str, int]:
    """The token of each piece; a unigram model lists pieces with their scores."""
    if isinstance(vocab, dict):
        return vocab
    return {piece: token for token, (piece, _) in enumerate(vocab)}


def _merges(model: Mapping[str, Any], ids: Mapping[str, int]) -> Int[np.ndarray, "t 3"]:
    """Left, right and made token of each merge; older files write both parts in one string."""
    pairs = model.get("merges") or ()
    if not pairs:
        return np.zeros((0, 3), np.int64)
    if isinstance(pairs[0], str):
        pairs = [merge.split(" ") for merge in pairs]
    inner = model.get("continuing_subword_prefix") or ""
    lefts, rights = [left for left, _ in pairs], [right for _, right in pairs]
    ends = [right.removeprefix(inner) for right in rights] if inner else rights
    made: Int[np.ndarray, "t 3"] = np.stack(
        [
            np.fromiter(map(ids.__getitem__, names), np.int64, len(pairs))
            for names in (lefts, rights, map(str.__add__, lefts, ends))
        ],
        axis=1,
    )
    return made


def _scores(model: Mapping[str, Any], size: int) -> Float[np.ndarray, " v"] | None:
    if model["type"] != "Unigram":
        return None
    scores = np.full(size, -np.inf)
    scores[: len(model["vocab"])] = [score for _, score in model["vocab"]]
    return scores


def _name(tokenizer: Any) -> str:
    name = str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)
    return called(name) if Path(name).is_dir() else name


class _Scribe:
    """Writes with the tokenizer of a `tokenizer.json`; it can be pickled."""

    def __init__(self, text: str, settings: Mapping[str, Any]) -> None:
        self._text = text
        large = {"vocab": (), "merges": ()}  # what the text holds as well
        self._settings = {**settings, "model": {**settings["model"], **large}}

    @cached_property
    def _whole(self) -> Tokenizer:
        whole = Tokenizer.from_str(self._text)
        whole.no_padding()
        whole.no_truncation()
        whole.encode_special_tokens = True  # in a text, <s> is three characters
        return whole

    @cached_property
    def _alone(self) -> Tokenizer:
        """The model without what prepares text for it."""
        return Tokenizer(self._whole.model)

    @cached_property
    def _unknown(self) -> int | None:
        """The token for what the model cannot write."""
        model = self._settings["model"]
        if model["type"] == "Unigram":
            return None if model["byte_fallback"] else model["unk_id"]
        unknown = model.get("unk_token")
        return None if unknown is None else self._alone.token_to_id(unknown)

    @cached_property
    def _spell(self) -> Any:
        return speller(self._settings)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, nothing put in front of it or behind it.

        Raises:
            UsageError: If it cannot write a text, as without a token for what it does not know.
        """
        try:
            written = self._whole.encode_batch_fast(list(texts), add_special_tokens=False)
        except Exception as error:  # all that the library raises
            raise UsageError(f"vocabulary: the tokenizer cannot write this: {error}.") from error
        return [one.ids for one in written]

    def write(self, spelled: bytes) -> list[int]:
        """How the model alone writes these bytes, as one word; empty if it cannot."""
        if self._spell is _letters:
            return self._known(to_letters(spelled))
        try:
            return self._known(self._as_piece(spelled.decode()))
        except UnicodeDecodeError:
            return self._bytes(spelled)

    def _known(self, piece: str) -> list[int]:
        ids: list[int] = self._alone.encode(piece).ids
        return [] if self._unknown in ids else ids

    def _bytes(self, spelled: bytes) -> list[int]:
        """Bytes that are no text, one by one."""
        found = (self._alone.token_to_id(f"<0x{byte:02X}>") for byte in spelled)
        ids = [token for token in found if token is not None]
        return ids if len(ids) == len(spelled) else []

    def words(self, text: str) -> list[bytes]:
        """The words that a text is split into before the model sees it.

        Conversions from sentencepiece do not split, but a space begins a word when it learns.
        """
        normal, split = self._whole.normalizer, self._whole.pre_tokenizer
        text = text if normal is None else normal.normalize_str(text)
        parts = [text] if split is None else [part for part, _ in split.pre_tokenize_str(text)]
        words = [self._spell(part) for part in parts]
        if self._spell is _letters or self._settings["model"]["type"] == "WordPiece":
            return words
        return [part for word in words for part in _WORD.findall(word)]

    def _as_piece(self, text: str) -> str:
        """Text as the model writes it."""
        model = self._settings["model"]
        if model["type"] == "WordPiece":
            return text[1:] if text[:1] == " " else model["continuing_subword_prefix"] + text
        return text.replace(" ", self._spell.keywords["space"])
