"""A tokenizer as bytes: what each token spells, and which tokens a text is really written with."""

from __future__ import annotations

import codecs
import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, product
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from tokenizers import Tokenizer

from tokenry.errors import UsageError
from tokenry.ops.byte_trie import ByteTrie
from tokenry.plugs.vocabulary import speller

# What may follow a text, one of each kind that splits words in the tokenizers in use: the tokens
# of a text can depend on what comes next, as those of line ends on whether a word follows.
_PROBES = ("", "a", "A", " ", " a", "\n", "\na", "1", "11", ".", "'")
# One more letter follows: the first of these that no token joins to the byte before it, so that
# this byte can end a token wherever words are split.
_LETTERS = (
    "aAeEnqQXZ\u00e9\u0138\u01bb\u0294\u03b1\u0416\u0531\u05d0\u0628\u0710\u0787\u0915"
    "\u10d0\u2d30\u3042\u4e2d\u5b57\u6587\u7530\u8a9e\u9f8d\ua66e\ub098\uc0ac\ud55c\ufb00"
)
_BEFORE = 24  # bytes before a settled place that are looked at
_MANY = 32  # tokens that are worth finding out whether what is before them matters
_SAMPLE = "a B\u00e9\u4e2d\U0001f600."
# What a text needs: all of UTF-8 but control characters and the planes from U+40000 on, of which
# real vocabularies lack some.
_NEEDED = {*b"\t\n", *range(0x20, 0x7F), *range(0x80, 0xF1)} - {0xC0, 0xC1}


class Context(NamedTuple):
    """What stands before a token.

    Attributes:
        text: The last bytes.
        skip: How many of them the tokenizer puts there by itself.
        tokens: The last tokens, which spell the end of them.
    """

    text: bytes
    skip: int
    tokens: tuple[int, ...]


class Spelling:
    """What the tokens of a tokenizer spell.

    Args:
        tokenizer: A fast tokenizer whose tokens spell every byte: byte-level BPE, or pieces with
            byte fallback.
        size: Tokens that the model knows.
        ends: Ids that end a text.

    Raises:
        UsageError: If it cannot spell every text, or changes what it reads.

    Attributes:
        trie: All tokens that stand for text.
        lead: What the tokenizer puts in front of every text, as bytes: the space of sentencepiece.
        start: Ids that it puts in front of a text; without such the token that begins, or else
            ends, a text; empty when there is none.
    """

    def __init__(self, tokenizer: Any, size: int, ends: frozenset[int]) -> None:
        self._name = type(tokenizer).__name__
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise UsageError(
                f"ByteLM: {self._name} is not a fast tokenizer, and cannot say quickly enough how "
                "a text is written; load the fast tokenizer of this model."
            )
        self._encoder = Tokenizer.from_str(backend.to_str())
        self._encoder.no_padding()
        self._encoder.no_truncation()
        self._encoder.encode_special_tokens = True  # in a text, <s> is three characters
        spelled = self._spelled(ends | set(tokenizer.all_special_ids))
        self._refuse_gaps(spelled, size)
        self._bytes = spelled
        self.trie = ByteTrie(spelled)
        self._loose: dict[bytes, str] = {}
        self._alone: dict[bytes, Int[np.ndarray, " n"]] = {}  # as `follow` finds out
        self.lead = self._found_lead()
        self.start = self._found_start(tokenizer)

    def _spelled(self, apart: frozenset[int]) -> dict[int, bytes]:
        """The bytes of each token that stands for text."""
        settings = json.loads(self._encoder.to_str())
        decoder = settings["decoder"] or {"type": "none"}
        steps = {step["type"]: step for step in decoder.get("decoders", [decoder])}
        added = {one["id"]: one for one in settings["added_tokens"]}
        apart = apart | {token for token, one in added.items() if one["special"]}
        if not {"ByteLevel", "ByteFallback"} & steps.keys():
            raise UsageError(
                f"ByteLM: the tokens of {self._name} (decoder: {', '.join(steps)}) do not spell "
                "every byte; give a model with byte-level BPE or with pieces and byte fallback."
            )
        spell = speller(settings)
        pieces = self._encoder.get_vocab(with_added_tokens=True)
        return {
            token: piece.encode() if token in added else spell(piece)
            for piece, token in pieces.items()
            if token not in apart
        }

    def _refuse_gaps(self, spelled: dict[int, bytes], size: int) -> None:
        beyond = [token for token in spelled if token >= size]
        if beyond:
            raise UsageError(
                f"ByteLM: token {max(beyond)} of {self._name} is outside the model's vocabulary of "
                f"{size}; tokenizer and model do not belong together."
            )
        single = {one[0] for one in spelled.values() if len(one) == 1}
        lacking = sorted(_NEEDED - single)
        if lacking:
            raise UsageError(
                f"ByteLM: {self._name} has no token for byte {lacking[0]:#04x}, and for "
                f"{len(lacking)} of the {len(_NEEDED)} bytes that a text needs; give a tokenizer "
                "that spells every byte."
            )

    def _found_lead(self) -> bytes:
        for text in ("a", _SAMPLE):
            spelled = b"".join(self._bytes.get(token, b"\xff") for token in self.encode(text))
            lead = spelled[: len(spelled) - len(text.encode())]
            if lead + text.encode() != spelled or lead.strip():
                raise UsageError(
                    f"ByteLM: {self._name} does not keep a text as it is: {text!r} becomes "
                    f"{spelled.decode(errors='replace')!r}; give one that loses nothing."
                )
        return lead

    def _found_start(self, tokenizer: Any) -> tuple[int, ...]:
        with_front, plain = tokenizer("a")["input_ids"], self.encode("a")
        front = with_front[: max(len(with_front) - len(plain), 0)]
        while front and with_front[len(front) : len(front) + len(plain)] != plain:
            front = front[:-1]
        known = [i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None]
        return tuple(front or known[:1])

    def encode(self, text: str) -> list[int]:
        """How a text is written, nothing put in front of it."""
        ids: list[int] = self._encoder.encode(text, add_special_tokens=False).ids
        return ids

    def spell(self, tokens: Sequence[int]) -> bytes:
        """What tokens spell; those that stand for no text spell nothing."""
        return b"".join(self._bytes.get(token, b"") for token in tokens)

    def follow(self, context: Context, rows: Int[np.ndarray, " k"]) -> Bool[np.ndarray, " k"]:
        """Which tokens follow in canonical text: some text goes on and is written with them.

        Args:
            context: What stands before them.
            rows: Tokens, as rows of the trie.
        """
        found = np.zeros(len(rows), dtype=bool)
        apart = self._apart(context, rows)
        memory = self._alone.setdefault(context.text[-1:], np.zeros(len(self.trie.ids), np.int8))
        known = apart & (memory[rows] != 0)
        found[known] = memory[rows[known]] > 0
        rest = np.flatnonzero(~known)
        texts = [context.text + self.trie.spelled[row] for row in rows[rest]]
        tails = [(*context.tokens, int(self.trie.ids[row])) for row in rows[rest]]
        found[rest] = self._tried([text[context.skip :] for text in texts], tails)
        new = rest[apart[rest]]
        memory[rows[new]] = np.where(found[new], 1, -1)
        return found

    def _apart(self, context: Context, rows: Int[np.ndarray, " k"]) -> Bool[np.ndarray, " k"]:
        """Of which rows nothing but the last letter before them matters, so that it is remembered.

        No token joins the two, and what follows leaves the tokens before them as they are.
        """
        text = context.text[context.skip :]
        if len(rows) < _MANY or not text[-1:].isascii() or unfinished(text) != 0 or not text:
            return np.zeros(len(rows), dtype=bool)
        tries = [(0, [probe]) for probe in self._probes(text, slice(None))]
        if not all(self._written([one], [context.tokens])[0] for one in tries):
            return np.zeros(len(rows), dtype=bool)
        return self.trie.apart(text[-1], rows)

    def _tried(self, texts: Sequence[bytes], tails: Sequence[tuple[int, ...]]) -> list[bool]:
        """Whether some text that begins with each is written with its tail: the next, then all."""
        tries = [(i, self._probes(text, slice(0, 1))) for i, text in enumerate(texts)]
        found = self._written(tries, tails)
        failed = [i for i, ok in enumerate(found) if not ok]
        rest = [(i, self._probes(texts[i], slice(1, None))) for i in failed]
        again = self._written(rest, tails)
        return [one or other for one, other in zip(found, again, strict=True)]

    def _written(
        self, tries: Sequence[tuple[int, list[tuple[str, int]]]], tails: Sequence[tuple[int, ...]]
    ) -> list[bool]:
        """Whether one of the texts of each try is written with its tail, and bytes behind it."""
        found = [False] * len(tails)
        flat = [(i, text, behind) for i, options in tries for text, behind in options]
        batch = [text for _, text, _ in flat]
        written = self._encoder.encode_batch_fast(batch, add_special_tokens=False)
        for (i, _, behind), one in zip(flat, written, strict=True):
            found[i] = found[i] or self._ends_with(one.ids, tails[i], behind)
        return found

    def _probes(self, text: bytes, part: slice) -> list[tuple[str, int]]:
        """Some of the texts tried that begin with this one, and how many bytes each has behind."""
        try:
            whole = text.decode()
        except UnicodeDecodeError:
            begun = unfinished(text)
        else:
            probes = [(whole + probe, len(probe)) for probe in _PROBES[part]]
            letter = "" if part.stop else self._letter(text[-1:])
            return [*probes, (whole + letter, len(letter.encode()))] if letter else probes
        if not begun:
            return []
        whole = text[:-begun].decode()
        return [(whole + letter, missing) for letter, missing in _characters(text[-begun:])[part]]

    def _letter(self, last: bytes) -> str:
        """A letter that no token joins to this byte; empty when there is none."""
        if last and last not in self._loose:
            free = (c for c in _LETTERS if not self.trie.joined(last[0], c.encode()[0]))
            self._loose[last] = next(free, "")
        return self._loose.get(last, "")

    def ends(self, context: Context) -> bool:
        """Whether a text that ends here is written with these tokens."""
        text = context.text[context.skip :]
        whole = unfinished(text) == 0
        return whole and self._written([(0, [(text.decode(), 0)])], [context.tokens])[0]

    def settled(self, text: bytes) -> tuple[int, int, list[int]]:
        """How far the tokens of a text are settled, whatever follows it.

        Args:
            text: The text, `lead` included; it may end in the middle of a character.

        Returns:
            A place to begin from when what may follow is tested, the place up to which the tokens
            are settled, and those tokens.

        Raises:
            UsageError: If the text is no UTF-8, or the tokenizer changes it.
        """
        begun = unfinished(text)
        if begun is None:
            raise UsageError(
                f"ByteLM: {text[-40:]!r} is no UTF-8, and no text begins like that; give bytes of "
                "a text, which may end in the middle of a character."
            )
        whole = text[len(self.lead) : len(text) - begun].decode()
        ids = self.encode(whole)
        if whole and self.spell(ids) != text[: len(text) - begun]:
            raise UsageError(
                f"ByteLM: the tokenizer writes {whole[-40:]!r} as "
                f"{self.spell(ids)[-40:].decode(errors='replace')!r}; give the latter."
            )
        ends = list(accumulate(len(self._bytes[token]) for token in ids)) if whole else []
        place = len(text) - begun - len(whole[-1:].encode())
        while place := self.trie.boundary(text, place):
            window = self._window(text[: len(text) - begun], ids, ends, place)
            if window is not None:
                return window, place, ids[: ends.index(place) + 1]
            place -= 1
        return 0, 0, []

    def _window(self, text: bytes, ids: list[int], ends: list[int], place: int) -> int | None:
        """Where to begin to see the same tokens from `place` on; None if it is not settled."""
        if place not in ends:
            return None
        window = max(place - _BEFORE, 0)
        while window and (text[window] & 0xC0) == 0x80:
            window -= 1
        window = window if window > len(self.lead) else 0
        part = text[max(window, len(self.lead)) :].decode()
        behind = len(text) - place
        rest = ids[ends.index(place) + 1 :]
        for probe in (*_PROBES, self._letter(text[-1:])):
            written = self.encode(part + probe)
            left, start = behind + len(probe.encode()), len(written)
            while left > 0 and start:
                start -= 1
                left -= len(self._bytes.get(written[start], b""))
            if left or (not probe and written[start:] != rest):
                return None
        return window

    def _ends_with(self, ids: list[int], tail: tuple[int, ...], behind: int) -> bool:
        """Whether `tail` stands in `ids` where it must, with some bytes behind it."""
        stop = len(ids)
        while behind > 0 and stop:
            stop -= 1
            behind -= len(self._bytes.get(ids[stop], b""))
        return not behind and tuple(ids[max(stop - len(tail), 0) : stop]) == tail


def unfinished(text: bytes) -> int | None:
    r"""How many last bytes begin a character; None when the text is no UTF-8.

    >>> unfinished("\u00e9".encode()), unfinished("\u00e9".encode()[:1]), unfinished(b"\xff")
    (0, 1, None)
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(text)
    except UnicodeDecodeError:
        return None
    return len(decoder.getstate()[0])


@lru_cache(maxsize=4096)
def _characters(begun: bytes) -> tuple[tuple[str, int], ...]:
    """Characters that begin with these bytes: all when one byte is missing, else a good many."""
    length = 2 if begun[0] < 0xE0 else 3 if begun[0] < 0xF0 else 4
    missing = length - len(begun)
    every, some = range(0x80, 0xC0), (0xAC, 0x80, 0xBF)
    choices = (every, *([some] * (missing - 1)))
    found = []
    for rest in product(*choices):
        letter = begun + bytes(rest)
        if unfinished(letter) == 0:
            found.append((letter.decode(), missing))
    return tuple(found)
