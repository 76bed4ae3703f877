"""Learn a tokenizer from texts into a folder, and say how it compares with BPE."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from tokenry import catalog
from tokenry.data import load_text
from tokenry.errors import UsageError
from tokenry.method import END, TokenizerTrainer
from tokenry.plugs.fresh_folder import fresh_folder, whole
from tokenry.progress import showing

_ROLES = {
    END: "eos_token",
    "[UNK]": "unk_token",
    "[CLS]": "cls_token",
    "[SEP]": "sep_token",
    "[PAD]": "pad_token",
    "[MASK]": "mask_token",
}
_HELD_OUT = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """A tokenizer that was learned, and how it writes text that it was not learned from.

    Attributes:
        method: The trainer.
        folder: Where the tokenizer was saved; `AutoTokenizer` loads it.
        size: Its tokens.
        seconds: How long learning took.
        learned_from: Bytes of the texts that it was learned from.
        held_out: Bytes of the texts that it is measured on.
        bytes_per_token: On those.
        bpe_bytes_per_token: The same of BPE with as many tokens, learned from the same texts; None
            where BPE cannot be that small.
    """

    method: str
    folder: Path
    size: int
    seconds: float
    learned_from: int
    held_out: int
    bytes_per_token: float
    bpe_bytes_per_token: float | None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return {**asdict(self), "folder": str(self.folder)}

    def __str__(self) -> str:
        bpe = self.bpe_bytes_per_token
        beside = bpe and bpe != self.bytes_per_token  # BPE itself needs no line about it
        return (
            f"{self.method}: {self.size:,} tokens from {self.learned_from:,} bytes in "
            f"{self.seconds:.1f} s\n{self.bytes_per_token:.3f} bytes per token on "
            f"{self.held_out:,} bytes held out"
            + (f"; BPE with as many tokens {bpe:.3f}" if beside else "")
            + f"\nTokenizer: {self.folder}"
        )


def train_tokenizer(
    sources: Sequence[Any],
    method: str | TokenizerTrainer = "bpe",
    *,
    out: str | Path,
    size: int | None = None,
    on_error: str = "raise",
    progress: bool | None = None,
) -> Learned:
    """Learn a tokenizer and save it as a folder that `AutoTokenizer` loads.

    The last tenth of each text is held out, and what is learned is measured on that, beside BPE
    with as many tokens.

    Args:
        sources: Each something that `tokenry.data.load_text` reads: a name, a folder, a file, a
            table or a list of texts.
        method: Name of a trainer, with settings as in `less-is-better(documents=400)`, or a
            configured instance.
        out: The folder; new, or empty.
        size: Most tokens, special ones included; what the trainer has by default when not given.
        on_error: "raise" names texts that cannot be read; "skip" leaves them out with a warning.
        progress: Show bars; None shows them on a terminal.

    Raises:
        UsageError: If the method learns no tokenizer, the folder holds something, or the texts are
            too short to hold out a tenth.
        UnknownNameError: If no method has this name.
        DataError: If a source cannot be read.

    >>> import tempfile
    >>> texts = [["the cat sat on the mat, and the rat sat on the cat. " * 9]]
    >>> train_tokenizer(texts, "bpe", size=265, out=tempfile.mkdtemp()).size
    265
    """
    given = {} if size is None else {"size": size}
    rule = catalog.configured(method, TokenizerTrainer, "train_tokenizer", **given)
    folder = fresh_folder("train_tokenizer", out)
    read = (load_text(source, on_error=on_error).examples for source in sources)
    texts = {one.text: None for examples in read for one in examples}
    cuts = [_cut(text) for text in texts]
    kept = [text[:cut] for text, cut in zip(texts, cuts, strict=True)]
    held = [text[cut:] for text, cut in zip(texts, cuts, strict=True)]
    if not any(kept) or not any(held):
        raise UsageError("train_tokenizer: the texts are too short; give at least ten letters.")
    start = time.perf_counter()
    with showing(progress):
        tokenizer = rule.train(kept)
    seconds = time.perf_counter() - start
    found = tokenizer.get_vocab_size()
    with whole(folder) as place:
        _wrapped(tokenizer).save_pretrained(place)
    return Learned(
        method=rule.describe(),
        folder=folder,
        size=found,
        seconds=seconds,
        learned_from=_bytes(kept),
        held_out=_bytes(held),
        bytes_per_token=_bytes_per_token(tokenizer, held),
        bpe_bytes_per_token=_of_bpe(found, kept, held),
    )


def _cut(text: str) -> int:
    """Where the last tenth of a text begins; behind the end of a line where there is one."""
    cut = len(text) - int(len(text) * _HELD_OUT)
    return text.rfind("\n", cut // 2, cut) + 1 or cut


def _wrapped(tokenizer: Tokenizer) -> Any:
    known = tokenizer.get_vocab()
    roles = {role: token for token, role in _ROLES.items() if token in known}
    loads: Any = PreTrainedTokenizerFast
    return loads(tokenizer_object=tokenizer, **roles)


def _bytes(texts: Sequence[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def _bytes_per_token(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    written = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return _bytes(texts) / sum(len(one.ids) for one in written)


def _of_bpe(size: int, kept: Sequence[str], held: Sequence[str]) -> float | None:
    if size <= 257:
        return None
    rule = catalog.configured("bpe", TokenizerTrainer, "train_tokenizer", size=size)
    return _bytes_per_token(rule.train(kept), held)
