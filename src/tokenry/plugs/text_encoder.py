"""Encoders of sentence-transformers, built on top of any text model of transformers."""

from __future__ import annotations

import tempfile
from os import PathLike
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch import nn

from tokenry import zoo
from tokenry.errors import MissingExtraError, UsageError
from tokenry.plugs.device import device_of
from tokenry.zoo.loading import explained

_EXTRA = 'pip install "tokenry[retrieval]"'


def text_encoder(
    source: Any,
    *,
    tokens: bool = False,
    pooling: Literal["mean", "cls"] = "mean",
    width: int | None = None,
    longest: int | None = None,
    seed: int = 0,
) -> Any:
    """Build an encoder of sentence-transformers on top of any text model of transformers.

    Args:
        source: `zoo:NAME`, a folder, a name on the Hub, or a pair (model, tokenizer).
        tokens: A `MultiVectorEncoder` with a vector for each token; otherwise a
            `SentenceTransformer` with one for each text.
        pooling: Mean of the real tokens, or the first token; without `tokens` only.
        width: Width of a linear projection, which starts at random; None for none.
        longest: Tokens of a text, at most; None for what the model takes.
        seed: Of the projection.

    Raises:
        MissingExtraError: If sentence-transformers is not installed.

    Returns:
        The encoder, in evaluation mode; its vectors have length one.
    """
    parts = sentence_transformers()
    name = str(source) if isinstance(source, str | PathLike) else ""
    with explained(name), tempfile.TemporaryDirectory() as kept:
        settings: dict[str, Any] = {} if longest is None else {"max_seq_length": longest}
        model = parts.Transformer(
            str(_folder(source, Path(kept))), model_kwargs={"use_safetensors": True}, **settings
        )
    wide = model.get_embedding_dimension()
    name = "token_embeddings" if tokens else "sentence_embedding"
    modules: list[nn.Module] = [model] if tokens else [model, parts.Pooling(wide, pooling)]
    if width is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            modules.append(
                parts.Dense(
                    wide,
                    width,
                    bias=False,
                    activation_function=nn.Identity(),
                    module_input_name=name,
                    module_output_name=name,
                )
            )
    modules += [parts.MultiVectorMask()] if tokens else []
    modules.append(parts.Normalize(module_input_name=name, module_output_name=name))
    build = parts.MultiVectorEncoder if tokens else parts.SentenceTransformer
    return build(modules=modules, device="cpu").eval()


def saved_encoder(source: Any, device: str | None = None) -> Any:
    """An encoder with one vector for each text, as it was saved.

    Args:
        source: `zoo:NAME`, a folder or a name on the Hub, of sentence-transformers or of a text
            model alone; or an encoder, which is given back.
        device: Where to put it; where it is when not given.

    Raises:
        UsageError: If it is none of these.
        MissingExtraError: If sentence-transformers is not installed.
    """
    build, place = sentence_transformers().SentenceTransformer, device_of(device)
    if isinstance(source, str | PathLike):
        name = str(source)
        if not name.startswith("zoo:"):
            with explained(name):
                return build(name, device=device, model_kwargs={"use_safetensors": True})
        source = text_encoder(name)
    if not isinstance(source, build):
        raise UsageError(
            f"encoder is a {type(source).__qualname__}; give 'zoo:NAME', a folder, a name on the "
            "Hub, or a SentenceTransformer."
        )
    return source if place is None else source.to(place)


def separator_of(encoder: Any) -> str | None:
    """What the tokenizer of an encoder puts between two texts, if it has something."""
    found = getattr(getattr(encoder, "tokenizer", None), "sep_token", None)
    return found if isinstance(found, str) else None


def sentence_transformers() -> Any:
    """The encoders of sentence-transformers and what they are built of.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        from sentence_transformers import MultiVectorEncoder, SentenceTransformer
        from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
        from sentence_transformers.sentence_transformer import modules
    except ImportError as error:
        raise MissingExtraError("an encoder of texts", _EXTRA) from error
    return SimpleNamespace(
        Dense=modules.Dense,
        MultiVectorEncoder=MultiVectorEncoder,
        MultiVectorMask=MultiVectorMask,
        Normalize=modules.Normalize,
        Pooling=modules.Pooling,
        SentenceTransformer=SentenceTransformer,
        Transformer=modules.Transformer,
    )


def _folder(source: Any, kept: Path) -> Any:
    if isinstance(source, tuple):
        zoo.save(kept, *source)
        return kept
    name = str(source)
    return zoo.folder(name) if name.startswith("zoo:") else name
