"""A drafter on a model: what `model.generate` does while it is attached."""

from __future__ import annotations

import inspect
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers.generation.stopping_criteria import StoppingCriteriaList, StopStringCriteria
from transformers.generation.utils import GenerateDecoderOnlyOutput, GenerateEncoderDecoderOutput

from tokenry.errors import UsageError
from tokenry.method import Drafter
from tokenry.plugs.attachment import MARK, Attachment
from tokenry.plugs.cache_trace import CacheTrace
from tokenry.plugs.caching import Caching
from tokenry.plugs.drafting_admission import (
    admit_cache,
    refuse_call,
    refuse_carried,
    refuse_config,
    refuse_model,
    release_cache,
)
from tokenry.plugs.drafting_budget import Chosen, Fixed
from tokenry.plugs.drafting_curve import Curve, curve
from tokenry.plugs.drafting_cut import CutGround, refuse_together
from tokenry.plugs.drafting_ground import Ground
from tokenry.plugs.drafting_loop import Loop
from tokenry.plugs.drafting_rules import Rules
from tokenry.plugs.drafting_seq2seq import SeqGround, sources
from tokenry.plugs.drafting_texts import Stream, Texts, stacked
from tokenry.plugs.filling import Filler, Filling
from tokenry.plugs.guide import Guide
from tokenry.plugs.past import CACHE
from tokenry.plugs.positions import positions


@dataclass(frozen=True, slots=True)
class DraftTrace:
    """What became of the drafts in the last call of `generate`.

    Attributes:
        tokens: Tokens that were written, in all rows.
        passes: Passes of the model that wrote them, that over the prompt included.
        plain: Passes that plain decoding would have needed: the tokens of the longest answer.
        offered: How many nodes each row was offered in each pass that had room for drafts; -1
            where it was done.
        accepted: The same for the nodes that the model accepted.
        drafted: Which tokens of the output, prompts included, came from a draft.
        curve: What passes cost on this machine; None where the budget was given.
        verdict: What was decided about the budget, and why.
        cache: What the cache policy of a stack held after the last pass; None without one.
    """

    tokens: int
    passes: int
    plain: int
    offered: Int[Tensor, "p b"]
    accepted: Int[Tensor, "p b"]
    drafted: Bool[Tensor, "b n"]
    curve: Curve | None
    verdict: str
    cache: CacheTrace | None = None

    @property
    def share(self) -> float:
        """Passes for each one that plain decoding would have needed."""
        return self.passes / self.plain

    @property
    def accepted_length(self) -> float:
        """Mean number of drafted tokens that one pass of a row accepted."""
        told = self.accepted[self.accepted >= 0]
        return float(told.float().mean()) if told.numel() else 0.0

    @property
    def limit(self) -> float | None:
        """How many times as fast as plain decoding these passes can be, by the measured curve.

        The prompt's pass is left out on both sides. None without a curve.
        """
        if self.curve is None or not len(self.offered):
            return None
        sizes = (1 + self.offered.amax(1)).tolist()
        plain = (self.plain - 1) * self.curve.cost(1)
        return plain / sum(self.curve.cost(size) for size in sizes)


class Drafting(Attachment[Drafter]):
    """A drafter on a model. Made by `attach`; not safe for two threads at once.

    Without a budget the size of drafts follows how long drafting took, so that tokens drawn from
    the same seed may differ from run to run; their distribution does not. Greedy output never does.

    Attributes:
        memory: What the drafter noted, kept from call to call.
    """

    trace: DraftTrace | None

    def __init__(self, model: nn.Module, method: Drafter, below: Caching | None = None) -> None:
        self.method, self._below = method, below
        self.trace = None
        self.memory: dict[str, Any] = {}
        self._chosen: dict[int, Chosen] = {}
        self._owner = type(method).__name__
        self._model: Any = model
        refuse_carried(self._owner, model, below)
        refuse_model(self._owner, model)
        filler = getattr(method, "filler", None)
        self._filler = None if filler is None else Filler(self._owner, filler, model)
        draft = getattr(method, "model", None)
        self._guide = None if draft is None else Guide(self._owner, draft, model)
        parts = {id(one): one for one in (model, self._model.base_model)}
        self._marked = [one for one in parts.values() if MARK not in one.__dict__]
        for module in self._marked:
            module.__dict__[MARK] = self
        self._held = model.__dict__.get("generate")
        model.__dict__["generate"] = self.generate

    def detach(self) -> None:
        """Give the model back exactly as it was; a second call does nothing."""
        if self._below is not None:
            self._below.detach()
        if self._model.__dict__.get(MARK) is not self:
            return
        for module in self._marked:
            del module.__dict__[MARK]
        del self._model.__dict__["generate"]
        if self._held is not None:
            self._model.__dict__["generate"] = self._held

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """What the model's own `generate` returns, with drafts.

        Raises:
            UsageError: If it is told to decode in a way that drafts cannot serve.
        """
        refuse_model(self._owner, self._model)
        own = type(self._model).generate
        given = inspect.signature(own).bind(self._model, *args, **kwargs).arguments
        rest = given.pop("kwargs", {})
        refuse_call(self._owner, given)
        given.pop("self")
        streamer = given.get("streamer")
        self._stop_strings(given, rest)

        def decode(
            model: Any,
            input_ids: Tensor,
            inputs_tensor: Tensor,
            logits_processor: Any,
            stopping_criteria: Any,
            generation_config: Any,
            **model_kwargs: Any,
        ) -> Any:
            rules = Rules(logits_processor, stopping_criteria, len(input_ids))
            refuse_config(
                self._owner, generation_config, logits_processor, len(input_ids), model_kwargs
            )
            texts = _texts(model, input_ids, inputs_tensor, model_kwargs, rules.limit)
            return self._decode(input_ids, texts, rules, generation_config, model_kwargs, streamer)

        return own(self._model, **given, **rest, custom_generate=decode)

    def _stop_strings(self, given: dict[str, Any], rest: dict[str, Any]) -> None:
        """Make a criterion of stop strings: `generate` would lose the tokenizer that they need."""
        tokenizer = rest.pop("tokenizer", None)
        configs = (given.get("generation_config"), self._model.generation_config)
        strings = rest.get("stop_strings")
        for config in configs:
            strings = strings or getattr(config, "stop_strings", None)
        if not strings:
            return
        if tokenizer is None:
            raise UsageError(
                f"{self._owner}: generate was given stop_strings={strings!r} but no tokenizer to "
                "find them with; give generate the model's tokenizer as tokenizer=."
            )
        criterion = StopStringCriteria(stop_strings=strings, tokenizer=tokenizer)
        before = given.get("stopping_criteria") or []
        given["stopping_criteria"] = StoppingCriteriaList([*before, criterion])
        rest["stop_strings"] = None

    def _decode(
        self,
        ids: Int[Tensor, "b n"],
        texts: Texts,
        rules: Rules,
        config: Any,
        kwargs: dict[str, Any],
        out: Any,
    ) -> Any:
        if not ids.shape[1] and kwargs.get("inputs_embeds") is None:
            raise UsageError(
                f"{self._owner}: the prompt is empty; give at least one token, such as the model's "
                "beginning of text."
            )
        cache: Any = kwargs.get(CACHE)
        if self._below is None:
            cache = admit_cache(self._owner, self._model, cache)
        else:
            refuse_together(self._owner, self._below.method, len(ids))
        pad = 0 if config._pad_token_tensor is None else int(config._pad_token_tensor)
        stream = Stream(out, texts, pad)
        counts = self._counts(len(ids), texts.limit - ids.shape[1])
        try:
            ground, scores = self._start(ids, cache, config, kwargs)
            loop = self._loop(texts, rules, config, stream, counts)
            loop.run(ground, scores)
            ground.drop([row.stop - (row.end or row.stop) for row in texts.rows])
        finally:
            if config.return_dict_in_generate or getattr(cache, "_is_user_defined", False):
                release_cache(cache)
        stream.end()
        cut = None if self._below is None else self._below.trace
        self.trace = _traced(loop, texts, counts, cut)
        return _output(self._model, texts, pad, config, kwargs[CACHE])

    def _start(
        self, ids: Int[Tensor, "b n"], cache: Any, config: Any, kwargs: dict[str, Any]
    ) -> tuple[Ground | SeqGround, Float[Tensor, "b t v"] | None]:
        """The prompt, read, and the scores after its last token, or after each.

        None where it is one token, which goes in together with the first draft.
        """
        if _reads(self._model):
            ground = SeqGround(self._model, kwargs[CACHE], kwargs, len(ids))
            return ground, ground.read(ids)
        given = kwargs
        if self.method.reads_prompt and "logits_to_keep" in kwargs:
            given = {**kwargs, "logits_to_keep": 0}
        scores: Tensor = self._model._prefill(ids, config, given).logits
        if self._below is not None:
            return CutGround(self._model, cache, kwargs, len(ids), self._below), scores
        return Ground(self._model, cache, kwargs, len(ids)), scores

    def _counts(self, batch: int, tokens: int) -> Fixed | Chosen:
        """Who sets the budget: the user, or what was seen in batches of this size."""
        if self.method.budget is not None:
            return Fixed(self.method.budget)
        if batch not in self._chosen:
            with nullcontext() if self._below is None else self._below.resting():
                step = 0.0 if self._guide is None else batch * self._guide.weigh()
                self._chosen[batch] = Chosen(curve(self._model, batch), step)
        self._chosen[batch].begin(tokens)
        return self._chosen[batch]

    def _loop(
        self, texts: Texts, rules: Rules, config: Any, stream: Stream, counts: Fixed | Chosen
    ) -> Loop:
        asked = config.return_dict_in_generate
        records = {
            "scores": asked and config.output_scores,
            "logits": asked and config.output_logits,
        }
        return Loop(
            method=self.method,
            texts=texts,
            rules=rules,
            sampling=bool(config.do_sample),
            records=frozenset(name for name, wanted in records.items() if wanted),
            memory=self.memory,
            counts=counts,
            places=positions(self._model) or sys.maxsize,
            show=stream.show,
            vocabulary=_vocabulary(self._model),
            fillings=self._fillings(texts),
            guide=self._guide,
        )

    def _fillings(self, texts: Texts) -> list[Filling] | None:
        if self._filler is None:
            return None
        return [self._filler.over(texts.source(row)) for row in texts.rows]


def _vocabulary(model: Any) -> int:
    """Tokens that an encoder-decoder knows; of other models the scores of the prompt tell."""
    return len(model.get_output_embeddings().weight) if _reads(model) else 0


def _reads(model: Any) -> bool:
    """Whether an encoder reads for the model."""
    return bool(model.config.is_encoder_decoder)


def _texts(
    model: Any, ids: Int[Tensor, "b n"], given: Tensor, kwargs: dict[str, Any], limit: int
) -> Texts:
    mask, n = kwargs.get("attention_mask"), ids.shape[1]
    if _reads(model):
        return Texts(ids, None, limit, sources(model, given, mask, len(ids)))
    real = None if mask is None or not n else mask[:, -n:].bool()
    return Texts(ids, real, limit)


def _traced(loop: Loop, texts: Texts, counts: Fixed | Chosen, cut: CacheTrace | None) -> DraftTrace:
    ends = [row.end or row.stop for row in texts.rows]
    drafted = torch.zeros(len(ends), max(ends), dtype=torch.bool)
    for row, end in zip(texts.rows, ends, strict=True):
        drafted[row.index, [place for place in row.drafted if place < end]] = True
    return DraftTrace(
        tokens=sum(end - row.prompt for row, end in zip(texts.rows, ends, strict=True)),
        passes=loop.passes,
        plain=max(ends) - texts.rows[0].prompt,
        offered=torch.tensor(loop.offered).long().reshape(-1, len(ends)),
        accepted=torch.tensor(loop.accepted).long().reshape(-1, len(ends)),
        drafted=drafted,
        curve=counts.curve,
        verdict=counts.verdict(),
        cache=cut,
    )


def _output(model: Any, texts: Texts, pad: int, config: Any, cache: Any) -> Any:
    sequences: Any = texts.sequences(pad)
    if not config.return_dict_in_generate:
        return sequences
    count = sequences.shape[1] - texts.rows[0].prompt
    noted: dict[str, Any] = {}
    if config.output_scores:
        noted["scores"] = stacked([row.scores[:count] for row in texts.rows])
    if config.output_logits:
        noted["logits"] = stacked([row.logits[:count] for row in texts.rows])
    kind = GenerateEncoderDecoderOutput if _reads(model) else GenerateDecoderOnlyOutput
    return kind(sequences=sequences, **{CACHE: cache}, **noted)
