"""Multi-vector checkpoints (ColBERT, PyLate, sentence-transformers), read by their own library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tokenry.errors import MissingExtraError, UsageError
from tokenry.plugs.token_windows import Window, WindowStates
from tokenry.zoo.loading import explained

_STATED = {
    "config_sentence_transformers.json": ("MultiVectorEncoder", "ColBERT"),
    "config.json": ("HF_ColBERT", "ForRetrieval"),
}
"""What says that a checkpoint was trained for late interaction, and in which file."""

_UNREAD = ["*.bin", "*.h5", "*.msgpack", "*.onnx", "*.ot", "*.pt", "*.pth", "openvino/*"]
"""Weights in other forms, which are not downloaded."""

_MARKS = 8
"""Room for prompts and special tokens that the checkpoint puts around a text."""


def is_multi_vector(folder: Path) -> bool:
    """Whether a local folder holds a checkpoint that was trained for late interaction."""
    for name, marks in _STATED.items():
        path = folder / name
        if path.is_file():
            content = json.loads(path.read_text(encoding="utf-8"))
            stated = [content.get("model_type"), *(content.get("architectures") or [])]
            if any(str(one).endswith(marks) for one in stated) or (
                "similarity_fn_name" in content
                and (str(content["similarity_fn_name"]).lower().endswith("maxsim"))
            ):
                return True
    return False


class MultiVectorReader:
    """Token vectors of a `MultiVectorEncoder`, with its own prompts, projection and skip list.

    Args:
        source: A folder, or a name on the Hub; weights are read from safetensors only.
        device: Where it computes.
        **kwargs: For `MultiVectorEncoder`.

    Raises:
        MissingExtraError: If sentence-transformers is not installed.
        UsageError: If it cannot be loaded, or was not trained for late interaction.
    """

    def __init__(self, source: str, device: str | None = None, **kwargs: Any) -> None:
        try:
            from sentence_transformers import MultiVectorEncoder
        except ImportError as error:
            raise MissingExtraError(source, 'pip install "tokenry[retrieval]"') from error
        named = {name: kwargs.pop(name, None) for name in ("cache_folder", "revision", "token")}
        where = {**named, "local_files_only": bool(kwargs.pop("local_files_only", False))}
        where["cache_dir"] = where.pop("cache_folder")
        kwargs["model_kwargs"] = {"use_safetensors": True, **kwargs.get("model_kwargs", {})}
        with explained(source, where):
            folder = _folder(source, where)
        if not is_multi_vector(folder):
            raise UsageError(
                f"{source}: is no multi-vector model, and would be given a projection of random "
                "weights; read it as a plain encoder, without `multivector:` before its name."
            )
        with explained(source, where):
            self.model: Any = MultiVectorEncoder(str(folder), device=device or "cpu", **kwargs)
        self.tokenizer = self.model.tokenizer
        limit = getattr(self.model, "max_seq_length", None) or self.tokenizer.model_max_length
        self.room = max(1, min(int(limit), 1 << 20) - _MARKS)
        width: Any = self.model.get_embedding_dimension()
        self.dimension = self.pooled = int(width)

    def read(self, parts: list[Window], mode: str) -> list[WindowStates]:
        """The vectors of windows, as the checkpoint wants queries or documents read."""
        if not parts:
            return []
        encode = self.model.encode_query if mode == "query" else self.model.encode_document
        made = encode([part.piece for part in parts], output_value=None, show_progress_bar=False)
        return [_states(part, one) for part, one in zip(parts, made, strict=True)]


def _folder(source: str, where: dict[str, Any]) -> Path:
    """The folder of a checkpoint, downloaded where it is on the Hub.

    By its name, sentence-transformers would take one of which it does not find all for a plain
    encoder.
    """
    from huggingface_hub import snapshot_download

    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    return Path(snapshot_download(source, ignore_patterns=_UNREAD, **where))


def _states(part: Window, made: dict[str, Any]) -> WindowStates:
    ids = made["input_ids"].cpu()
    counts = made["attention_mask"].cpu().bool()
    vectors = made["token_embeddings"].float().cpu()
    spans = torch.full((len(ids), 2), part.spans[0][0])
    content = torch.tensor(part.ids)
    for start in range(len(ids) - len(content) + 1):
        if torch.equal(ids[start : start + len(content)], content):
            spans[start : start + len(content)] = torch.tensor(part.spans)
            break
    chosen = vectors[counts]
    return WindowStates(chosen, ids[counts], spans[counts], chosen.sum(0), len(chosen))
