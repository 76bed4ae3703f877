"""How far rotary positions of a model are from relative, in the type that it runs in."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.ops.rounding import Stage, shift_error

_BUFFERS = ("inv_freq", "full_attention_inv_freq")

STAGES: tuple[tuple[Stage, ...], ...] = (
    (),
    ("rows",),
    ("table",),
    ("table", "rows"),
    ("angles", "table", "rows"),
)
"""What the diagnostic rounds, one after the other; ("table", "rows") is what models do."""


@dataclass(frozen=True, slots=True)
class ShiftError:
    """What a shift of all positions changed, where nothing should change.

    Attributes:
        dtype: The short type.
        rounded: The stages that ran in it; "model" for a whole model.
        shift: By how many positions everything moved.
        length: How many tokens.
        by_key: Mean change of the entries that look at each key.
        mean: Mean change of all entries.
        first_share: Share of the first key in the sum of all changes.
    """

    dtype: str
    rounded: str
    shift: int
    length: int
    by_key: tuple[float, ...]
    mean: float
    first_share: float


@dataclass(frozen=True, slots=True)
class ShiftTable:
    """Shift errors, printed as a table."""

    rows: tuple[ShiftError, ...]

    def __str__(self) -> str:
        """One line per type, rounded stages and length; one column per shift."""
        shifts = sorted({row.shift for row in self.rows})
        lines = [f"{'dtype':9} {'rounded':18} {'length':>6} " + _cells(map(str, shifts)) + " first"]
        groups: dict[tuple[str, str, int], dict[int, ShiftError]] = {}
        for row in self.rows:
            groups.setdefault((row.dtype, row.rounded, row.length), {})[row.shift] = row
        for (dtype, rounded, length), found in groups.items():
            cells = _cells(f"{found[shift].mean:.1e}" for shift in shifts)
            first = sum(row.first_share for row in found.values()) / len(found)
            lines.append(f"{dtype:9} {rounded:18} {length:6} {cells} {first:5.1%}")
        return "\n".join(lines)


def rotary_shift_error(
    source: nn.Module | Float[Tensor, " f"],
    *,
    shifts: Sequence[int] = (16, 256, 4096, 65536),
    lengths: Sequence[int] = (64,),
    dtype: torch.dtype = torch.bfloat16,
    first_norm: float = 1.0,
    samples: int = 8,
    seed: int = 0,
) -> ShiftTable:
    """Change of attention logits when all positions move together, by where rounding happens.

    Queries and keys are standard normal; rotary positions being relative, every entry would be 0
    in exact arithmetic.

    Args:
        source: A model with rotary positions, or their frequencies.
        shifts: By how many positions everything moves.
        lengths: How many tokens.
        dtype: The short type that is measured.
        first_norm: Factor on the first key, which in a trained model is often an attention sink.
        samples: How many draws are averaged.
        seed: Seed of the draws.

    Raises:
        UnsupportedModelError: If the model has no rotary positions.
        UsageError: If a number is out of range.

    Source: Wang et al. 2024, section 3.
    """
    inv_freq = source if isinstance(source, Tensor) else frequencies(source)
    if min(*lengths, *shifts, samples, 1) < 1:
        raise UsageError(
            f"rotary_shift_error: lengths={tuple(lengths)}, shifts={tuple(shifts)} and "
            f"samples={samples} must all be at least 1."
        )
    rows = []
    for length in lengths:
        chance = torch.Generator().manual_seed(seed)
        shape = (2, samples, length, 2 * len(inv_freq))
        queries, keys = torch.randn(shape, generator=chance).to(inv_freq.device)
        keys[:, 0] *= first_norm
        for rounded in STAGES:
            for shift in shifts:
                error = shift_error(queries, keys, inv_freq, shift, dtype, rounded)
                rows.append(_row(error, dtype, "+".join(rounded) or "nothing", shift))
    return ShiftTable(tuple(rows))


@torch.no_grad()
def attention_shift_error(
    model: nn.Module,
    input_ids: Int[Tensor, "b n"],
    *,
    shifts: Sequence[int] = (16, 256, 4096),
    dtypes: Sequence[torch.dtype] = (torch.float32, torch.bfloat16),
) -> ShiftTable:
    """Change of a whole model's attention weights when all position ids move together.

    A copy of the model runs in each type, with eager attention; the model stays as it is.

    Args:
        model: A causal language model of transformers with rotary positions.
        input_ids: A text.
        shifts: By how many positions everything moves.
        dtypes: Types in which the model runs.

    Returns:
        Mean over layers, heads and queries.

    Raises:
        UnsupportedModelError: If the model has no rotary positions.

    Source: Wang et al. 2024, section 3.
    """
    frequencies(model)
    places = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
    rows = []
    for dtype in dtypes:
        twin = _in_type(model, dtype)
        base = _attentions(twin, input_ids, places)
        for shift in shifts:
            moved = _attentions(twin, input_ids, places + shift)
            later = torch.ones_like(base[0][0, 0], dtype=torch.bool).triu(1)
            pairs = zip(base, moved, strict=True)
            errors = [(a.float() - b.float()).abs().mean((0, 1)) for a, b in pairs]
            mean = torch.stack(errors).mean(0).masked_fill(later, torch.nan)
            rows.append(_row(mean, dtype, "model", shift))
    return ShiftTable(tuple(rows))


def frequencies(model: nn.Module) -> Float[Tensor, " f"]:
    """The rotary frequencies of a model's full-attention layers.

    Raises:
        UnsupportedModelError: If it has none.
    """
    for name, buffer in model.named_buffers():
        if name.rpartition(".")[2] in _BUFFERS:
            return buffer
    raise UnsupportedModelError(
        f"rotary_shift_error: {type(model).__name__} has no rotary positions (no buffer called "
        f"{' or '.join(_BUFFERS)}), so there is nothing that a shift could break."
    )


def _in_type(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy in `dtype` with eager attention; frequencies stay float32, as loading keeps them."""
    twin = copy.deepcopy(model)
    kept = {n: b for n, b in twin.named_buffers() if n.rpartition(".")[2] in _BUFFERS}
    twin = twin.to(dtype).eval()
    for name, buffer in kept.items():
        path, _, leaf = name.rpartition(".")
        setattr(twin.get_submodule(path), leaf, buffer)
    cast(Any, twin).set_attn_implementation("eager")
    return twin


def _attentions(model: nn.Module, input_ids: Tensor, places: Tensor) -> tuple[Tensor, ...]:
    out = model(input_ids, position_ids=places, output_attentions=True, use_cache=False)
    return cast(tuple[Tensor, ...], out.attentions)


def _row(error: Tensor, dtype: torch.dtype, rounded: str, shift: int) -> ShiftError:
    """Means of an error, query by key, NaN where there is none."""
    flat = error.reshape(-1, *error.shape[-2:])
    return ShiftError(
        dtype=str(dtype).removeprefix("torch."),
        rounded=rounded,
        shift=shift,
        length=error.shape[-1],
        by_key=tuple(flat.nanmean((0, 1)).tolist()),
        mean=float(flat.nanmean()),
        first_share=float(flat[..., 0].nansum() / flat.nansum()),
    )


def _cells(texts: Iterable[str]) -> str:
    return " ".join(f"{text:>8}" for text in texts)
