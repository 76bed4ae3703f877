"""A model that fills in masks: the next tokens of a text at once, each without the others."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSeq2SeqLM

from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.ops.attention import additive
from tokenry.plugs.positions import positions


class Filler:
    """Fills in masks behind a text, with a decoder that looks both ways.

    Args:
        owner: Who asks, for messages.
        model: An encoder-decoder model whose config names its `mask_token_id`; or its folder.
        target: The model whose text it is.

    Raises:
        UsageError: If the filler has no mask, another vocabulary, or is not ready where the model
            is.
        UnsupportedModelError: If one of the two is no encoder-decoder.
    """

    def __init__(self, owner: str, model: str | nn.Module, target: Any) -> None:
        loaded: Any = model
        if isinstance(model, str):
            loaded = AutoModelForSeq2SeqLM.from_pretrained(model, use_safetensors=True)
            loaded = loaded.to(target.device)
        for one in (loaded, target):
            if not one.config.is_encoder_decoder:
                raise UnsupportedModelError(
                    f"{owner}: {type(one).__name__} is not an encoder-decoder; a block is filled "
                    "in by one, for another that reads the same source."
                )
        if loaded.config.vocab_size != target.config.vocab_size:
            raise UsageError(
                f"{owner}: the filler writes {loaded.config.vocab_size} different tokens, "
                f"{type(target).__name__} {target.config.vocab_size}; both must have the same "
                "vocabulary."
            )
        mask_of(loaded)
        if loaded.training or loaded.device != target.device:
            raise UsageError(
                f"{owner}: the filler is {'in training' if loaded.training else 'ready'} on "
                f"{loaded.device}, the model on {target.device}; call filler.eval() and "
                f"filler.to({str(target.device)!r}) first, or give its folder."
            )
        self._model = loaded
        self._owner = owner

    def over(self, source: Int[Tensor, " s"] | None) -> Filling:
        """The filler, to read a source.

        Raises:
            UsageError: If there is none.
        """
        if source is None:
            raise UsageError(
                f"{self._owner}: the encoder reads no tokens of the vocabulary that the decoder "
                "writes, which the filler would have to read too; give the model input_ids."
            )
        return Filling(self._model, source)


class Filling:
    """A filler that reads one source, when it is first asked."""

    def __init__(self, model: Any, source: Int[Tensor, " s"]) -> None:
        self._model, self._source = model, source[None].to(model.device)
        self._read: Any = None

    @torch.no_grad()
    def __call__(self, text: Int[Tensor, " n"], count: int) -> Float[Tensor, "k v"]:
        """Scores of the next tokens, each without the others.

        Args:
            text: Tokens of the decoder so far.
            count: How many tokens; fewer where the filler's positions end.
        """
        if self._read is None:
            self._read = self._model.get_encoder()(input_ids=self._source, return_dict=True)
        ids = torch.cat([text, text.new_full((count,), mask_of(self._model))])[None]
        ids = ids[:, : positions(self._model)]
        every = torch.ones(1, ids.shape[1], dtype=torch.bool)
        scores = _scores(self._model, ids, every, encoder_outputs=self._read)
        return scores[0, len(text) :].cpu()


def mask_of(model: Any) -> int:
    """The token that stands for one to be filled in.

    Raises:
        UsageError: If the model's config does not say.
    """
    mask = getattr(model.config, "mask_token_id", None)
    if mask is None:
        raise UsageError(
            f"filling: the config of this {type(model).__name__} has no mask_token_id; set "
            "model.config.mask_token_id to the mask it was trained with."
        )
    return int(mask)


def _scores(
    model: Any, ids: Int[Tensor, "b t"], seen: Bool[Tensor, "b t"], **source: Any
) -> Float[Tensor, "b t v"]:
    """One pass in which each token of the decoder sees every one that is `seen`."""
    mask = additive(seen[:, None, None], model.dtype).expand(-1, 1, ids.shape[1], -1)
    scores: Tensor = model(
        decoder_input_ids=ids.to(model.device),
        decoder_attention_mask=mask.to(model.device),
        use_cache=False,
        **source,
    ).logits
    return scores


def block_loss(
    model: nn.Module,
    ids: Int[Tensor, "b s"],
    real: Bool[Tensor, "b s"],
    labels: Int[Tensor, "b n"],
    block: int = 25,
    glance: float = 0.5,
    smoothing: float = 0.1,
) -> Float[Tensor, ""]:
    """The loss of a filler: a block of each target is masked at a random place.

    The model first guesses; of the masks of a text so many are then given as it got wrong, times
    `glance`, and the loss is that of the others (glancing). What follows the block is not shown.

    Args:
        model: An encoder-decoder model whose config names its `mask_token_id`.
        ids: Sources.
        real: False where a token of a source is padding.
        labels: Targets, with their end; -100 where there is none.
        block: Masks of each text.
        glance: How many of those masks are given that were guessed wrong, as a share.
        smoothing: Of the labels.

    Source: Xia et al. 2022, section 3.1; Qian et al. 2021 (glancing).
    """
    config: Any = model.config
    b, n = labels.shape
    length = (labels >= 0).sum(1)
    start = (torch.rand(b, device=labels.device) * length).long()[:, None]
    place = torch.arange(1 + int(start.max()) + block, device=labels.device)
    masked = (place > start) & (place <= start + block)
    behind = labels.new_full((b, max(0, len(place) - 1 - n)), -100)
    first = labels.new_full((b, 1), config.decoder_start_token_id)
    text = torch.cat([first, labels, behind], 1)[:, : len(place)]
    wanted = text.masked_fill(~masked, -100)
    given = torch.where(masked | (text < 0), mask_of(model), text)
    seen, source = place <= start + block, {"input_ids": ids, "attention_mask": real.long()}
    with torch.no_grad():
        guessed = _scores(model, given, seen, **source).argmax(-1)
    wrong = (guessed != wanted) & (wanted >= 0)
    share = glance * wrong.sum(1, keepdim=True) / (wanted >= 0).sum(1, keepdim=True).clamp(min=1)
    told = (torch.rand(wanted.shape, device=share.device) < share) & (wanted >= 0)
    given, wanted = torch.where(told, wanted, given), wanted.masked_fill(told, -100)
    scores = _scores(model, given, seen, **source)
    total = cross_entropy(
        scores.flatten(0, 1), wanted.flatten(), label_smoothing=smoothing, reduction="sum"
    )
    return total / (wanted >= 0).sum().clamp(min=1)
