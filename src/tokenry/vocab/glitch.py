"""Glitch tokens: those that no text is written with, or that a model has hardly learned."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, final

import numpy as np
import torch

from tokenry.card import Card
from tokenry.errors import UsageError
from tokenry.method import Embeddings, Figure, Findings, In, Judge, Usage, Vocab

_SHOWN = 60
_FEW = 3  # rows that cannot have been trained, and are too few to judge others by
_NEVER = re.compile(rb"[\xc0\xc1\xf5-\xff]")  # bytes that no text in UTF-8 holds


@final
@dataclass(frozen=True, kw_only=True)
class Glitch(Judge):
    r"""Finds tokens whose own text is written otherwise, and tokens that no text was written with.

    A token $t$ cannot be reached if $encode(decode(t)) \neq [t]$. With the embeddings of a model,
    tokens are suspects whose row lies as near to the mean of rows that cannot have been trained
    as half of those do (Land and Bartolo 2024, section 3).

    Args:
        most: Tokens in a table.

    Raises:
        UsageError: If a setting is out of range.
    """

    card: ClassVar[Card] = Card(
        slug="glitch",
        name="Glitch tokens",
        title="Tokens that cannot be reached, are never written, or were hardly trained",
        summary="Finds tokens that no text is written with, and those a model hardly knows.",
        family="vocab",
        have="a tokenizer, and perhaps its model",
        want="to find tokens that waste a row or make a model stumble",
        dial="keep does not apply: a judge changes nothing",
        differs=(
            "Tokens that are not valid UTF-8 by themselves cannot be written alone; they are "
            "counted, not tried.",
            "What all rows share is taken off as their mean, not as their first principal "
            "component.",
        ),
    )
    reads_rows = True

    most: Annotated[int, In(1, 100_000), "the tokens in a table"] = _SHOWN

    def judge(self, vocab: Vocab, usage: Sequence[Usage] = ()) -> Findings:
        """Tokens that cannot be reached; with texts, also those that were never written."""
        tried, lost = unreachable(vocab)
        ordinary = [token for token, spelled in enumerate(vocab.spelled) if spelled is not None]
        figures = {
            "unreachable": Figure(
                value=100 * len(lost) / max(1, len(tried)), unit="% of tokens tried", better="low"
            ),
            "not text alone": Figure(
                value=len(ordinary) - len(tried) - len(vocab.added & set(ordinary)), unit="tokens"
            ),
        }
        if usage:
            counts = np.sum([one.counts for one in usage], axis=0)
            never = sum(not counts[token] for token in ordinary)
            figures["never written"] = Figure(
                value=100 * never / max(1, len(ordinary)), unit="% of tokens"
            )
        rows = [_shown(vocab, token) for token in lost[: self.most]]
        return Findings(figures=figures, tables={"unreachable": rows})

    def judge_rows(self, vocab: Vocab, embeddings: Embeddings) -> Findings:
        """Tokens that a model has hardly learned, most suspicious first.

        Rows of ids that nothing has, of tokens that cannot be reached and of bytes that no text
        holds cannot have been trained. Where there are fewer than three, nothing is told: short
        rows may be those of the most frequent tokens.

        Args:
            vocab: The vocabulary.
            embeddings: The model's rows; those that scores are taken with are looked at if there
                are any.

        Raises:
            UsageError: If the model has fewer rows than there are tokens.
        """
        rows = (embeddings.input if embeddings.output is None else embeddings.output).float()
        if len(rows) < len(vocab):
            raise UsageError(
                f"Glitch: {vocab.name!r} has {len(vocab)} tokens, the model {len(rows)} rows; give "
                "the tokenizer that belongs to it."
            )
        known = _untrained(vocab, len(rows))
        figures = {"known": Figure(value=len(known), unit="rows that cannot have been trained")}
        if len(known) < _FEW:
            note = (
                f"{vocab.name}: {len(known)} rows are known not to be trained, too few to judge by."
            )
            return Findings(figures=figures, notes=(note,))
        rows = rows - rows.mean(0)
        mean = rows[torch.tensor(known)].mean(0)
        score = 1 - torch.cosine_similarity(rows, mean[None], dim=1)
        near = (score <= score[torch.tensor(known)].median()).nonzero()[:, 0].tolist()
        apart = {t for t, spelled in enumerate(vocab.spelled) if spelled}.difference(known)
        order = sorted(apart.intersection(near), key=lambda token: float(score[token]))
        table = [
            _shown(vocab, token) | {"distance": float(score[token])} for token in order[: self.most]
        ]
        share = 100 * len(order) / max(1, len(apart))
        figures["hardly trained"] = Figure(value=share, unit="% of the other tokens", better="low")
        return Findings(figures=figures, tables={"suspects": table})


def _untrained(vocab: Vocab, rows: int) -> list[int]:
    """Rows that no text can have trained."""
    nothing = [token for token, piece in enumerate(vocab.pieces) if not piece]
    never = [t for t, spelled in enumerate(vocab.spelled) if _NEVER.search(spelled or b"")]
    return sorted({*nothing, *never, *range(len(vocab), rows), *unreachable(vocab)[1]})


def unreachable(vocab: Vocab) -> tuple[list[int], list[int]]:
    """Tokens whose text was written again, and those of them that did not come back.

    A blank in front may be the tokenizer's own doing, so the text is tried with and without it.
    """
    texts: dict[int, str] = {}
    for token, spelled in enumerate(vocab.spelled):
        if spelled and token not in vocab.added:
            try:
                texts[token] = spelled.decode()
            except UnicodeDecodeError:
                continue
    tried = list(texts)
    lost = [t for t, ids in _written(vocab, tried, list(texts.values())) if ids != [t]]
    bare = [texts[token].removeprefix(" ") for token in lost]
    lost = [t for t, ids in _written(vocab, lost, bare) if ids != [t]]
    if _puts_blank(vocab):  # then what stands inside words never stands alone
        lost = [
            token
            for token in lost
            if texts[token][:1] == " " or vocab.scribe.write(texts[token].encode()) != [token]
        ]
    return tried, lost


def _puts_blank(vocab: Vocab) -> bool:
    """Whether the tokenizer puts a blank in front of a text."""
    first = vocab.scribe.encode(["a"])[0][:1]
    return any((vocab.spelled[token] or b"")[:1] == b" " for token in first)


def _written(vocab: Vocab, tokens: Sequence[int], texts: Sequence[str]) -> Any:
    return zip(tokens, vocab.scribe.encode(texts), strict=True)


def _shown(vocab: Vocab, token: int) -> dict[str, Any]:
    text = (vocab.spelled[token] or b"").decode(errors="backslashreplace")
    return {"id": token, "token": text}
