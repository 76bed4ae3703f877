"""A move to another tokenizer, measured: bits per byte before and after, tokens, seconds."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tokenry import zoo
from tokenry.data.dictionaries import load_dictionary
from tokenry.data.text_loader import load_text
from tokenry.errors import UsageError
from tokenry.method import VocabMap
from tokenry.plugs.bits import Bits, bits_per_byte, parts
from tokenry.plugs.masked_bits import masked_bits_per_byte
from tokenry.plugs.moving import Moved, transplant
from tokenry.plugs.retraining import train_embeddings
from tokenry.plugs.wordvectors import read_words
from tokenry.zoo.loading import fills_in

_PART, _TEXT = 2048, 65536  # bytes of a text that is measured on, and of one that is learned from


@dataclass(frozen=True, kw_only=True)
class Transplanted:
    """What a move did to a model.

    Attributes:
        moved: The moved model.
        before: Bits of the held-out texts before the move.
        after: The same after it, before any training.
        trained: The same after training the rows; None when there was none.
        seconds: What the move and the training took.
        losses: Loss of each training step in nats per token.
    """

    moved: Moved
    before: Bits
    after: Bits
    trained: Bits | None
    seconds: dict[str, float]
    losses: tuple[float, ...] = ()

    @property
    def saved(self) -> float:
        """Share of the tokens that the new tokenizer saves on the held-out texts."""
        return 1 - sum(self.after.tokens) / sum(self.before.tokens)

    def figures(self) -> dict[str, Any]:
        """The figures as plain data."""
        stages = {"before": self.before, "after": self.after, "trained": self.trained}
        return {
            "bits_per_byte": {name: bits.per_byte for name, bits in stages.items() if bits},
            "unknown_tokens": {name: bits.unknown for name, bits in stages.items() if bits},
            "bytes_per_token": {
                "before": self.before.bytes_per_token,
                "after": self.after.bytes_per_token,
            },
            "tokens_saved": self.saved,
            "held_out_bytes": sum(self.before.sizes),
            "seconds": self.seconds,
            "losses": list(self.losses),
        }

    def to_dict(self) -> dict[str, Any]:
        """The move and its figures as plain data."""
        return {**self.moved.summary(), **self.figures()}

    def __str__(self) -> str:
        stages = [("before", self.before), ("moved", self.after)]
        if self.trained is not None:
            stages.append((f"after {len(self.losses)} steps", self.trained))
        lines = [f"{'':<18} {'bits per byte':>13} {'bytes per token':>16}"]
        lines += [f"{n:<18} {b.per_byte:>13.3f} {b.bytes_per_token:>16.2f}" for n, b in stages]
        rows = ", ".join(f"{n:,} {kind}" for kind, n in self.moved.summary()["rows"].items() if n)
        took = ", ".join(f"{name} {value:.1f} s" for name, value in self.seconds.items())
        lines += ["", f"Tokens saved: {self.saved:.1%} of {sum(self.before.tokens):,}"]
        lines += [f"Rows: {rows}", f"Took: {took}"]
        if any(bits.unknown for _, bits in stages):
            lines.append("Unknown tokens hide text that is not paid for: do not trust the bits.")
        return "\n".join(lines)


def transplant_on(
    model: str,
    new_tokenizer: str,
    method: str | VocabMap,
    *,
    text: Any,
    source_text: Any = None,
    dictionary: str | Path | None = None,
    source_words: str | Path | None = None,
    target_words: str | Path | None = None,
    special: dict[str, str] | None = None,
    held_out: int = 20_000,
    train_steps: int = 0,
    rate: float = 1e-3,
    out: str | Path | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Transplanted:
    """Move a model to another tokenizer, and measure on text that nothing was learned from.

    Args:
        model: `zoo:NAME`, a folder, or a name on the Hub.
        new_tokenizer: A folder, or a name on the Hub.
        method: As for `transplant`.
        text: Texts that the model shall read, as `tokenry.data.load_text` takes them.
        source_text: Texts of the old tokenizer's language, for methods that learn from them.
        dictionary: As `tokenry.data.dictionaries.load_dictionary` takes it.
        source_words: File of word vectors of the old language.
        target_words: The same of the new one.
        special: As for `transplant`.
        held_out: Bytes of text to measure on, at most a fifth of the texts.
        train_steps: Steps of training the rows on the rest of the text; a killed training goes
            on when `out` is the same.
        rate: Learning rate of that training.
        out: Folder to save the moved model in; needed for training.
        seed: Of all that is drawn.
        progress: Show a bar; None shows one on a terminal.

    Returns:
        The moved model with its figures; they are in the summary that is saved, too.

    Raises:
        UsageError: If an argument is out of range, or there are too few texts.
    """
    if train_steps < 0 or held_out < 1 or (train_steps and out is None):
        raise UsageError(
            f"transplant: train_steps={train_steps}, held_out={held_out}, out={out}; steps are at "
            "least 0, bytes at least 1, and training needs a folder."
        )
    held, texts = _split(_texts(text), held_out, seed)
    given = _given(source_text, dictionary, source_words, target_words)
    loaded, measure = _loaded(model, train_steps)
    before = measure(loaded.model, loaded.processor, held, progress=progress)
    start = time.perf_counter()
    given |= {"texts": texts, "special": special, "seed": seed}
    moved = transplant(loaded.model, loaded.processor, new_tokenizer, method, **given)
    seconds = {"move": time.perf_counter() - start}
    after = measure(moved.model, moved.tokenizer, held, progress=progress)
    found = Transplanted(moved=moved, before=before, after=after, trained=None, seconds=seconds)
    if out is not None:
        if train_steps:
            training = {"steps": train_steps, "rate": rate, "seed": seed, "progress": progress}
            found = _trained(found, texts, held, Path(out) / "training", training)
        moved.save(out, **found.figures())
        shutil.rmtree(Path(out) / "training", ignore_errors=True)
    return found


def _loaded(model: str, train_steps: int) -> tuple[zoo.Loaded, Any]:
    """The model with its head, and what measures its bits."""
    if not fills_in(model):
        return zoo.load(model, kind="causal-lm"), partial(bits_per_byte, chunk=_PART)
    if train_steps:
        raise UsageError(
            f"transplant: {model!r} fills in hidden tokens; only rows of models that write are "
            "trained here. Give train_steps=0, and train the folder that is saved."
        )
    return zoo.load(model, kind="masked-lm"), masked_bits_per_byte


def _given(text: Any, dictionary: Any, source_words: Any, target_words: Any) -> dict[str, Any]:
    """What the move learns from beside the new texts, read."""
    return {
        "source_texts": () if text is None else _texts(text),
        "dictionary": () if dictionary is None else load_dictionary(dictionary),
        "source_words": None if source_words is None else read_words(source_words),
        "target_words": None if target_words is None else read_words(target_words),
    }


def _trained(
    found: Transplanted,
    texts: Sequence[str],
    held: Sequence[str],
    folder: Path,
    training: Mapping[str, Any],
) -> Transplanted:
    """The same after training the rows."""
    model, tokenizer = found.moved.model, found.moved.tokenizer
    start = time.perf_counter()
    losses = train_embeddings(model, tokenizer, texts, folder=folder, **training)
    seconds = {**found.seconds, "training": time.perf_counter() - start}
    bits = bits_per_byte(model, tokenizer, held, chunk=_PART, progress=training["progress"])
    return replace(found, trained=bits, seconds=seconds, losses=tuple(losses))


def _texts(source: Any) -> list[str]:
    """All texts, the long ones in parts."""
    return [part for one in load_text(source).examples for part in parts(one.text, _TEXT)]


def _split(texts: Sequence[str], held_out: int, seed: int) -> tuple[list[str], list[str]]:
    """The beginnings of some texts to measure on, and the texts that are left."""
    order = list(texts)
    Random(seed).shuffle(order)  # noqa: S311
    count = min(-(-held_out // _PART), len(order) // 5)
    if not count:
        raise UsageError(
            f"transplant: {len(texts)} texts are too few to hold one in five out; give at least 5 "
            f"(a text counts once for each {_TEXT:,} bytes)."
        )
    return [next(parts(one, _PART)) for one in order[:count]], order[count:]
