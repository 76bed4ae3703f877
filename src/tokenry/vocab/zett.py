"""ZeTT: a trained network reads how the old tokenizer writes a token, and predicts its rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, final

import torch
from safetensors.torch import load_file
from torch import Tensor

from tokenry.card import Card, Claim
from tokenry.errors import UsageError
from tokenry.method import EmbeddingRows, Embeddings, In, Move, Origin, VocabMap
from tokenry.ops.hypernet import HypernetShape, Hypernetwork, Rows
from tokenry.ops.surface import SurfaceForms

_BATCH = 4096


@final
@dataclass(frozen=True, kw_only=True)
class Zett(VocabMap):
    r"""Predict the rows of a new token from the rows of the old tokens that write it.

    A hypernetwork is trained once for a model (`tokenry.plugs.hypernet.train_hypernetwork`), over
    tokenizers that are drawn at random: a token is written with the old tokenizer, the rows of the
    pieces are projected and read by a small encoder, and what stands at the first piece becomes
    the new input row, output row and bias. It then serves any tokenizer.

    Args:
        hypernetwork: Folder of the hypernetwork: `config.json` and `model.safetensors`, as
            trained here or as the authors publish it.
        language: Which of the languages that the hypernetwork was trained with the new tokens
            belong to; None for one that is told none.

    Raises:
        UsageError: When rows are asked for, if there is no hypernetwork, or one of another model.

    >>> Zett().describe()
    'Zett()'

    Source: Minixhofer et al. 2024, section 3.
    """

    card: ClassVar[Card] = Card(
        slug="zett",
        name="ZeTT",
        title="Zero-Shot Tokenizer Transfer",
        summary="A network trained once for a model predicts the rows of any tokenizer's tokens.",
        family="vocab",
        have="a model that shall read with many other tokenizers, and hours to prepare it",
        want="a new tokenizer at once, without training on its texts",
        dial="none: the tokenizer decides how many tokens there are",
        needs="training",
        year=2024,
        arxiv="2405.07883",
        venue="NeurIPS 2024",
        code="https://github.com/bminixhofer/zett",
        claims=(
            Claim(
                paper="Without training on it, a model reads with a new tokenizer nearly as well "
                "as with its own, and heuristics do not.",
                effect="Fewer bits per byte than means of the old pieces, copies, and random rows.",
                test="tests/vocab/test_zett_claims.py::test_claim_order_before_any_training",
                measured="BPE of 2,048 tokens: 2.91 bits per byte; FVT 3.08, lexical copy 3.07, "
                "mean 3.69, random 4.15. Unigram of 1,500: 2.99, 3.35, 3.26, 4.09, 4.62. With its "
                "own 1,024 tokens the model has 2.62 on these pages and some code. Llama of 0.4M "
                "parameters, hypernetwork of two layers trained for little over 100 steps of 16 "
                "texts, held-out manual pages. FVT and lexical copy trade places between "
                "tokenizers.",
            ),
            Claim(
                paper="Trained to be the identity first, it starts from rows that work.",
                effect="After that phase, a move to the model's own tokenizer costs less than 1%, "
                "and the rows have a mean cosine above 0.99 with the old ones.",
                test="tests/vocab/test_zett_claims.py::test_claim_old_tokens_keep_their_rows",
                measured="0.3 % more bits per byte; mean cosine of the rows 0.992 (320 tied rows, "
                "1,500 steps; the paper has 10,000). With rows that are not tied the output rows "
                "reach 0.996 after 600 steps and the input rows, whose squared error is small "
                "beside theirs, 0.94.",
            ),
            Claim(
                paper="It works on models of billions of parameters, after 200,000 steps.",
                effect="Fewer bits per byte than FVT on a real model.",
                not_shown="after eleven minutes on a busy core, little over 80 steps of the first "
                "phase and 20 of 4 texts of the second, zoo:smollm2-135m on 4,096 new tokens has "
                "3.31 bits per byte: mean of old pieces (FVT) 1.52, lexical copy 1.84, with its "
                "own tokens 0.99 (recipes/zett_smollm2.py). Such a model needs a training of "
                "days; FVT is the better choice without one.",
            ),
            Claim(
                paper="Accuracy on XNLI and on zero-shot tasks within 1 to 3 points.",
                effect="Accuracy on tasks after the move.",
                not_shown="no published hypernetwork is at hand without a network; a checkpoint in "
                "their layout, with random weights, predicts what the equations say.",
            ),
        ),
        differs=(
            "Training is here for causal models; hypernetworks of masked ones can be used.",
            "A substring's score counts its bytes; released code counts letters of the byte "
            "alphabet in UTF-8, where a space and all that is not ASCII count twice.",
            "The last batches are remembered 16 at a time by default; the released queue begins "
            "with one of 2,048 texts.",
            "What a source can write by no token at all is written byte by byte, unknown bytes "
            "with learned rows; the authors convert the whole tokenizer to bytes first.",
            "The rescalers' shift begins at 0; in the released port at 1, until it is loaded.",
        ),
    )

    hypernetwork: Annotated[str, "the folder of the trained hypernetwork"] = ""
    language: Annotated[
        int | None, In(0, 10_000), "which of the hypernetwork's languages the tokens belong to"
    ] = None

    def rows(self, move: Move) -> EmbeddingRows:
        """Predicted rows for every token that spells something; others get the mean row."""
        net = self._load(move)
        forms = SurfaceForms(
            move.source.scribe.write, move.source.spelled, net.shape.pieces, net.shape.padding
        )(move.target.spelled)
        old = move.embeddings
        source = old.input if old.output is None else torch.cat([old.input, old.output], 1)
        source = source.detach().float()
        written = forms[:, 0] != net.shape.padding
        made = _predicted(net, forms[written], source, self.language)
        return EmbeddingRows(
            embeddings=Embeddings(
                input=_spread(made.input, written, old.input),
                output=None if old.output is None else _spread(made.output, written, old.output),
                bias=None if old.bias is None else _spread(made.bias, written, old.bias),
            ),
            origin=torch.where(written, int(Origin.PREDICTED), int(Origin.DRAWN)),
            parents=[[i for i in form if i != net.shape.padding] for form in forms.tolist()],
        )

    def _load(self, move: Move) -> Hypernetwork:
        """The hypernetwork, if it is one for this model."""
        folder = Path(self.hypernetwork)
        weights = folder / "model.safetensors"
        if not self.hypernetwork or not weights.is_file():
            raise UsageError(
                f"Zett: hypernetwork={self.hypernetwork!r} has no model.safetensors; train one "
                "with tokenry.plugs.hypernet.train_hypernetwork, or give the folder of a "
                "published one."
            )
        net = _read(folder, weights.stat().st_mtime_ns)
        shape, old = net.shape, move.embeddings
        if (shape.width, shape.separate) != (old.input.shape[1], old.output is not None):
            raise UsageError(
                f"Zett: {self.hypernetwork!r} predicts rows of width {shape.width}, "
                f"{'' if shape.separate else 'not '}separate for the output, but the model has "
                f"{old.input.shape[1]}, {'not ' if old.output is None else ''}separate; use the "
                "hypernetwork that was trained for this model."
            )
        if shape.vocabulary > len(old.input) or (old.bias is not None and not shape.bias):
            raise UsageError(
                f"Zett: {self.hypernetwork!r} was trained with {shape.vocabulary} tokens "
                f"{'and' if shape.bias else 'without'} a bias, but the model has "
                f"{len(old.input)} rows {'without' if old.bias is None else 'and'} one; use the "
                "hypernetwork that was trained for this model."
            )
        if (self.language is None) != (shape.languages == 0) or (
            self.language is not None and self.language >= shape.languages
        ):
            raise UsageError(
                f"Zett: language={self.language}, but {self.hypernetwork!r} was trained with "
                f"{shape.languages} languages; give a number below that, None for 0."
            )
        return net


@torch.no_grad()
def _predicted(net: Hypernetwork, forms: Tensor, source: Tensor, language: int | None) -> Rows:
    """Rows of many tokens, some at a time, those of as many pieces together."""
    net = net.to(source.device)
    order = (forms != net.shape.padding).sum(1).argsort(stable=True)
    parts = [
        net(forms[some].to(source.device), source, language) for some in torch.split(order, _BATCH)
    ]
    back = order.argsort().to(source.device)
    made: Any = (
        None if one[0] is None else torch.cat(one)[back] for one in zip(*parts, strict=True)
    )
    return Rows(*made)


def _spread(made: Tensor | None, written: Tensor, old: Tensor) -> Tensor:
    """Predicted rows where a token was written; the mean of the old ones elsewhere."""
    mean = old.float().mean(0)
    rows = mean.expand(len(written), *mean.shape).clone()
    if made is not None:
        rows[written] = made.to(rows.device)
    return rows.to(old.dtype)


@lru_cache(maxsize=2)
def _read(folder: Path, changed: int) -> Hypernetwork:
    """A hypernetwork from its folder; read again when its file has `changed`."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    net = Hypernetwork(shape_of(config))
    net.load_published(load_file(folder / "model.safetensors"))
    return net.eval()


def shape_of(config: dict[str, Any]) -> HypernetShape:
    """The sizes in the `config.json` of a hypernetwork.

    Raises:
        UsageError: If it is of a kind that is not built here.
    """
    kind = config.get("hn_model_type", "roberta")
    if kind != "roberta" or not config.get("hn_rescale_embeddings"):
        raise UsageError(
            f"Zett: the hypernetwork is of kind {kind!r}"
            f"{'' if config.get('hn_rescale_embeddings') else ' without rescalers'}; only "
            "RoBERTa's layers with rescaled embeddings are known, as the published ones have."
        )
    odd = [name for name in _ODD if config.get(name)]
    if odd or not config.get("hn_embed_using_source_embeddings"):
        raise UsageError(
            f"Zett: the hypernetwork has {', '.join(odd) or 'no source embeddings'}, which none "
            "of the published ones has; it cannot be used here."
        )
    hidden = config["hn_hidden_size"]
    return HypernetShape(
        width=config["n_embd"],
        vocabulary=config["original_vocab_size"],
        hidden=hidden,
        inner=config["hn_intermediate_size"],
        heads=config.get("hn_num_attention_heads") or hidden // 64,
        layers=config["hn_n_layers"],
        pieces=config["hn_surface_maxlen"],
        padding=config["pad_token_id"],
        extra=config.get("hn_n_extra_tokens") or 0,
        separate=bool(config.get("separate_out_embeddings")),
        bias=bool(config.get("hn_predict_bias", True)),
        languages=config["n_langs"] if config.get("hn_embed_lang_id") else 0,
    )


_ODD = (
    "hn_single_head",
    "hn_concat_last_hidden_state",
    "hn_add_inter_token_attention",
    "hn_embed_target_priors",
)
