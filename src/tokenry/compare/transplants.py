"""A move to another tokenizer, measured: bits per byte before and after, tokens, seconds."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tokenry import catalog, zoo
from tokenry.compare.move_figures import cost, held, rival, rows, saved
from tokenry.compare.moves import Held, MovedBy, Moves, said
from tokenry.compare.records import Interval
from tokenry.data.dictionaries import load_dictionary
from tokenry.data.text_loader import load_text
from tokenry.errors import UsageError
from tokenry.method import VocabMap
from tokenry.plugs.bits import Bits, bits_per_byte, parts
from tokenry.plugs.masked_bits import masked_bits_per_byte
from tokenry.plugs.moving import Moved, transplant
from tokenry.plugs.retraining import train_embeddings
from tokenry.plugs.wordvectors import read_words
from tokenry.progress import showing
from tokenry.zoo.loading import fills_in

_TRAINING = "training"
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
        return said({"": self.to_dict()})


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """What a move learns from and how it is measured.

    Attributes:
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
        seed: Of all that is drawn.
        on_error: "raise" names texts that cannot be read; "skip" leaves them out with a warning.
    """

    text: Any
    source_text: Any = None
    dictionary: str | Path | None = None
    source_words: str | Path | None = None
    target_words: str | Path | None = None
    special: dict[str, str] | None = None
    held_out: int = 20_000
    train_steps: int = 0
    rate: float = 1e-3
    seed: int = 0
    on_error: str = "raise"


def transplant_on(
    model: str,
    new_tokenizer: str,
    method: str | VocabMap,
    grounds: Grounds,
    *,
    out: str | Path | None = None,
    progress: bool | None = None,
) -> Transplanted:
    """Move a model to another tokenizer, and measure on text that nothing was learned from.

    Args:
        model: `zoo:NAME`, a folder, or a name on the Hub.
        new_tokenizer: A folder, or a name on the Hub.
        method: As for `transplant`.
        grounds: What it learns from and how it is measured.
        out: Folder to save the moved model in; needed for training.
        progress: Show bars; None shows them on a terminal.

    Returns:
        The moved model with its figures; they are in the summary that is saved, too.

    Raises:
        UsageError: If an argument is out of range, or there are too few texts.
    """
    with showing(progress):
        ready = _prepared(model, out, grounds)
        found = _transplanted(ready, new_tokenizer, method, None if out is None else Path(out))
    if out is not None:
        _tidy(Path(out))
    return found


def transplants_on(
    model: str,
    new_tokenizer: str,
    methods: Sequence[str | VocabMap],
    grounds: Grounds,
    *,
    out: str | Path | None = None,
    progress: bool | None = None,
) -> Moves:
    """Move a model by several methods, one after the other, and measure all on the same texts.

    Args:
        model: `zoo:NAME`, a folder, or a name on the Hub.
        new_tokenizer: A folder, or a name on the Hub.
        methods: One or several, as for `transplant`.
        grounds: What they learn from and how they are measured.
        out: Folder to save the moved model in; of several methods, each in a folder there of the
            method's name.
        progress: Show bars; None shows them on a terminal.

    Returns:
        What `tokenry.report` writes a page of. The models themselves are not kept.

    Raises:
        UsageError: If an argument is out of range, there is no method or too few texts.
    """
    made = _made(methods)
    with showing(progress):
        return _all_moved(model, new_tokenizer, made, grounds, out)


def _all_moved(
    model: str,
    new_tokenizer: str,
    made: Mapping[str, tuple[str, VocabMap]],
    grounds: Grounds,
    out: str | Path | None,
) -> Moves:
    """The model moved by each of several methods."""
    ready = _prepared(model, out, grounds)
    found: list[MovedBy] = []
    shown: tuple[Held, ...] = ()
    saving, first = Interval(0.0, 0.0, 0.0), ready.before
    for place, (name, one) in made.items():
        folder = None if out is None else Path(out) / (place if len(made) > 1 else "")
        done = _transplanted(ready, new_tokenizer, one, folder)
        if not found:
            first = done.trained or done.after
            shown = held(ready.held, done.moved, ready.before, done.after)
            saving = saved(ready.before, done.after, ready.grounds.seed)
        found.append(_moved_by(name, done, first if found else None, ready, folder))
    for move in found:  # the first may have been trained before a later one is killed
        if move.folder:
            _tidy(Path(move.folder))
    before = cost(ready.before, None, ready.grounds.seed)
    return Moves(_called(model), fills_in(model), before, saving, shown, tuple(found))


def _made(methods: Sequence[str | VocabMap]) -> dict[str, tuple[str, VocabMap]]:
    """By the names of their folders: what a person calls the methods, and the methods."""
    found: dict[str, tuple[str, VocabMap]] = {}
    for method in methods:
        one = catalog.configured(method, VocabMap, "transplant")
        slug = one.card.slug
        same = sum(other.card.slug == slug for _, other in found.values())
        name = method if isinstance(method, str) else one.describe()
        found[f"{slug}-{same + 1}" if same else slug] = name, one
    if not found:
        raise UsageError("transplant: there is no method; give at least one, such as 'fvt'.")
    return found


def _called(model: str) -> str:
    """What a person calls it; of a folder the last part."""
    return Path(model).name if Path(model).is_dir() else model


def _moved_by(
    name: str, done: Transplanted, first: Bits | None, ready: _Ready, folder: Path | None
) -> MovedBy:
    """What one method did, without its model."""
    seed = ready.grounds.seed
    against = (None, None) if first is None else rival(done.trained or done.after, first, seed)
    return MovedBy(
        name=name,
        card=asdict(done.moved.method.card),
        figures=done.to_dict(),
        moved=cost(done.after, ready.before, seed),
        trained=None if done.trained is None else cost(done.trained, ready.before, seed),
        rival=against[0],
        verdict=against[1],
        rows=rows(done.moved, ready.held),
        folder="" if folder is None else str(folder),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Ready:
    """What all methods of a call share."""

    loaded: zoo.Loaded
    measure: Any
    before: Bits
    held: Sequence[str]
    texts: Sequence[str]
    given: Mapping[str, Any]
    grounds: Grounds


def _prepared(model: str, out: Any, grounds: Grounds) -> _Ready:
    """Everything read and measured that is the same for all methods."""
    steps, held_out = grounds.train_steps, grounds.held_out
    if steps < 0 or held_out < 1 or (steps and out is None):
        raise UsageError(
            f"transplant: train_steps={steps}, held_out={held_out}, out={out}; steps are at "
            "least 0, bytes at least 1, and training needs a folder."
        )
    kept, texts = _split(_texts(grounds.text, grounds), held_out, grounds.seed)
    given = {**_given(grounds), "texts": texts, "special": grounds.special, "seed": grounds.seed}
    loaded, measure = _loaded(model, steps)
    before = measure(loaded.model, loaded.processor, kept)
    shared: Any = {"loaded": loaded, "measure": measure, "before": before}
    return _Ready(held=kept, texts=texts, given=given, grounds=grounds, **shared)


def _transplanted(
    ready: _Ready, new_tokenizer: str, method: str | VocabMap, out: Path | None
) -> Transplanted:
    """One move, measured, trained and saved."""
    old, measure = ready.loaded, ready.measure
    start = time.perf_counter()
    moved = transplant(old.model, old.processor, new_tokenizer, method, **ready.given)
    seconds = {"move": time.perf_counter() - start}
    after = measure(moved.model, moved.tokenizer, ready.held)
    stages: Any = {"before": ready.before, "after": after, "trained": None}
    found = Transplanted(moved=moved, seconds=seconds, **stages)
    if out is not None:
        if ready.grounds.train_steps:
            found = _trained(found, ready, out / _TRAINING)
        moved.save(out, **found.figures())
    return found


def _tidy(folder: Path) -> None:
    """Take checkpoints away, once nothing can be killed any more."""
    shutil.rmtree(folder / _TRAINING, ignore_errors=True)


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


def _given(grounds: Grounds) -> dict[str, Any]:
    """What the move learns from beside the new texts, read."""
    text, pairs = grounds.source_text, grounds.dictionary
    old, new = (
        None if words is None else read_words(words)
        for words in (grounds.source_words, grounds.target_words)
    )
    return {
        "source_texts": () if text is None else _texts(text, grounds),
        "dictionary": () if pairs is None else load_dictionary(pairs),
        "source_words": old,
        "target_words": new,
    }


def _trained(found: Transplanted, ready: _Ready, folder: Path) -> Transplanted:
    """The same after training the rows."""
    model, tokenizer, grounds = found.moved.model, found.moved.tokenizer, ready.grounds
    training: Any = {"steps": grounds.train_steps, "rate": grounds.rate, "seed": grounds.seed}
    done = train_embeddings(model, tokenizer, ready.texts, folder=folder, **training)
    seconds = {**found.seconds, "training": done.seconds}
    bits = ready.measure(model, tokenizer, ready.held)
    return replace(found, trained=bits, seconds=seconds, losses=done.losses)


def _texts(source: Any, grounds: Grounds) -> list[str]:
    """All texts, the long ones in parts."""
    found = load_text(source, on_error=grounds.on_error).examples
    return [part for one in found for part in parts(one.text, _TEXT)]


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
