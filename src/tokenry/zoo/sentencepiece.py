"""Tokenizers from the `.model` files of sentencepiece, without its package."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenry.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_UNIGRAM, _BPE = 1, 2  # trainer_spec.model_type
_UNKNOWN, _CONTROL, _BY_HAND = 2, 3, 4  # of a piece
_SPACE = "\u2581"


def read_sentencepiece(path: Path) -> Tokenizer:
    """The tokenizer of a `.model` file: Unigram, or byte-pair encoding with its merges found out.

    Raises:
        MissingExtraError: protobuf, which reads the file, is not installed.
        UsageError: it holds single words or characters, or no pieces.
    """
    from tokenizers import AddedToken, Tokenizer, models

    held = _held(path)
    trained = held.trainer_spec
    pieces = [(one.piece, one.score) for one in held.pieces]
    if trained.model_type not in (_UNIGRAM, _BPE) or not pieces:
        raise UsageError(
            f"tokenizer: {str(path)!r} holds {len(pieces)} pieces of sentencepiece's model type "
            f"{trained.model_type}; 1 (Unigram) and 2 (byte-pair encoding) can be read."
        )
    model: Any
    if trained.model_type == _UNIGRAM:
        model = models.Unigram(pieces, trained.unk_id, trained.byte_fallback)
    else:
        ids = {piece: token for token, (piece, _) in enumerate(pieces)}
        model = models.BPE(
            ids,
            import_module("transformers.convert_slow_tokenizer").generate_merges(ids, dict(pieces)),
            unk_token=trained.unk_piece,
            fuse_unk=True,
            byte_fallback=trained.byte_fallback,
        )
    made = Tokenizer(model)
    made.normalizer, made.decoder = _normalizer(held), _decoder(held)
    for one in held.pieces:
        if one.type in (_UNKNOWN, _CONTROL):
            made.add_special_tokens([AddedToken(one.piece, special=True, normalized=False)])
        elif one.type == _BY_HAND:
            made.add_tokens([AddedToken(one.piece, normalized=False)])
    return made


def _held(path: Path) -> Any:
    """What the file holds, as its own message."""
    try:
        messages = import_module("transformers.convert_slow_tokenizer").import_protobuf()
    except ImportError as error:
        raise MissingExtraError("tokenizer", 'pip install "tokenry[vocab]"') from error
    held = messages.ModelProto()
    held.ParseFromString(path.read_bytes())
    return held


def _normalizer(held: Any) -> Any:
    from tokenizers import Regex, normalizers

    how = held.normalizer_spec
    steps: list[Any] = []
    if how.precompiled_charsmap:
        steps.append(normalizers.Precompiled(how.precompiled_charsmap))
    if how.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    if how.add_dummy_prefix:
        steps.append(normalizers.Prepend(_SPACE))
    return normalizers.Sequence([*steps, normalizers.Replace(" ", _SPACE)])


def _decoder(held: Any) -> Any:
    from tokenizers import decoders

    steps: list[Any] = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if held.normalizer_spec.add_dummy_prefix:
        steps.append(decoders.Strip(" ", 1, 0))
    return decoders.Sequence(steps)
