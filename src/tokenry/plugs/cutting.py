"""Cut texts into chunks, in the tokens of an encoder and by what it makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenry import catalog
from tokenry.method import Chunker, Document
from tokenry.ops.spans import Spans, spans
from tokenry.plugs.token_encoder import TokenEncoder


def cut(texts: Sequence[str], chunker: str | Chunker, encoder: TokenEncoder) -> Spans:
    """The chunks of texts, in reading order: number of the text, first character, end.

    Args:
        texts: Any strings; one without tokens has no chunks.
        chunker: Name of a chunker, with settings as in `fixed-chunks(size=100)`, or one.
        encoder: Counts sizes; its pooled vectors say where the meaning changes, where a chunker
            asks.

    Raises:
        UsageError: If it is no chunker.
        UnknownNameError: If no method has this name.
    """
    rule = catalog.configured(chunker, Chunker, "cut")

    def embed(parts: Sequence[str]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = encoder.encode(parts).pooled.float().numpy()
        return found

    found: list[tuple[int, int, int]] = []
    for number, text in enumerate(texts):
        seen = Document(text=text, tokens=_offsets(encoder, text), embed=embed)
        found += [(number, start, end) for start, end in rule.chunk(seen).tolist()]
    return spans(found)


def _offsets(encoder: TokenEncoder, text: str) -> Any:
    """Where the tokens of a text stand, however long it is."""
    read = encoder.reader.tokenizer(
        text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    found = np.asarray(read["offset_mapping"], dtype=np.int64).reshape(-1, 2)
    return found[found[:, 1] > found[:, 0]]
