"""The draft model behind `view.guide`: one cache per text, and whole trees in one pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AutoTokenizer
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.generation import logits_process

from tokenry import zoo
from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.method import TokenTree
from tokenry.ops.tree import reach
from tokenry.plugs.attention import BASES
from tokenry.plugs.drafting_curve import Curve, curve
from tokenry.plugs.past import CACHE
from tokenry.plugs.positions import positions

WINDOW = 32
"""So many tokens at the end of a text tell cheaply whether the draft model is any good for it."""

_WARPERS = (
    logits_process.TemperatureLogitsWarper,
    logits_process.TopKLogitsWarper,
    logits_process.TopPLogitsWarper,
    logits_process.MinPLogitsWarper,
    logits_process.TypicalLogitsWarper,
    logits_process.EpsilonLogitsWarper,
    logits_process.EtaLogitsWarper,
)
"""Processors that look at nothing but the scores."""


class Guide:
    """A draft model beside the model that it drafts for.

    Args:
        owner: The method, for messages.
        source: Name, folder, or the draft model itself.
        model: The model that it drafts for.

    Raises:
        UsageError: If the two do not read the same tokens, or are on different devices.
        UnsupportedModelError: If the draft model cannot go back to an earlier token.
    """

    def __init__(self, owner: str, source: str | nn.Module, model: nn.Module) -> None:
        self._owner = owner
        self._name = source if isinstance(source, str) else type(source).__name__
        tokenizer: Any = None
        if isinstance(source, str):
            loaded = zoo.load(source, kind="causal-lm")
            draft: Any = loaded.model
            first = next(model.parameters())
            draft, tokenizer = draft.to(first.device, first.dtype), loaded.processor
        else:
            draft = source
        self._draft = draft
        self._refuse_kind()
        self._refuse_vocabulary(model, tokenizer or _tokenizer(draft))
        self._refuse_device(model)
        self._texts: dict[int, _Text] = {}
        self._curve: Curve | None = None
        self._spent = 0.0

    def weigh(self) -> float:
        """Learn what passes of the draft model cost, so that `unread` knows.

        Returns:
            Seconds until a first node is drafted after the end of a text alone.
        """
        self._curve = curve(self._draft, 1)
        return self._curve.cost(min(WINDOW, self._curve.most))

    def unread(self, row: int, text: Int[Tensor, " n"]) -> float:
        """Seconds that it takes to read what is not read of a text; 0 where that is little.

        Args:
            row: The row of the batch.
            text: Its tokens.
        """
        n = self._held(row).missing(text, 0)
        if self._curve is None or n <= WINDOW:
            return 0.0
        most = min(n, self._curve.most)
        return self._curve.cost(most) * n / most

    def spent(self) -> float:
        """Seconds that such reading took since this was asked last."""
        spent, self._spent = self._spent, 0.0
        return spent

    def _held(self, row: int) -> _Text:
        if row not in self._texts:
            self._texts[row] = _Text(self._draft, 0)
        return self._texts[row]

    def start(self, rows: int) -> None:
        """Let go of the texts of rows that the next batch has not."""
        self._texts = {row: text for row, text in self._texts.items() if row < rows}

    def under(
        self,
        row: int,
        text: Int[Tensor, " n"],
        count: int,
        processors: Sequence[Any],
        whole: bool = True,
    ) -> Callable[[TokenTree], Float[Tensor, "m v"]] | None:
        """What a drafter asks about one text.

        Args:
            row: The row of the batch; what it had before is not computed again.
            text: Its tokens.
            count: Most nodes of a tree.
            processors: Those of the model; the filters among them shape the draft as well.
            whole: Whether all of the text is read, or its end is enough.

        Returns:
            For a tree under the text the draft's probabilities at the root and at each node; None
            when the draft model has not so many positions.
        """
        most = positions(self._draft)
        if most is not None and len(text) + count > most:
            return None
        held = self._held(row)
        start = 0 if whole else held.near(text)
        if start != held.start:
            held = self._texts[row] = _Text(self._draft, start)
        warpers = [one for one in processors if isinstance(one, _WARPERS)]
        dear, began = held.missing(text, start) > WINDOW, perf_counter()
        ask = held.under(text[start:], count, warpers)
        self._spent += perf_counter() - began if dear else 0.0
        return ask

    def _refuse_kind(self) -> None:
        parameters = inspect.signature(self._draft.forward).parameters
        config: Any = getattr(self._draft, "config", None)
        why = ""
        if config is None or not {CACHE, "position_ids"} <= parameters.keys():
            why = "it takes no cache and no position_ids: without a cache it would read the "
            why += "whole text for every token"
        elif config.is_encoder_decoder or getattr(self._draft, "_is_stateful", False):
            why = "only causal models whose cache can go back to an earlier token can draft"
        else:
            layers = DynamicCache(config=config).layers
            other = next(
                (type(one).__name__ for one in layers if type(one) is not DynamicLayer), ""
            )
            if other:
                why = f"its cache has a {other}, which cannot go back to an earlier token"
        if why:
            raise UnsupportedModelError(
                f"{self._owner}: {self._name} cannot be the draft model: {why}. Give a causal "
                "model with full attention in every layer."
            )
        if config._attn_implementation not in BASES:
            raise UsageError(
                f"{self._owner}: the attention implementation of the draft model is "
                f"{config._attn_implementation!r}, which cannot carry the mask of a tree; load it "
                f"with attn_implementation={' or '.join(map(repr, BASES))}."
            )

    def _refuse_vocabulary(self, model: Any, tokenizer: Any) -> None:
        ours, theirs = self._draft.config.vocab_size, _text_config(model).vocab_size
        why = ""
        if ours != theirs:
            why = f"it has {ours} tokens, the model {theirs}"
        elif tokenizer is not None and (other := _tokenizer(model)) is not None:
            mine, yours = tokenizer.get_vocab(), other.get_vocab()
            differ = [token for token in mine.keys() | yours if mine.get(token) != yours.get(token)]
            if differ:
                why = f"{len(differ)} tokens stand for other text, {min(differ)!r} for one"
        if why:
            raise UsageError(
                f"{self._owner}: the draft model {self._name} does not share the model's "
                f"vocabulary: {why}. Give model= a draft with the same tokenizer; two "
                "models with different tokenizers meet byte by byte, see byte-exact."
            )

    def _refuse_device(self, model: nn.Module) -> None:
        here, there = next(self._draft.parameters()).device, next(model.parameters()).device
        if here != there:
            raise UsageError(
                f"{self._owner}: the draft model is on {here}, the model on {there}; move one of "
                f"them with .to({str(there)!r}), or give the draft by name and it goes there."
            )


class _Text:
    """One text in the draft model's cache, and behind it the nodes of the last tree.

    Slots `0 .. len(ids) - 1` of the cache hold the text, the following ones the nodes.

    Args:
        draft: The draft model.
        start: The first token of the text that is read at all.
    """

    def __init__(self, draft: Any, start: int) -> None:
        self._draft, self.start = draft, start
        self._cache: Any = DynamicCache(config=draft.config)
        keeps = "logits_to_keep" in inspect.signature(draft.forward).parameters
        self._last = {"logits_to_keep": 1} if keeps else {}
        self._ids: Tensor = torch.zeros(0, dtype=torch.long)
        self._tree = TokenTree(self._ids, self._ids)
        self._probs = torch.zeros(0, 0)
        self._rows = 0

    def missing(self, text: Int[Tensor, " n"], start: int) -> int:
        """How many tokens of a text from `start` on are not held."""
        new = text[start:]
        if start != self.start:
            return len(new)
        n = min(len(new), len(self._ids))
        differ = (new[:n] != self._ids[:n]).nonzero()
        return len(new) - (int(differ[0]) if len(differ) else n)

    def near(self, text: Int[Tensor, " n"]) -> int:
        """Where to start so that little has to be read of a text."""
        for start in (0, self.start):
            if start < len(text) and self.missing(text, start) <= WINDOW:
                return start
        return len(text) - WINDOW

    def under(
        self, text: Int[Tensor, " n"], count: int, warpers: Sequence[Any]
    ) -> Callable[[TokenTree], Float[Tensor, "m v"]]:
        """Read what is new of the text; what is then asked about trees under it."""
        text = text.to("cpu", copy=True)
        with torch.no_grad():
            scores = self._read(text)
        self._probs = scores.new_empty(count + 1, scores.shape[1], dtype=torch.float32)
        self._rows = 0
        self._note(scores, warpers)

        def ask(tree: TokenTree) -> Float[Tensor, "m v"]:
            with torch.no_grad():
                self._grow(tree, warpers)
            return self._probs[: len(tree.tokens) + 1]

        return ask

    def _read(self, text: Int[Tensor, " n"]) -> Float[Tensor, "1 v"]:
        """Feed the text from where it leaves what is held; the scores after its last token."""
        held = self._kept(text[:-1])
        self._ids, self._tree = text[:held], TokenTree(text[:0], text[:0])
        new = text[held:].to(self._draft.device)
        places = torch.arange(held, len(text), device=new.device)
        output = self._draft(
            input_ids=new[None],
            position_ids=places[None],
            **{CACHE: self._cache},
            use_cache=True,
            **self._last,
        )
        self._ids = text
        scores: Tensor = output.logits[0, -1:]
        return scores

    def _kept(self, text: Int[Tensor, " n"]) -> int:
        """Let go of slots that are not of the text, and close the gaps; how many stay."""
        n = min(len(text), len(self._ids))
        differ = (text[:n] != self._ids[:n]).nonzero()
        same = int(differ[0]) if len(differ) else n
        path = self._path(text[same:]) if same == len(self._ids) else []
        slots = [len(self._ids) + node for node in path]
        if slots and slots[-1] != same + len(slots) - 1:
            for layer in self._cache.layers:
                for x in (layer.keys, layer.values):
                    x[:, :, same : same + len(slots)] = x[:, :, slots]
        self._cut(same + len(slots))
        return same + len(slots)

    def _cut(self, length: int) -> None:
        """Let go of all slots behind the first; a pass that failed may have left some in places."""
        for layer in self._cache.layers:
            if layer.is_initialized:
                layer.keys, layer.values = layer.keys[:, :, :length], layer.values[:, :, :length]

    def _path(self, tokens: Int[Tensor, " n"]) -> list[int]:
        """The nodes of the last tree that became text."""
        above, under = self._tree.parents.tolist(), self._tree.tokens.tolist()
        found, node = [], -1
        for token in tokens.tolist():
            steps = zip(above, under, strict=True)
            node = next((i for i, step in enumerate(steps) if step == (node, token)), -2)
            if node < 0:
                break
            found.append(node)
        return found

    def _grow(self, tree: TokenTree, warpers: Sequence[Any]) -> None:
        """Feed the nodes that are new, and let go of all if the tree is not the last one, grown."""
        tokens, parents = tree.tokens.cpu(), tree.parents.cpu()
        known = len(self._tree.tokens)
        if not (
            torch.equal(tokens[:known], self._tree.tokens)
            and torch.equal(parents[:known], self._tree.parents)
        ):
            known, self._rows = 0, 1
            self._tree = TokenTree(tokens[:0], parents[:0])
        if known == len(tokens):
            return
        self._cut(len(self._ids) + known)
        seen = reach(parents[None])[0, known + 1 :, 1:].to(self._draft.device)
        depth = seen.sum(-1) - 1
        output = self._draft(
            input_ids=tokens[None, known:].to(self._draft.device),
            position_ids=(len(self._ids) + depth)[None],
            attention_mask=self._mask(seen),
            **{CACHE: self._cache},
            use_cache=True,
        )
        self._tree = TokenTree(tokens, parents)
        self._note(output.logits[0], warpers)

    def _mask(self, seen: Bool[Tensor, "t m"]) -> Tensor:
        """What each new node attends to: the text, and in the tree the nodes above it."""
        mask = torch.cat([seen.new_ones(len(seen), len(self._ids)), seen], 1)[None, None]
        if self._draft.config._attn_implementation != "eager":
            return mask
        none = torch.zeros((), dtype=self._draft.dtype, device=mask.device)
        return torch.where(mask, none, torch.finfo(self._draft.dtype).min)

    def _note(self, scores: Float[Tensor, "t v"], warpers: Sequence[Any]) -> None:
        """Write the probabilities of the next rows."""
        scores = scores.float()
        for warper in warpers:
            scores = warper(None, scores)
        stop = self._rows + len(scores)
        if stop > len(self._probs):
            more = self._probs.new_empty(stop, scores.shape[1])
            self._probs = torch.cat([self._probs, more])
        self._probs[self._rows : stop] = scores.softmax(-1)
        self._rows = stop


def _text_config(model: Any) -> Any:
    return model.config.get_text_config(decoder=True)


def _tokenizer(model: Any) -> Any:
    """The tokenizer that lies beside a model's weights; None when there is none."""
    name = getattr(model, "name_or_path", "")
    if not name:
        return None
    try:
        return AutoTokenizer.from_pretrained(name, local_files_only=True)
    except (OSError, ValueError):
        return None
