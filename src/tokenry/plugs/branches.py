"""One key-value cache for many continuations: a tree of tokens, each seeing its own past only."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.plugs.attachment import MARK
from tokenry.plugs.past import CACHE
from tokenry.plugs.positions import positions

_CHUNK = 512  # tokens of a prompt in a pass
_DEAD = 32  # slots of abandoned branches that are tolerated


@dataclass(eq=False, slots=True)
class Branch:
    """A token in the tree.

    Attributes:
        parent: The token before it; None at the root.
        token: Its id.
        depth: Its position in the text.
        slot: Its slot in the cache; -1 when it has none.
        children: The tokens behind it, by id.
    """

    parent: Branch | None
    token: int
    depth: int
    slot: int = -1
    children: dict[int, Branch] = field(default_factory=dict)

    def child(self, token: int) -> Branch:
        """The branch that goes on with a token; the same one each time."""
        if token not in self.children:
            self.children[token] = Branch(self, token, self.depth + 1)
        return self.children[token]

    @property
    def tokens(self) -> list[int]:
        """The ids from the root to this token."""
        found: list[int] = []
        branch: Branch | None = self
        while branch is not None:
            found.append(branch.token)
            branch = branch.parent
        return found[::-1]


class BranchingCache:
    """The keys and values of a tree of tokens; what branches share is encoded once.

    Args:
        model: A causal language model with full attention in every layer, under sdpa or eager
            attention, that is told positions.
        owner: Who speaks in error messages.

    Raises:
        UnsupportedModelError: If branches cannot be kept apart in this model.

    Attributes:
        passes: Passes of the model so far.
        read: Tokens that the model ran on.
    """

    def __init__(self, model: Any, owner: str) -> None:
        _check(model, owner)
        self._model, self._owner = model, owner
        self._cache = DynamicCache(config=model.config)
        self._slots: list[Branch] = []
        self._trunk = 0  # so many first slots are seen by every branch
        self.passes = self.read = 0

    def __len__(self) -> int:
        return len(self._slots)

    def feed(self, tokens: Sequence[int]) -> tuple[Branch, Float[Tensor, " v"]]:
        """Encode a text, but for what the cache holds of it already; forget everything else.

        Args:
            tokens: The text, not empty.

        Returns:
            Its last token, and the log-probabilities of the one behind it.
        """
        same = bool(self._slots) and self._slots[0].token == tokens[0]
        chain = [self._slots[0] if same else Branch(None, tokens[0], 0)]
        for token in tokens[1:]:
            chain.append(chain[-1].child(token))
        known = [branch for branch in chain[:-1] if branch.slot >= 0]
        self._select(known)
        self._trunk = len(known)
        chain[-1].children = {}
        for start in range(len(known), len(chain), _CHUNK):
            scores = self._run(chain[start : start + _CHUNK], 1)
        self._trunk = len(chain)
        return chain[-1], _normalized(scores)[0]

    def clear(self) -> None:
        """Forget everything."""
        self._cache = DynamicCache(config=self._model.config)
        self._slots, self._trunk = [], 0

    def ask(self, branches: Sequence[Branch]) -> Float[Tensor, "n v"]:
        """The model's log-probabilities after each branch, in one pass.

        Args:
            branches: New ones, parents before children.
        """
        return _normalized(self._run(branches, len(branches)))

    def keep(self, leaves: Iterable[Branch]) -> None:
        """Forget what is not on the way to one of these, once it is much."""
        leaves = list(leaves)
        alive = {b.slot: b for leaf in leaves for b in self._tail(leaf)}
        if len(self._slots) - self._trunk - len(alive) < _DEAD:
            return
        for branch in self._slots[self._trunk :]:
            if branch.slot not in alive and branch.parent is not None:
                branch.parent.children.pop(branch.token, None)
        tails = [{b.slot for b in self._tail(leaf)} for leaf in leaves]
        shared = len(set.intersection(*tails))
        tail = sorted(alive.values(), key=lambda branch: branch.depth)
        self._select([*self._slots[: self._trunk], *tail])
        self._trunk += shared

    def past(self, branch: Branch) -> DynamicCache:
        """The cache of one text alone; what is added to it does not come back."""
        tail = sorted(self._tail(branch), key=lambda one: one.depth)
        index = torch.tensor([*range(self._trunk), *(one.slot for one in tail)])
        pairs = [
            (x.keys[:, :, index.to(x.keys.device)], x.values[:, :, index.to(x.keys.device)])
            for x in self._layers
        ]
        return DynamicCache(pairs)

    @property
    def _layers(self) -> list[Any]:
        return list(self._cache.layers)

    def _tail(self, branch: Branch | None) -> list[Branch]:
        """What a branch sees behind the trunk, itself included."""
        found = []
        while branch is not None and not 0 <= branch.slot < self._trunk:
            found.append(branch)
            branch = branch.parent
        return [one for one in found if one.slot >= 0]

    def _select(self, branches: Sequence[Branch]) -> None:
        """Hold these slots only, in this order."""
        if [b.slot for b in branches] == list(range(len(self._slots))):
            return
        index = torch.tensor([b.slot for b in branches], dtype=torch.long)
        for layer in self._layers:
            if layer.is_initialized:
                layer.keys = layer.keys.index_select(2, index.to(layer.keys.device))
                layer.values = layer.values.index_select(2, index.to(layer.values.device))
        for branch in self._slots:
            branch.slot = -1
        for slot, branch in enumerate(branches):
            branch.slot = slot
        self._slots = list(branches)

    @torch.no_grad()
    def _run(self, branches: Sequence[Branch], wanted: int) -> Float[Tensor, "k v"]:
        most = positions(self._model)
        if most is not None and max(b.depth for b in branches) >= most:
            raise UsageError(
                f"{self._owner}: the text takes more than the {most} tokens that "
                f"{type(self._model).__name__} has positions for; give a shorter one."
            )
        old = len(self._slots)
        for slot, branch in enumerate(branches, old):
            branch.slot = slot
        self._slots.extend(branches)
        device = self._model.device
        output = self._model(
            input_ids=torch.tensor([[b.token for b in branches]], device=device),
            position_ids=torch.tensor([[b.depth for b in branches]], device=device),
            attention_mask=self._mask(branches, old),
            **{CACHE: self._cache},
            use_cache=True,
            logits_to_keep=wanted,
        )
        self.passes += 1
        self.read += len(branches)
        scores: Tensor = output.logits[0, -wanted:]
        return scores

    def _mask(self, branches: Sequence[Branch], old: int) -> Float[Tensor, "1 1 t s"] | None:
        """What each branch sees; None when that is all there is before it."""
        if all(branch.depth == old + i for i, branch in enumerate(branches)):
            return None
        dtype = self._model.dtype
        mask = torch.full((len(branches), len(self._slots)), torch.finfo(dtype).min, dtype=dtype)
        mask[:, : self._trunk] = 0
        for row, branch in zip(mask, branches, strict=True):
            row[[one.slot for one in self._tail(branch)]] = 0
        return mask[None, None].to(self._model.device)


def _normalized(scores: Float[Tensor, "k v"]) -> Float[Tensor, "k v"]:
    return scores.double().log_softmax(-1).cpu()


def _check(model: Any, owner: str) -> None:
    """Refuse a model whose branches cannot be kept apart, with the reason."""
    name, config = type(model).__name__, model.config
    if any(MARK in vars(module) for module in model.modules()):
        raise UsageError(
            f"{owner}: something is attached to this {name}; detach it, or give another copy of "
            "the model."
        )
    if config.is_encoder_decoder or not model.can_generate():
        raise UnsupportedModelError(f"{owner}: {name} is not a causal language model.")
    told = "position_ids" in inspect.signature(model.forward).parameters
    if not told or getattr(config, "alibi", False):
        raise UnsupportedModelError(
            f"{owner}: {name} finds positions by itself, and cannot be told where a branch stands."
        )
    layers = DynamicCache(config=config).layers
    other = [i for i, layer in enumerate(layers) if type(layer) is not DynamicLayer]
    if other:
        raise UnsupportedModelError(
            f"{owner}: {name} has sliding-window or linear attention in {len(other)} of "
            f"{len(layers)} layers (the first is layer {other[0]}); only full attention in every "
            "layer is supported."
        )
    kind = getattr(config, "_attn_implementation", "eager")
    if kind not in ("sdpa", "eager"):
        raise UnsupportedModelError(
            f"{owner}: {name} runs {kind!r} attention, which takes no mask of branches; load it "
            "with attn_implementation='sdpa' or 'eager'."
        )
