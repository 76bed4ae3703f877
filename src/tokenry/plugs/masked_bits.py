"""Bits per byte of a model that fills in hidden tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from tokenry.errors import UsageError
from tokenry.plugs.bits import Bits, parts
from tokenry.progress import showing, track

_TURNS = 8  # passes over a part; each hides every eighth token
_CHUNK = 400  # bytes of a part; with no more tokens than that it fits into 512 positions


@torch.no_grad()
def masked_bits_per_byte(
    model: nn.Module,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    progress: bool | None = None,
) -> Bits:
    """Bits of texts as a masked language model fills them in, every eighth token hidden at once.

    A token that is hidden is told from those around it, so that this is no code for the text, and
    a tokenizer that cuts words finer leaves more of each to be seen: compare models with one
    tokenizer by it, and moves to one tokenizer with each other.

    Args:
        model: Takes `input_ids` and `attention_mask` and returns `logits`.
        tokenizer: Its fast tokenizer, with a token that hides others.
        texts: What is filled in, at least one byte in all.
        progress: Show a bar; None shows one on a terminal.

    Raises:
        UsageError: If there is nothing to fill in, or no token that hides others.
    """
    if tokenizer.mask_token_id is None or not any(texts):
        raise UsageError(
            f"masked_bits_per_byte: {sum(map(bool, texts))} texts that are not empty, and the "
            f"mask_token of the tokenizer is {tokenizer.mask_token!r}; give text, and a tokenizer "
            "with a token that hides others."
        )
    bits, counts, unknown = [0.0] * len(texts), [0] * len(texts), 0
    owned = [(i, part) for i, text in enumerate(texts) for part in parts(text, _CHUNK)]
    training = model.training
    model.eval()
    try:
        with showing(progress):
            for i, part in track(owned, unit="part"):
                found = tokenizer(part, return_special_tokens_mask=True, verbose=False)
                ids = torch.tensor(found["input_ids"])
                plain = (torch.tensor(found["special_tokens_mask"]) == 0).nonzero()[:, 0]
                bits[i] += _filled(model, ids, plain, tokenizer.mask_token_id)
                counts[i] += len(plain)
                unknown += int((ids[plain] == tokenizer.unk_token_id).sum())
    finally:
        model.train(training)
    return Bits(tuple(bits), tuple(len(text.encode()) for text in texts), tuple(counts), unknown)


def _filled(model: Any, ids: torch.Tensor, plain: torch.Tensor, mask: int) -> float:
    """Bits of the plain tokens, each hidden once."""
    turn = torch.arange(len(plain)) % _TURNS
    rows = ids.repeat(_TURNS, 1)
    rows[turn, plain] = mask
    rows = rows.to(model.device)
    logits = model(input_ids=rows, attention_mask=torch.ones_like(rows)).logits.cpu()
    scores = logits[turn, plain].float().log_softmax(-1)
    return -float(scores.gather(1, ids[plain, None]).double().sum()) / math.log(2)
