"""A policy on the decoder of a language model: hooks around each pass, and a say in attention."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import Any, TypeVar

from torch import Tensor, nn

from tokenry.method import CachePolicy
from tokenry.plugs.admission import Admission
from tokenry.plugs.attachment import MARK, Attachment, refuse_second
from tokenry.plugs.attention import Call, install
from tokenry.plugs.cache_trace import CacheTrace
from tokenry.plugs.decoders import find_decoder

P = TypeVar("P", bound=CachePolicy, covariant=True)


class OnDecoder(Attachment[P]):
    """A policy around the passes and attentions of a causal language model.

    What it does to them says the class that inherits. Making one only looks at the model, so that
    it can be refused; `_switch_on` is what changes it.
    """

    trace: CacheTrace | None

    def __init__(self, model: nn.Module, method: P) -> None:
        self.method = method
        self.trace = None
        self._owner = type(method).__name__
        self._decoder: Any
        self._decoder, self._row = find_decoder(model)
        refuse_second(model, self._decoder)
        self._attentions = self._row.attentions(self._decoder)
        self._admission = Admission.of(method, self._decoder, self._row)
        self._inv_freq = self._admission.inv_freq
        if method.keep < 1:
            method.check(len(self._admission.full))
        self._configs: list[Any] = []
        self._handles: list[Any] = []
        self._pass: Any = None
        """What is known of the pass under way."""

    @abstractmethod
    def attend(self, call: Call) -> Tensor:
        """The output of one attention, `(b, t, h, v)`."""

    @abstractmethod
    def _start(
        self, decoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Before a pass of the decoder: what it is given."""

    @abstractmethod
    def _finish(self, decoder: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """After a pass: what it returns; None for what it has."""

    def _switch_on(self) -> None:
        """Point the decoder and its attentions here."""
        # A copy: other models may share the config, and each must keep its own implementation.
        config = copy.copy(self._decoder.config)
        config._attn_implementation = install(config._attn_implementation, self.method)
        modules = (self._decoder, *self._attentions.values())
        self._configs = [module.config for module in modules]
        for module in modules:
            module.__dict__[MARK], module.config = self, config
        self._handles = [
            self._decoder.register_forward_pre_hook(self._start, with_kwargs=True),
            self._decoder.register_forward_hook(self._finish),
        ]

    def detach(self) -> None:
        """Give the model back exactly as it was; a second call does nothing.

        A cache that slots have gone from still serves one token at a time afterwards, with sdpa
        and without padding.
        """
        for handle in self._handles:
            handle.remove()
        self._pass = None
        if self._decoder.__dict__.get(MARK) is not self:
            return
        modules = (self._decoder, *self._attentions.values())
        for module, config in zip(modules, self._configs, strict=True):
            del module.__dict__[MARK]
            module.config = config
