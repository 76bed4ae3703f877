"""The contract of models that read and write words: how a text falls into words, who sees whom."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from tokenry.method.base import In, Method

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Pooling(Method):
    """Says how bytes become words, and how words travel through encoder, main model and decoder.

    `tokenry.plugs.pooling.PooledModel` is made of it. Each word has `prefix` slots, vectors that
    stand for it in the main model. A word in the plural, `w` of them, has up to `c` bytes.
    """

    noun: ClassVar[str] = "rule for words"
    pattern: ClassVar[str]
    """A regular expression whose matches, one behind the other, are all of any text."""

    prefix: Annotated[int, In(1, 64), "the slots of a word in the main model"] = 4
    longest: Annotated[int, In(1, 1024), "most bytes of a word; longer ones are cut"] = 16
    encoder_layers: Annotated[int, In(1, 100), "layers that read the bytes of a word"] = 1
    decoder_layers: Annotated[int, In(1, 100), "layers that spell the next word"] = 1

    @abstractmethod
    def words(self, text: bytes) -> list[bytes]:
        """The words of a text, none empty; joined they are the text."""

    @abstractmethod
    def inside(self, real: Bool[Tensor, "m c"]) -> Bool[Tensor, "m q q"]:
        """Who sees whom in the encoder: the slots of a word, then its bytes, `q = prefix + c`."""

    @abstractmethod
    def between(self, real: Bool[Tensor, "b w"]) -> Bool[Tensor, "b s s"]:
        """Who sees whom in the main model, of `s = w * prefix` slots."""

    @abstractmethod
    def places(self, start: int, stop: int) -> Int[Tensor, " s"]:
        """The positions in the main model of the slots of the words from start to stop."""

    @abstractmethod
    def loss(self, logits: Float[Tensor, "*w v"], labels: Int[Tensor, "*w"]) -> Float[Tensor, ""]:
        """The loss over the bytes of words, and their ends; -100 is no label."""
