"""New tokens for good: a tokenizer with more merges, and a model with rows for them."""

from __future__ import annotations

import json
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tokenry import catalog
from tokenry.alphabet import LETTERS, to_letters
from tokenry.errors import UsageError
from tokenry.method import EmbeddingRows, Embeddings, MergedBatch, Origin, Vocab, VocabMap
from tokenry.plugs.dynamic import new_rows
from tokenry.plugs.moving import Moved, embeddings_of, with_rows
from tokenry.plugs.vocabulary import engine, vocabulary


def freeze(model: Any, tokenizer: Any, merged: MergedBatch, rows: str | VocabMap = "fvt") -> Moved:
    """Keep the tokens of a batch: a model and an ordinary BPE tokenizer that have them for good.

    The merges are put behind those of the tokenizer, so that it writes the batch as it was merged.
    A run of spaces before a word is the exception: the tokenizer splits it before it merges.

    Args:
        model: A model of transformers; it stays as it is.
        tokenizer: Its fast tokenizer, a byte-level BPE.
        merged: What `DynamicCollator.merge` made.
        rows: What makes rows of new tokens: "fvt", "zett(hypernetwork=...)", or an instance.

    Returns:
        Model and tokenizer; `save` writes them as a folder that transformers loads.

    Raises:
        UsageError: If the tokenizer is no byte-level BPE, or splits texts where a merge was made.
    """
    method = catalog.configured(rows, VocabMap, "freeze")
    source = vocabulary(tokenizer)
    made = extended(tokenizer, source, merged)
    old = embeddings_of(model, source)
    fresh, n = new_rows(method, source, old, merged.tokens), len(source)
    more = fresh.embeddings
    every = EmbeddingRows(
        embeddings=Embeddings(
            input=_joined(old.input[:n], more.input),
            output=None if old.output is None else _joined(old.output[:n], more.output),
            bias=None if old.bias is None else _joined(old.bias[:n], more.bias),
        ),
        origin=torch.cat([torch.full((n,), int(Origin.COPIED)), fresh.origin]),
        parents=[*([token] for token in range(n)), *fresh.parents],
    )
    return Moved(
        model=with_rows(model, every.embeddings),
        tokenizer=made,
        method=method,
        source=source,
        target=vocabulary(made),
        rows=every,
        special={token: token for token in source.special.values()},
    )


def _joined(old: torch.Tensor, new: Any) -> torch.Tensor:
    return torch.cat([old, new.to(old)])


def extended(tokenizer: Any, vocab: Vocab, merged: MergedBatch) -> PreTrainedTokenizerFast:
    """The tokenizer with the merges of a batch behind its own.

    Raises:
        UsageError: If it is no byte-level BPE, or splits texts where a merge was made.
    """
    settings = json.loads(engine(tokenizer).to_str())
    model = settings["model"]
    _refuse(settings, vocab, merged)
    pieces = [*vocab.pieces, *map(to_letters, merged.tokens)]
    pairs = [[pieces[left], pieces[right]] for left, right, _ in merged.merges]
    old = [one.split(" ") if isinstance(one, str) else one for one in model["merges"]]
    known = {tuple(pair) for pair in old}
    # With all tokens in the model's own table, added ones too, ids stay what they are.
    model["vocab"] = {piece: token for token, piece in enumerate(pieces) if piece}
    model["merges"] = old + [pair for pair in pairs if tuple(pair) not in known]
    roles = getattr(tokenizer, "special_tokens_map", {})
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=Tokenizer.from_str(json.dumps(settings)),
        padding_side=getattr(tokenizer, "padding_side", "right"),
        **roles,
    )


def _refuse(settings: Any, vocab: Vocab, merged: MergedBatch) -> None:
    splitter = settings["pre_tokenizer"] or {"type": "none"}
    kinds = {one["type"] for one in splitter.get("pretokenizers", [splitter])}
    if settings["model"]["type"] != "BPE" or "ByteLevel" not in kinds:
        raise UsageError(
            f"freeze: {vocab.name} is a {settings['model']['type']} tokenizer over "
            f"{', '.join(sorted(kinds))}; only byte-level BPE takes merges behind its own. Use "
            "DynamicCollator, which takes any."
        )
    for token in merged.tokens:
        text = token.decode("utf-8", "replace")
        if "\ufffd" not in text and len(vocab.scribe.words(text)) != 1:
            raise UsageError(
                f"freeze: the token {text!r} crosses a border at which {vocab.name} splits texts "
                "before it merges; merge with boundary='pretokens', or use `longest_prefix`."
            )


def longest_prefix(tokenizer: Any) -> PreTrainedTokenizerFast:
    """A tokenizer with the same tokens that always takes the longest one that fits.

    It needs no merges, and its tokens may cross the borders between words. Lines are written one
    by one.

    Args:
        tokenizer: A fast tokenizer with all 256 bytes among its tokens, such as one of `freeze`.

    Raises:
        UsageError: If a byte is missing, so that not every text could be written.
    """
    vocab = vocabulary(tokenizer)
    special = set(vocab.special.values())
    table = {
        to_letters(text): token
        for token, text in reversed(list(enumerate(vocab.spelled)))
        if text and token not in special
    }
    absent = [letter for letter in LETTERS if letter not in table]
    if absent:
        raise UsageError(
            f"longest_prefix: {len(absent)} bytes are no tokens of {vocab.name}; a text that holds "
            "one could not be written. Use a tokenizer that knows all bytes."
        )
    names = {vocab.pieces[token]: token for token in special}
    unknown = next(iter(names), LETTERS[0])
    made = Tokenizer(
        models.WordPiece(
            table | names,
            unk_token=unknown,
            continuing_subword_prefix="",
            max_input_chars_per_word=10**9,
        )
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("\n", "merged_with_previous"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    roles = getattr(tokenizer, "special_tokens_map", {})
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made, **roles
    )
