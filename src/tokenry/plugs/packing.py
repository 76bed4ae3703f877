"""Batches of packed documents for transformers' Trainer, or for a loop of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast, get_args

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from tokenry import catalog
from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.method import PackedAttention
from tokenry.ops.attention import additive
from tokenry.ops.packing import ANCHOR, PADDING

Form = Literal["sdpa", "eager", "flex", "varlen"]
"""How the mask travels: bool, additive float, `BlockMask`, or lengths and no mask."""

IGNORED = -100
_FORMS: dict[str, Form] = {"sdpa": "sdpa", "eager": "eager", "flex_attention": "flex"}


def form_of(model: nn.Module, length: int, owner: str = "packing") -> Form:
    """The form of mask that this model's attention implementation can carry.

    Args:
        model: A decoder of transformers.
        length: Tokens that are read at once.
        owner: Who asks, for messages.

    Raises:
        UnsupportedModelError: If it can carry none, or layers would lose their sliding window.
    """
    name = type(model).__name__
    config = cast(Any, model).config.get_text_config()
    implementation = str(config._attn_implementation)
    form = "varlen" if implementation.startswith("flash_attention") else _FORMS.get(implementation)
    if form is None:
        raise UnsupportedModelError(
            f"{owner}: {name} runs {implementation!r}, which carries no mask that is known here; "
            f"load it with attn_implementation= one of {', '.join(_FORMS)} or flash_attention_2."
        )
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    window = None if hasattr(config, "layer_types") else getattr(config, "sliding_window", None)
    if set(kinds) != {"full_attention"} or (window is not None and window < length):
        raise UnsupportedModelError(
            f"{owner}: {name} has layers that are not full attention over {length} tokens; one "
            "mask for all layers would undo their window. Use a model without sliding layers."
        )
    return form


class PackingCollator:
    """Packs whole documents into rows of exactly `length` tokens, with labels and the mask.

    A row begins with the anchor; documents follow without a beginning-of-text token of their
    own, in the order given, each in the first row that has room for it. What is left of a row is
    padding. The last token of a full row is only a target: a row holds `length + 1` tokens.

    Called with a list of documents (`{"input_ids": [...]}`, or the ids alone), it returns
    `input_ids`, `position_ids`, `shift_labels` (the target of each token), `labels` (the same,
    one place later, as transformers counts them) and the mask. Nothing is a target whose
    document's preceding token does not stand right before it: a document is never predicted from
    another one.

    Args:
        length: Tokens per row.
        anchor: Id of the token in front: beginning of text, or end of text for a model without.
        method: Who sees whom: "anchor-attention", with settings in parentheses, or an instance.
        form: "sdpa": bool `attention_mask` `(b, 1, n, n)`; "eager": the same, additive;
            "flex": a `BlockMask`; "varlen": no mask but `cu_seq_lens_q`, `cu_seq_lens_k`,
            `max_length_q`, `max_length_k`, all rows as one, and a copy of the anchor, at position
            0, before each document.
        dtype: Type of the additive mask; only for "eager".
        device: Where the `BlockMask` lives, because its rule cannot be moved later; only for
            "flex".

    Raises:
        UsageError: If an argument is out of range.
        UnknownNameError: If no method has this name.
    """

    def __init__(
        self,
        *,
        length: int,
        anchor: int,
        method: str | PackedAttention = "anchor-attention",
        form: Form = "sdpa",
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> None:
        made = catalog.configured(method, PackedAttention, "PackingCollator")
        if length < 2:
            raise UsageError(
                f"PackingCollator: length={length} is below 2; a row holds the anchor and text."
            )
        if form not in get_args(Form):
            raise UsageError(
                f"PackingCollator: form={form!r} is unknown; allowed: {', '.join(get_args(Form))}."
            )
        self.length, self.anchor, self.method = length, anchor, made
        self.form, self.dtype, self.device = form, dtype, device

    @classmethod
    def for_model(cls, model: nn.Module, *, length: int, **settings: Any) -> PackingCollator:
        """A collator whose mask this model's attention carries.

        Args:
            model: A causal language model of transformers.
            length: Tokens per row.
            **settings: As for the class; `anchor`, `form`, `dtype` and `device` default to the
                model's.

        Raises:
            UnsupportedModelError: If the model's attention cannot carry the mask.
            UsageError: If an argument is out of range, or the model names no anchor.
        """
        own = form_of(model, length)
        form = settings.setdefault("form", own)
        if form != own:
            implementation = cast(Any, model).config.get_text_config()._attn_implementation
            raise UnsupportedModelError(
                f"PackingCollator: {type(model).__name__} runs {implementation!r}, which cannot "
                f"carry form={form!r}; use form={own!r}, or load the model with another "
                "attn_implementation."
            )
        config = cast(Any, model).config.get_text_config()
        ids = [i for i in (config.bos_token_id, config.eos_token_id) if isinstance(i, int)]
        if ids:
            settings.setdefault("anchor", ids[0])
        if "anchor" not in settings:
            raise UsageError(
                f"PackingCollator: the configuration of {type(model).__name__} names no single "
                "token for the beginning or the end of a text; give anchor=."
            )
        weight = next(model.parameters())
        settings.setdefault("dtype", weight.dtype)
        settings.setdefault("device", weight.device)
        return cls(length=length, **settings)

    def __call__(self, features: Sequence[Any]) -> dict[str, Any]:
        """One batch.

        Raises:
            UsageError: If a document is empty, longer than a row, or holds the anchor inside, or
                there is none.
        """
        if not features:
            raise UsageError("PackingCollator: got no documents; a batch needs at least one.")
        documents = [self._document(i, feature) for i, feature in enumerate(features)]
        rows = [self._row([documents[i] for i in row]) for row in self._fill(documents)]
        ids, owners = (torch.stack(part) for part in zip(*rows, strict=True))
        own = (owners[:, 1:] == owners[:, :-1]) & (owners[:, 1:] != PADDING)
        own[:, 0] = True
        targets = ids[:, 1:].masked_fill(~own, IGNORED)
        batch: dict[str, Any] = {
            "input_ids": ids[:, :-1],
            "position_ids": self.method.places(owners[:, :-1]),
            "shift_labels": targets,
            "labels": nn.functional.pad(targets[:, :-1], (1, 0), value=IGNORED),
        }
        owners = owners[:, :-1]
        if self.form == "varlen":
            return self._lengths(batch, owners)
        return {**batch, "attention_mask": self._mask(owners)}

    def _document(self, number: int, feature: Any) -> Tensor:
        """The ids of a document without the anchor in front."""
        given = feature["input_ids"] if isinstance(feature, Mapping) else feature
        ids = torch.as_tensor(given, dtype=torch.long)
        if ids.ndim == 1 and len(ids) and ids[0] == self.anchor:
            ids = ids[1:]
        if ids.ndim != 1 or not len(ids):
            raise UsageError(
                f"PackingCollator: document {number} has shape {tuple(ids.shape)} without its "
                "anchor; give one row of at least one token."
            )
        if len(ids) > self.length:
            raise UsageError(
                f"PackingCollator: document {number} has {len(ids)} tokens, a row of length="
                f"{self.length} holds {self.length} behind its anchor; split the document first, "
                "or raise length."
            )
        inside = torch.nonzero(ids[:-1] == self.anchor).flatten().tolist()
        if inside:
            raise UsageError(
                f"PackingCollator: document {number} holds the anchor, token {self.anchor}, "
                f"inside, at {inside[:3]}; give each text as a document of its own, or choose "
                "another anchor."
            )
        return ids

    def _fill(self, documents: Sequence[Tensor]) -> list[list[int]]:
        """Which documents stand in which row: each in the first one with room."""
        rows: list[list[int]] = []
        room: list[int] = []
        for number, ids in enumerate(documents):
            row = next((i for i, left in enumerate(room) if left >= len(ids)), len(rows))
            if row == len(rows):
                rows.append([])
                room.append(self.length)
            rows[row].append(number)
            room[row] -= len(ids)
        return rows

    def _row(self, documents: Sequence[Tensor]) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        """Token ids and document ids of one row, a target longer than the inputs."""
        ids = torch.full((self.length + 1,), self.anchor)
        owners = torch.full((self.length + 1,), PADDING)
        owners[0], end = ANCHOR, 1
        for piece in self.method.order([len(ids) for ids in documents]):
            begin, end = end, end + piece.stop - piece.start
            ids[begin:end] = documents[piece.document][piece.start : piece.stop]
            owners[begin:end] = piece.document + 1
        return ids, owners

    def _mask(self, owners: Int[Tensor, "b n"]) -> Tensor | BlockMask:
        if self.form == "flex":
            owners = owners.to(self.device)
            size = owners.shape[1]
            return create_block_mask(
                lambda b, _, q, k: (k <= q) & self.method.visible(owners[b, q], owners[b, k]),
                *(len(owners), None, size, size),
                device=self.device,
            )
        allow = self.method.allow(owners).unsqueeze(1)
        return allow if self.form == "sdpa" else additive(allow, self.dtype)

    def _lengths(self, batch: dict[str, Tensor], owners: Int[Tensor, "b n"]) -> dict[str, Any]:
        """All rows as one, for kernels that take lengths."""
        found = self.method.segments(owners)
        flat = {name: rows.flatten()[found.index] for name, rows in batch.items()}
        for name in ("labels", "shift_labels"):
            flat[name] = flat[name].masked_fill(~found.first, IGNORED)
        longest = int(found.bounds.diff().max())
        return {
            **{name: row.unsqueeze(0) for name, row in flat.items()},
            "cu_seq_lens_q": found.bounds,
            "cu_seq_lens_k": found.bounds,
            "max_length_q": longest,
            "max_length_k": longest,
        }
