"""What moves of a model to another tokenizer come to, as plain data: nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenry.compare.columns import aligned
from tokenry.compare.records import Interval, Verdict


@dataclass(frozen=True, slots=True)
class Cost:
    """What the held-out texts cost a model at one time.

    Attributes:
        bits: Bits of each text.
        per_byte: Bits per byte of all.
        difference: That less what it was before the move; None before it.
        verdict: What the difference comes to.
        unknown: Tokens that hide text which is not paid for.
    """

    bits: tuple[float, ...]
    per_byte: Interval
    difference: Interval | None = None
    verdict: Verdict | None = None
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a moved model that came about in the same way.

    Attributes:
        origin: How: copied, mixed, predicted or drawn.
        rows: How many of the new vocabulary.
        used: How many tokens of the held-out texts have one of them.
        examples: Those that the texts use most, with the old tokens that made them, the most
            important first.
    """

    origin: str
    rows: int
    used: int
    examples: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class MovedBy:
    """What one method did.

    Attributes:
        name: Its name, with settings.
        card: What is known of it.
        figures: The move and its figures, as `Transplanted.to_dict` gives them.
        moved: The texts' cost before any training.
        trained: The same after training the rows; None when there was none.
        rival: Bits per byte at the end less those of the first method; None for that one.
        verdict: What that comes to.
        rows: Where its rows come from.
        folder: Where the model was saved; empty when it was not.
    """

    name: str
    card: Mapping[str, Any]
    figures: Mapping[str, Any]
    moved: Cost
    trained: Cost | None
    rival: Interval | None
    verdict: Verdict | None
    rows: tuple[Rows, ...]
    folder: str = ""

    @property
    def end(self) -> Cost:
        """The cost of the model that was saved."""
        return self.trained or self.moved


@dataclass(frozen=True, slots=True)
class Held:
    """A text that nothing was learned from.

    Attributes:
        size: Its bytes.
        before: Its tokens before the move.
        after: Those of the new tokenizer.
        old: The tokens of its beginning as text, before the move.
        new: The same after it.
    """

    size: int
    before: int
    after: int
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Moves:
    """A model moved to another tokenizer, by one method or by several.

    Attributes:
        model: What the model is called.
        masked: Whether it fills in hidden tokens; its bits then compare no tokenizers.
        before: The texts' cost before the move.
        saved: Share of the tokens that the new tokenizer saves.
        texts: The held-out texts.
        moves: Each method with what it did.
    """

    model: str
    masked: bool
    before: Cost
    saved: Interval
    texts: tuple[Held, ...]
    moves: tuple[MovedBy, ...]

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data; of several methods a list of them, `moves`."""
        found = [
            {**one.figures, **({"out": one.folder} if one.folder else {})} for one in self.moves
        ]
        return found[0] if len(found) == 1 else {"moves": found}

    def __str__(self) -> str:
        several = len(self.moves) > 1
        lines = said({one.name * several: one.figures for one in self.moves})
        saved = [f"Saved: {one.folder}" for one in self.moves if one.folder]
        return "\n".join([lines, "", *saved] if saved else [lines])


def said(moves: Mapping[str, Mapping[str, Any]]) -> str:
    """Figures of moves for people.

    Args:
        moves: What `Transplanted.to_dict` gives, by the name of the method; a single one may have
            no name.
    """
    found, first = [*moves.values()], next(iter(moves.values()))
    tokens = first["held_out_bytes"] / first["bytes_per_token"]["before"]
    names = [f"{name}: " if name else "" for name in moves]
    lines = _table(found, names)
    lines += ["", f"Tokens saved: {first['tokens_saved']:.1%} of {tokens:,.0f}"]
    for name, one in zip(names, found, strict=True):
        rows = ", ".join(f"{n:,} {kind}" for kind, n in one["rows"].items() if n)
        took = ", ".join(f"{what} {value:.1f} s" for what, value in one["seconds"].items())
        lines += [f"{name}Rows: {rows}", f"{name}Took: {took}"]
    if any(count for one in found for count in one["unknown_tokens"].values()):
        lines.append("Unknown tokens hide text that is not paid for: do not trust the bits.")
    return "\n".join(lines)


def _table(found: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Bits per byte and bytes per token of each stage."""
    stages = [("before", found[0], "before")]
    for name, one in zip(names, found, strict=True):
        stages.append((f"{name}moved", one, "after"))
        if "trained" in one["bits_per_byte"]:
            stages.append((f"{name}after {len(one['losses'])} steps", one, "trained"))
    rows = [("", "bits per byte", "bytes per token")]
    for name, one, stage in stages:
        size = one["bytes_per_token"]["before" if stage == "before" else "after"]
        rows.append((name, f"{one['bits_per_byte'][stage]:.3f}", f"{size:.2f}"))
    return aligned(rows, left=1)
