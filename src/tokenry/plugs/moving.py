"""The verb: move a model to another tokenizer."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tokenry import catalog, zoo
from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.method import (
    EmbeddingRows,
    Embeddings,
    Move,
    Origin,
    Vocab,
    VocabMap,
    WordVectors,
)
from tokenry.plugs.vocabulary import vocabulary
from tokenry.plugs.wordvectors import learn_words
from tokenry.zoo.cache import called
from tokenry.zoo.loading import fills_in
from tokenry.zoo.tokenizer import tokenizer as load_tokenizer

SUMMARY, ROWS = "transplant.json", "transplant-rows.jsonl"
"""What `Moved.save` writes beside the model: a summary, and the origin of each row."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Moved:
    """A model that was moved to another tokenizer.

    Attributes:
        model: The model; the one that was given is as it was.
        tokenizer: Its tokenizer.
        method: What made its rows.
        source: The vocabulary that it had.
        target: The one that it has.
        rows: Where each row comes from, tokens with a role included.
        special: Special tokens of the target, with the source token whose row they took.
    """

    model: Any
    tokenizer: Any
    method: VocabMap
    source: Vocab
    target: Vocab
    rows: EmbeddingRows
    special: Mapping[int, int]

    def summary(self) -> dict[str, Any]:
        """The move in short, as plain data."""
        origins = Counter(Origin(int(one)).name.lower() for one in self.rows.origin)
        return {
            "method": self.method.describe(),
            "source": {"tokenizer": self.source.name, "tokens": len(self.source)},
            "target": {"tokenizer": self.target.name, "tokens": len(self.target)},
            "rows": {origin.name.lower(): origins[origin.name.lower()] for origin in Origin},
            "special": {
                self.target.pieces[token]: self.source.pieces[parent]
                for token, parent in self.special.items()
            },
            "left_behind": sorted(
                self.source.pieces[token]
                for token in set(self.source.special.values()) - set(self.special.values())
            ),
        }

    def save(self, folder: str | Path, **more: Any) -> Path:
        """Write a folder that `AutoTokenizer` and the model's own `AutoModel...` class load.

        Beside model and tokenizer it holds `transplant.json`, the summary, and
        `transplant-rows.jsonl`, a line per row: its token, its origin and its parents.

        Args:
            folder: Made when it is not there.
            **more: Further lines of the summary, as plain data.
        """
        folder = Path(folder)
        zoo.save(folder, self.model, self.tokenizer)
        (folder / SUMMARY).write_text(
            _json({**self.summary(), **more}, indent=1) + "\n", encoding="utf-8"
        )
        with (folder / ROWS).open("w", encoding="utf-8") as file:
            for token, (origin, parents) in enumerate(
                zip(self.rows.origin.tolist(), self.rows.parents, strict=True)
            ):
                line = {
                    "id": token,
                    "token": self.target.pieces[token],
                    "origin": Origin(origin).name.lower(),
                    "parents": list(parents),
                    "parent_tokens": [self.source.pieces[parent] for parent in parents],
                }
                file.write(_json(line) + "\n")
        return folder


def transplant(
    model: Any,
    tokenizer: Any,
    new_tokenizer: Any,
    method: str | VocabMap,
    *,
    texts: Sequence[str] = (),
    source_texts: Sequence[str] = (),
    dictionary: Sequence[tuple[str, str]] = (),
    source_words: WordVectors | None = None,
    target_words: WordVectors | None = None,
    special: Mapping[str, str] | None = None,
    seed: int = 0,
    **settings: Any,
) -> Moved:
    """Move a model to another tokenizer: new rows for its tokens, all else as it was.

    Special tokens take the row of the source's token with the same role, or of the same name; the
    configuration of the model and of its generation names the new ids.

    Args:
        model: A name for `tokenry.zoo.load`, or a model that transformers loaded; it stays as it
            is.
        tokenizer: The model's; None when it was given by name.
        new_tokenizer: A fast tokenizer of transformers, a folder that holds one, or a name.
        method: Name of a method, alone or with settings as in "wechsel(k=5)", or a configured one.
        texts: Text of the new tokenizer's language, for methods that learn from it.
        source_texts: Text of the old tokenizer's language, for methods that learn from it.
        dictionary: Words of the old language with their translations.
        source_words: Word vectors of the old language, as `plugs.wordvectors.read_words` gives.
        target_words: Those of the new language.
        special: Special tokens of the new tokenizer with the source token whose row they take,
            where roles and names do not say it.
        seed: Of all that is drawn.
        **settings: Settings of the method, when it is given by name.

    Returns:
        The moved model, its tokenizer, and where each row comes from.

    Raises:
        UnknownNameError: If no method or setting has this name.
        UsageError: If a tokenizer is slow, the vocabulary is larger than the model's embedding,
            special tokens clash, or the method lacks what it needs.
        UnsupportedModelError: If the model has no embedding of the usual kind.
    """
    one = catalog.configured(method, VocabMap, "transplant", **settings)
    source_name, target_name = _named(model) or _named(tokenizer), _named(new_tokenizer)
    model, tokenizer = _found(model, tokenizer)
    made = copy.deepcopy(_loaded(new_tokenizer))
    source, target = vocabulary(tokenizer, source_name), vocabulary(made, target_name)
    move = Move(
        source=source,
        target=target,
        embeddings=embeddings_of(model, source),
        source_texts=source_texts,
        target_texts=texts,
        dictionary=dictionary,
        source_words=source_words,
        target_words=target_words,
        learn=learn_words,
        seed=seed,
    )
    roles = _special(source, target, special or {})
    rows = _with_special(one.rows(move), move.embeddings, roles)
    moved = with_rows(model, rows.embeddings)
    _rename(moved, source, target, roles)
    made.model_max_length = tokenizer.model_max_length
    parts: Any = {"method": one, "source": source, "target": target, "rows": rows}
    return Moved(model=moved, tokenizer=made, special=roles, **parts)


def _found(model: Any, tokenizer: Any) -> tuple[Any, Any]:
    if isinstance(model, str | Path):
        loaded = zoo.load(model, kind="masked-lm" if fills_in(model) else None)
        return loaded.model, loaded.processor if tokenizer is None else _loaded(tokenizer)
    if not isinstance(model, nn.Module) or tokenizer is None:
        raise UsageError(
            "transplant: give the model by name, or a loaded model together with its tokenizer; "
            f"got {type(model).__name__} and {type(tokenizer).__name__}."
        )
    return model, _loaded(tokenizer)


def _named(given: Any) -> str | None:
    """What a person calls it."""
    name = str(given if isinstance(given, str | Path) else getattr(given, "name_or_path", ""))
    return called(name) if name and Path(name).is_dir() else name or None


def _loaded(given: Any) -> Any:
    return load_tokenizer(given) if isinstance(given, str | Path) else given


def embeddings_of(model: Any, source: Vocab) -> Embeddings:
    """The rows of a model.

    Raises:
        UnsupportedModelError: If its embedding is no table of rows.
        UsageError: If it has fewer rows than the vocabulary has tokens.
    """
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    for layer in (table, head):
        if layer is not None and not isinstance(layer, nn.Embedding | nn.Linear):
            raise UnsupportedModelError(
                f"transplant: {type(model).__name__} keeps its tokens in a "
                f"{type(layer).__name__}; only nn.Embedding and nn.Linear have rows to replace. "
                "Load the model without quantisation."
            )
    if getattr(model.config.get_text_config(decoder=True), "hidden_size_per_layer_input", 0):
        raise UnsupportedModelError(
            f"transplant: {type(model).__name__} has a second table of tokens for its layers "
            "(hidden_size_per_layer_input), whose rows no method makes; take a model with one "
            "table."
        )
    if len(source) > len(table.weight):
        raise UsageError(
            f"transplant: {source.name} has {len(source)} tokens, but {type(model).__name__} only "
            f"{len(table.weight)} embedding rows; this is not the model's tokenizer, or tokens "
            "were added to it and the model was not resized."
        )
    tied = head is None or head.weight is table.weight
    bias = None if head is None else getattr(head, "bias", None)
    return Embeddings(
        input=table.weight.detach(),
        output=None if tied else head.weight.detach(),
        bias=None if bias is None else bias.detach(),
    )


def _special(source: Vocab, target: Vocab, given: Mapping[str, str]) -> dict[int, int]:
    """Special tokens of the target with the source token whose row they take.

    Raises:
        UsageError: If two roles of one token ask for different rows, or a given name is unknown.
    """
    found: dict[int, int] = {}
    for name, other in given.items():
        for one, vocab in ((name, target), (other, source)):
            if one not in vocab.pieces:
                raise UsageError(f"transplant: special: {vocab.name} has no token {one!r}.")
        found[target.pieces.index(name)] = source.pieces.index(other)
    named = {source.pieces[token]: token for token in source.special.values()}
    chosen = frozenset(found)
    # What fills up is never read: another role of the same token goes first.
    for role, token in sorted(target.special.items(), key=lambda one: one[0] == "pad_token"):
        parent_id = source.special.get(role, named.get(target.pieces[token]))
        if token in chosen or parent_id is None:
            continue
        if found.setdefault(token, parent_id) != parent_id and role != "pad_token":
            piece = target.pieces[token]
            ours, theirs = source.pieces[found[token]], source.pieces[parent_id]
            likely = theirs if role == "eos_token" else ours  # writing must come to an end
            raise UsageError(
                f"transplant: {piece!r} of {target.name} has several roles, for which "
                f"{source.name} has different tokens, {ours!r} and {theirs!r}; say whose row it "
                f"takes with special={{{piece!r}: {likely!r}}} (--special '{piece}={likely}')."
            )
    return found


def _with_special(
    rows: EmbeddingRows, source: Embeddings, special: Mapping[int, int]
) -> EmbeddingRows:
    """The rows with those of special tokens copied."""
    tokens, parents = list(special), list(special.values())

    def copied(made: Tensor | None, given: Tensor | None) -> Tensor | None:
        if made is None or given is None:
            return None
        made = made.clone()
        made[tokens] = given[parents].to(made)
        return made

    made, origin, every = rows.embeddings, rows.origin.clone(), list(rows.parents)
    origin[tokens] = int(Origin.COPIED)
    for token, parent in special.items():
        every[token] = [parent]
    first = copied(made.input, source.input)
    return EmbeddingRows(
        embeddings=Embeddings(
            input=made.input if first is None else first,
            output=copied(made.output, source.output),
            bias=copied(made.bias, source.bias),
        ),
        origin=origin,
        parents=every,
    )


@torch.no_grad()
def with_rows(model: Any, rows: Embeddings) -> Any:
    """A copy of the model with these rows."""
    made: Any = copy.deepcopy(model)
    made.resize_token_embeddings(len(rows.input), mean_resizing=False)
    made.get_input_embeddings().weight.copy_(rows.input)
    head: Any = made.get_output_embeddings()
    if rows.output is not None:
        head.weight.copy_(rows.output)
    if rows.bias is not None:
        head.bias.copy_(rows.bias)
        for module in made.modules():  # some keep a second bias beside the head, which none reads
            if getattr(module, "decoder", None) is head and "bias" in module._parameters:
                module.bias = nn.Parameter(rows.bias.detach().clone())
    made.tie_weights()
    return made


def _rename(model: Any, source: Vocab, target: Vocab, special: Mapping[int, int]) -> None:
    """The ids of special tokens in the configurations, as the new vocabulary has them."""
    new = {parent: token for token, parent in reversed(list(special.items()))}
    configs: tuple[Any, ...] = (model.config, model.config.get_text_config())
    configs = (*configs, getattr(model, "generation_config", None))
    for config in filter(None, configs):
        for name, old in list(vars(config).items()):
            if name.endswith("_token_id"):
                role = name.removesuffix("_id")
                own = [target.special[role]] if role in target.special else []
                given = [new[one] for one in old if one in new] if isinstance(old, list) else []
                ids = list(dict.fromkeys([*own, *given]))
                alone = ids[0] if ids else new.get(old)
                setattr(config, name, ids if given else alone)


def _json(content: Any, **more: Any) -> str:
    return json.dumps(content, ensure_ascii=False, **more)
