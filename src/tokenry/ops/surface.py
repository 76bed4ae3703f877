"""How an old tokenizer writes the tokens of a new one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Int
from torch import Tensor


class SurfaceForms:
    """Writes texts with at most so many old tokens, and remembers them.

    What the tokenizer cannot write is written by bytes. Bytes that no token stands for have ids
    of their own behind those of the vocabulary, in order of the bytes.

    Args:
        write: How the old tokenizer's model writes bytes; empty if it cannot.
        spelled: The bytes that each old token stands for; None for none.
        pieces: Most tokens of a text; what is left is cut off.
        padding: What fills up shorter ones.

    >>> tokens = [b"a", b"b", b"ab"]
    >>> forms = SurfaceForms(lambda text: [2] if text == b"ab" else [], tokens, 3, 999)
    >>> forms([b"ab", b"ba", None]).tolist()
    [[2, 999, 999], [1, 0, 999], [999, 999, 999]]
    """

    def __init__(
        self,
        write: Callable[[bytes], list[int]],
        spelled: Sequence[bytes | None],
        pieces: int,
        padding: int,
    ) -> None:
        self._write, self._pieces, self._padding = write, pieces, padding
        self._single = {one[0]: t for t, one in enumerate(spelled) if one and len(one) == 1}
        absent = [byte for byte in range(256) if byte not in self._single]
        self._single |= {byte: len(spelled) + n for n, byte in enumerate(absent)}
        self.extra = len(absent)
        """Bytes that no token stands for."""
        self._known: dict[bytes, list[int]] = {}

    def __call__(self, texts: Sequence[bytes | None]) -> Int[Tensor, "n l"]:
        """The tokens of each text; of None or an empty text nothing but padding."""
        forms = [self._form(text) if text else [] for text in texts]
        room, filler = self._pieces, [self._padding]
        whole = [form + filler * (room - len(form)) for form in forms]
        return torch.tensor(whole, dtype=torch.long).view(len(texts), room)

    def _form(self, text: bytes) -> list[int]:
        if text not in self._known:
            written = self._write(text) or [self._single[byte] for byte in text]
            self._known[text] = written[: self._pieces]
        return self._known[text]
