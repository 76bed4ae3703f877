"""A tokenizer whose tokens are codes: a predictor of bytes, a coder, and a folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tokenry import catalog
from tokenry.errors import DataError
from tokenry.method import TextCoder, settings
from tokenry.ops.arithmetic import SYMBOLS, Predictor, bounds
from tokenry.plugs.byte_text import ByteText, ImpossibleTextError, as_bytes

_FACTS = "coder.json"
_PROBES = (b"", b"T", b"The ", b"\n", b"import ", "né".encode(), b"in the year 19")


class CodedTokenizer:
    """Text as codes of a fixed width, which a predictor of bytes makes short.

    The ids of codes are their values; `<pad>` and `</s>` follow. The predictor has to give the
    same probabilities, to the last bit, wherever text is written and read: the same weights on the
    same kind of machine, in one dtype.

    Args:
        predictor: A `ByteLM`, or a function from bytes to the probabilities of the 256 bytes and
            of the end. It has to give some for any bytes; after those that a `ByteLM` refuses,
            such as the second half of a character, all are taken as equal.
        method: Name of a coder, with settings as in `equal-info(bits=32)`, or a configured one.

    Raises:
        UsageError: If the method is no coder, or its settings do not go together.

    Attributes:
        method: The coder.

    >>> from tokenry.ops.byte_counts import ByteCounts
    >>> coded = CodedTokenizer(ByteCounts.learned([b"the cat sat on the mat"]))
    >>> coded.decode(coded.encode("the mat"))
    'the mat'
    """

    def __init__(
        self, predictor: ByteText | Predictor, method: str | TextCoder = "equal-info"
    ) -> None:
        self.method = catalog.configured(method, TextCoder, "CodedTokenizer")
        self._width = self.method.width
        self._predict = _Lenient(predictor) if isinstance(predictor, ByteText) else predictor

    def __len__(self) -> int:
        """How many ids there are: the codes, `<pad>` and `</s>`."""
        return (1 << self._width) + 2

    def encode(self, text: str | bytes) -> list[int]:
        """The codes of a text, or of any bytes."""
        return self.method.encode(self._predict, as_bytes(text))

    def decode(self, ids: list[int]) -> str:
        """The text of codes; `<pad>` and `</s>` are left out.

        Raises:
            UsageError: If there are not whole windows.
        """
        return self.decode_bytes(ids).decode(errors="replace")

    def decode_bytes(self, ids: list[int]) -> bytes:
        """The bytes of codes, which need be no text."""
        codes = [token for token in ids if 0 <= token < 1 << self._width]
        return self.method.decode(self._predict, codes)

    def fingerprint(self) -> str:
        """A hash of what the predictor says, as the coder sees it, behind a few texts."""
        digest = hashlib.sha256()
        for probe in _PROBES:
            digest.update(np.array(bounds(self._predict(probe), 16), dtype=np.int64).tobytes())
        return digest.hexdigest()

    def save(self, folder: str | Path) -> None:
        """Write a folder: `AutoTokenizer` loads it for the ids, `load` for the text too.

        In `AutoTokenizer`'s eyes a text is the codes themselves, as `<17> <202>`.
        """
        tokens = [*(f"<{code}>" for code in range(1 << self._width)), "<pad>", "</s>"]
        ids = {token: place for place, token in enumerate(tokens)}
        words = Tokenizer(models.WordLevel(ids, unk_token="<pad>"))  # noqa: S106 - a token
        words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        words.decoder = decoders.WordPiece(prefix="")
        roles = {"pad_token": "<pad>", "eos_token": "</s>"}
        loads: Any = PreTrainedTokenizerFast
        loads(tokenizer_object=words, **roles).save_pretrained(folder)
        facts = {"method": _written(self.method), "predictor": self.fingerprint()}
        (Path(folder) / _FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path, predictor: ByteText | Predictor) -> CodedTokenizer:
        """The tokenizer of a folder.

        Args:
            folder: What `save` wrote.
            predictor: The same that it was made with.

        Raises:
            DataError: If the folder holds no coder, or its predictor was another one.
        """
        try:
            facts: dict[str, Any] = json.loads((Path(folder) / _FACTS).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{folder}: no {_FACTS} that can be read ({error}).") from error
        found = cls(predictor, str(facts["method"]))
        if found.fingerprint() != facts["predictor"]:
            raise DataError(
                f"{folder}: this predictor gives other probabilities than the one that the codes "
                "were made with, and would read other text; give the same weights and dtype, on "
                "the same kind of machine."
            )
        return found


class _Lenient:
    """Probabilities of a `ByteText`; equal ones where no text can be."""

    def __init__(self, text: ByteText) -> None:
        self._text = text

    def __call__(self, prefix: bytes) -> Float[np.ndarray, " 257"]:
        try:
            return np.asarray(self._text.next(prefix).exp().numpy(), dtype=np.float64)
        except ImpossibleTextError:
            return np.full(SYMBOLS, 1 / SYMBOLS)


def _written(method: TextCoder) -> str:
    """A coder as text that `catalog.make` reads."""
    inside = ", ".join(f"{s.name}={getattr(method, s.name)}" for s in settings(type(method)))
    return f"{method.card.slug}({inside})"
