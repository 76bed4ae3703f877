"""The contract of drafters: tokens proposed ahead of a model, which one pass of it verifies."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from tokenry.method.base import In, Method

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, Int
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class TokenTree:
    """Tokens that may follow a text; the root, which is no node, is the text's last token.

    Parents stand before their children, and the most promising nodes first, so that the first
    `k` nodes are the draft that a budget of `k` would have got.

    Attributes:
        tokens: The token of each node.
        parents: The node that each stands under; -1 is the root.
        probs: Where tokens were drawn at random: the distribution that the children of the root
            (row 0) and of each node (row `i + 1`) were drawn from, one after the other without
            putting back. None: tokens were chosen, not drawn.
    """

    tokens: Int[Tensor, " n"]
    parents: Int[Tensor, " n"]
    probs: Float[Tensor, "n+1 v"] | None = None


@dataclass(frozen=True, slots=True)
class DraftView:
    """What a drafter sees of one text, and nothing else of the model.

    Attributes:
        text: Tokens of prompt and answer so far, without padding; of an encoder-decoder model
            those of the decoder.
        source: Tokens that the encoder read, or the prompt of a decoder; None where an encoder read
            no tokens of this vocabulary.
        count: Most nodes that a draft may have; the positions left allow as many.
        sampling: Whether tokens are drawn from the model's distribution, not chosen greedily.
        memory: What the drafter noted, kept from request to request.
        scratch: What it noted of this text, empty at its start.
        guide: The draft model, for drafters that have one: for a tree under the text its
            probabilities at the root (row 0) and each node (row `i + 1`), through the same
            temperature and filters as the model's own.
        fill: The model that fills in masks, for drafters that have one: its scores of the next
            `k` tokens, each without the others.
    """

    text: Int[Tensor, " n"]
    source: Int[Tensor, " s"] | None
    count: int
    sampling: bool
    memory: dict[str, Any]
    scratch: dict[str, Any]
    guide: Callable[[TokenTree], Float[Tensor, "n+1 v"]] | None = None
    fill: Callable[[int], Float[Tensor, "k v"]] | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """What a pass of the model said of a draft.

    Attributes:
        tree: The draft.
        scores: The model's scores after the root (row 0) and after each node (row `i + 1`).
        accepted: Nodes that became part of the text, in order.
        token: The token that the model itself put behind them.
    """

    tree: TokenTree
    scores: Float[Tensor, "n+1 v"]
    accepted: Int[Tensor, " a"]
    token: int


@dataclass(frozen=True, kw_only=True)
class Drafter(Method):
    """Proposes tokens ahead; the model verifies them all in one pass, and its output is unchanged.

    A subclass writes `draft`, and `learn` if it learns from what the model says.
    """

    noun: ClassVar[str] = "drafter"

    budget: Annotated[
        int | None,
        In(1, 1024),
        "how many tokens a pass may verify, the last accepted one included; None measures once "
        "what passes cost on this machine and chooses what pays",
    ] = None

    @property
    def exact(self) -> bool:
        """Whether greedy output is the model's own token for token.

        Only where it is not are drafted tokens accepted as `accepts` says.
        """
        return True

    @property
    def reads_prompt(self) -> bool:
        """Whether `learn` is shown the prompt too: a draft under its first token, all accepted."""
        return False

    @abstractmethod
    def draft(self, view: DraftView) -> TokenTree:
        """Propose up to `view.count` nodes; fewer, or none, where nothing is promising."""

    def accepts(self, scores: Float[Tensor, " v"], token: int) -> bool:
        """Whether greedy search takes a drafted token where the model has these scores."""
        return token == int(scores.argmax())

    def learn(self, view: DraftView, seen: Verified) -> None:
        """Take note of what the model said, in `view.memory` or `view.scratch`."""
