"""Models that read and write words: bytes are pooled into words in front of any decoder."""

from __future__ import annotations

import copy
from dataclasses import asdict
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    DynamicCache,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutput

from tokenry import catalog
from tokenry.errors import UsageError
from tokenry.method import Pooling
from tokenry.ops.attention import additive
from tokenry.plugs.packing import form_of
from tokenry.plugs.past import CACHE
from tokenry.plugs.word_batches import END, WordCollator

UNITS = END + 1


class PooledConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """What a `PooledModel` is made of.

    Args:
        main: The configuration of the main model, as a dictionary with its `model_type`.
        pooling: The rule: its name as `method`, and its settings.
        **kwargs: What every configuration of transformers has.
    """

    model_type = "tokenry-word-pooled"

    def __init__(
        self,
        main: dict[str, Any] | None = None,
        pooling: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.main = main
        self.pooling = pooling or {"method": "word-pooling"}
        super().__init__(**kwargs)

    @property
    def method(self) -> Pooling:
        """The rule."""
        settings = dict(self.pooling)
        name: str = settings.pop("method")
        return catalog.configured(name, Pooling, "PooledConfig", **settings)


class PooledModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """A language model over words: an encoder pools bytes, a main model reads words, one spells.

    Encoder and decoder have the main model's kind of layers, a few of them. `over` makes one of
    any decoder; `save_pretrained` and `from_pretrained` keep it in safetensors.

    Args:
        config: What it is made of.

    Raises:
        UsageError: If the configuration names no main model.
        UnsupportedModelError: If the main model has sliding windows, which a mask of words would
            undo.
    """

    config_class = PooledConfig
    main_input_name = "input_ids"
    base_model_prefix = "pooled"
    _supports_sdpa = True

    def __init__(self, config: PooledConfig) -> None:
        super().__init__(config)
        self.method = config.method
        if config.main is None:
            raise UsageError(
                "PooledModel: the configuration names no main model; make a model with "
                "PooledModel.over(decoder)."
            )
        main = AutoConfig.for_model(**config.main)
        d, n = main.hidden_size, self.method.prefix
        positions = n + self.method.longest
        self.slots = nn.Embedding(n, d)
        self.units = nn.Embedding(END, d)
        rule, attention = self.method, config._attn_implementation
        self.encoder, self.main, self.decoder = (
            cast(Any, AutoModel).from_config(one, attn_implementation=attention)
            for one in (
                _shallow(main, rule.encoder_layers, positions),
                main,
                _shallow(main, rule.decoder_layers, positions),
            )
        )
        self.head = nn.Linear(d, UNITS, bias=False)
        for part in (self.encoder, self.main, self.decoder):
            part.get_input_embeddings().requires_grad_(False)  # never read: they get vectors
        form_of(self.main, main.max_position_embeddings, "PooledModel")
        self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def over(cls, decoder: nn.Module, method: str | Pooling = "word-pooling") -> PooledModel:
        """A model whose main model is a copy of a decoder, without its vocabulary.

        Args:
            decoder: A causal language model of transformers, or the decoder inside one; trained or
                not. Its layers are kept, its token embeddings and its head are not.
            method: "word-pooling", with settings in parentheses, or an instance.

        Raises:
            UnsupportedModelError: If it has sliding windows, which a mask of words would undo.
        """
        inner: Any = cast(Any, decoder).base_model
        rule = catalog.configured(method, Pooling, "PooledModel")
        config = copy.deepcopy(inner.config)
        config.vocab_size, config.pad_token_id = 1, None
        config.bos_token_id = config.eos_token_id = None
        main = {key: value for key, value in config.to_dict().items() if key != "dtype"}
        made = PooledConfig(main=main, pooling={"method": rule.card.slug, **asdict(rule)})
        # Not .to(dtype), which would round the frequencies of rotary positions too.
        model: PooledModel = cast(Any, cls)._from_config(made, dtype=inner.dtype)
        table, kept = inner.get_input_embeddings().weight, inner.state_dict()
        name = next(name for name, weight in inner.named_parameters() if weight is table)
        kept[name] = model.main.get_input_embeddings().weight
        model.main.load_state_dict(kept)
        model.to(inner.device)
        return model

    def forward(
        self,
        input_ids: Int[Tensor, "b w c"],
        attention_mask: Tensor | None = None,
        labels: Int[Tensor, "b w c1"] | None = None,
    ) -> CausalLMOutput:
        """One pass over whole texts, each word spelled from the words before it.

        Args:
            input_ids: Bytes of each word, `END` behind them.
            attention_mask: 1 for words, 0 for padding, `(b, w)`; None for no padding.
            labels: Bytes and end of each word, -100 for what does not count; those of the first
                word never do.

        Returns:
            The loss, if there were labels, and the logits of each word but the first: of its
            bytes and its end, `(b, w - 1, c + 1, 257)`.

        Raises:
            UsageError: If words have more bytes than the method allows, or there is but one.
        """
        b, w, c = input_ids.shape
        if c > self.method.longest or w < 2:
            raise UsageError(
                f"PooledModel: got {w} words of up to {c} bytes; allowed: at least 2 words of at "
                f"most {self.method.longest} bytes. Use a WordCollator with the model's method."
            )
        real = input_ids.new_ones(b, w) if attention_mask is None else attention_mask
        states = self._read(self._pool(input_ids[:, :-1]), real[:, :-1].bool())
        logits = self._spell(states.flatten(0, 1), input_ids[:, 1:].flatten(0, 1))
        logits = logits.view(b, w - 1, c + 1, UNITS)
        loss = None if labels is None else self.method.loss(logits, labels[:, 1:])
        return CausalLMOutput(loss=loss, logits=logits)

    def _pool(self, units: Int[Tensor, "b w c"]) -> Float[Tensor, "b w n d"]:
        """The slots of each word, as its bytes fill them; equal words are read once."""
        words, where = torch.unique(units.flatten(0, 1), dim=0, return_inverse=True)
        empty = self.slots.weight.expand(len(words), -1, -1)
        x = torch.cat([empty, self._embed(words)], 1)
        seen = additive(self.method.inside(words != END), x.dtype)[:, None]
        out = self.encoder(inputs_embeds=x, attention_mask=seen, use_cache=False)
        filled: Tensor = out.last_hidden_state[:, : self.method.prefix]
        return filled[where].view(*units.shape[:2], *filled.shape[1:])

    def _read(
        self, words: Float[Tensor, "b w n d"], real: Bool[Tensor, "b w"]
    ) -> Float[Tensor, "b w n d"]:
        """What the main model makes of all words."""
        x = words.flatten(1, 2)
        out = self.main(
            inputs_embeds=x,
            attention_mask=additive(self.method.between(real), x.dtype)[:, None],
            position_ids=self.method.places(0, words.shape[1]).to(x.device).unsqueeze(0),
            use_cache=False,
        )
        found: Tensor = out.last_hidden_state.view_as(words)
        return found

    def _spell(
        self, states: Float[Tensor, "m n d"], units: Int[Tensor, "m c"]
    ) -> Float[Tensor, "m c1 v"]:
        """Logits of each byte of a word and of its end, given the bytes before."""
        x = torch.cat([states, self._embed(units)], 1)
        out = self.decoder(inputs_embeds=x, use_cache=False).last_hidden_state
        found: Tensor = self.head(out[:, self.method.prefix - 1 :])
        return found

    def _embed(self, units: Int[Tensor, "m c"]) -> Float[Tensor, "m c d"]:
        """Embeddings of bytes; what stands behind them is seen by none."""
        found: Tensor = self.units(units.clamp(max=END - 1))
        return found

    @torch.no_grad()
    def write(
        self,
        prompt: bytes | str = b"",
        max_new_words: int = 32,
        *,
        do_sample: bool = False,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> bytes:
        """Go on with a text, word by word, until a word of no bytes ends it.

        Args:
            prompt: The text; its last word is taken as whole.
            max_new_words: Most words to write.
            do_sample: Draw each byte; else take the likeliest.
            temperature: Of the distribution over bytes.
            generator: Source of random numbers.

        Returns:
            What is new.

        Raises:
            UsageError: If the temperature is not above 0.
        """
        if not temperature > 0:
            raise UsageError(
                f"write: temperature={temperature} is not above 0; for the likeliest byte give "
                "do_sample=False."
            )
        batch = WordCollator(self.method)([prompt])
        fresh, cache, written = batch["input_ids"].to(self.device), DynamicCache(), b""
        count, heat = 0, temperature if do_sample else 0.0
        for _ in range(max_new_words):
            states = self._go_on(self._pool(fresh), count, cache)
            count += fresh.shape[1]
            word = self._one_word(states, heat, generator)
            if not word:
                break
            written += word
            fresh = torch.tensor([[[*word]]], device=self.device)
        return written

    def _go_on(
        self, words: Float[Tensor, "1 w n d"], before: int, cache: Any
    ) -> Float[Tensor, "1 n d"]:
        """What the main model makes of the last of some new words."""
        w, n = words.shape[1:3]
        stop, x = before + w, words.flatten(1, 2)
        seen = self.method.between(x.new_ones(1, stop, dtype=torch.bool))[:, before * n :]
        out = self.main(
            inputs_embeds=x,
            attention_mask=additive(seen, x.dtype)[:, None],
            position_ids=self.method.places(before, stop).to(x.device).unsqueeze(0),
            **{CACHE: cache},
            use_cache=True,
        )
        last: Tensor = out.last_hidden_state[:, -n:]
        return last

    def _one_word(
        self, x: Float[Tensor, "1 n d"], heat: float, generator: torch.Generator | None
    ) -> bytes:
        """The next word, spelled behind the slots of the last one."""
        word, cache = b"", DynamicCache()
        while len(word) < self.method.longest:
            out = self.decoder(inputs_embeds=x, **{CACHE: cache}, use_cache=True)
            scores = self.head(out.last_hidden_state[0, -1]).float().cpu()  # where generators draw
            unit = int(scores.argmax())
            if heat:
                unit = int(torch.multinomial((scores / heat).softmax(-1), 1, generator=generator))
            if unit == END:
                break
            word += bytes([unit])
            x = self._embed(torch.tensor([[unit]], device=x.device))
        return word


def _shallow(config: PreTrainedConfig, layers: int, positions: int) -> PreTrainedConfig:
    """A configuration of the same width with fewer layers, for texts of a few units."""
    made: Any = copy.deepcopy(config)
    made.num_hidden_layers, made.max_position_embeddings = layers, positions
    if getattr(made, "layer_types", None):
        made.layer_types = made.layer_types[:layers]
    return cast(PreTrainedConfig, made)
