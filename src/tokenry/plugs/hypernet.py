"""Train a hypernetwork for a causal language model, over tokenizers drawn at random."""

from __future__ import annotations

import json
import math
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from jaxtyping import Float, Int
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from tokenry.alphabet import to_bytes, to_letters
from tokenry.errors import UsageError
from tokenry.method import Embeddings, Vocab
from tokenry.ops.hypernet import (
    HypernetShape,
    Hypernetwork,
    Rows,
    identity_loss,
    lexical_loss,
)
from tokenry.ops.padding import padded
from tokenry.ops.substrings import sample_vocabulary, substring_scores
from tokenry.ops.surface import SurfaceForms
from tokenry.plugs.moving import embeddings_of
from tokenry.plugs.vocabulary import vocabulary
from tokenry.progress import showing, track
from tokenry.zoo.hub import check_hub

_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}\p{M}]+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CHARACTERS = 16  # of a text, for each token that is read of it


@dataclass(frozen=True, kw_only=True)
class HypernetTraining:
    """How a hypernetwork is made; the defaults are the paper's, for machines with many cores.

    Attributes:
        hidden: Width of the network; the model's own when None.
        heads: Heads of its attention.
        layers: Its layers.
        pieces: Most old tokens of a new one.
        vocabulary: Pieces of each tokenizer that is drawn.
        memory: Batches whose substrings a tokenizer is drawn from.
        batch: Texts in a batch.
        length: Most tokens of each.
        identity_tokens: Old tokens in a batch of the first phase.
        identity_steps: Steps of the first phase, in which old tokens are to keep their rows.
        steps: Steps of the second, in which the model reads texts with the predicted rows.
        warmup: Steps in which the rate rises, in either phase.
        rates: Learning rates of the two phases.
        clip: Largest norm of a gradient.
        lexical: Weight of keeping the rows of old tokens, in the second phase.
        seconds: Either phase ends after its share of so many, if its steps are not done by then.
        seed: Of all that is drawn.
    """

    hidden: int | None = None
    heads: int = 32
    layers: int = 3
    pieces: int = 7
    vocabulary: int = 32_768
    memory: int = 16
    batch: int = 128
    length: int = 128
    identity_tokens: int = 16_384
    identity_steps: int = 10_000
    steps: int = 190_000
    warmup: int = 10_000
    rates: tuple[float, float] = (3e-4, 6e-5)
    clip: float = 0.1
    lexical: float = 0.5
    seconds: tuple[float, float] = (math.inf, math.inf)
    seed: int = 0


def train_hypernetwork(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    training: HypernetTraining | None = None,
    *,
    watch: Callable[[str, int, float], None] | None = None,
    progress: bool | None = None,
) -> Hypernetwork:
    r"""Train a hypernetwork that predicts rows of any tokenizer's tokens for this model.

    First it learns to give old tokens their own rows. Then each batch of texts is written with a
    tokenizer drawn from it, the hypernetwork predicts its rows, and the model, which stays as it
    is, reads the batch with them: the loss is its cross entropy and the lexical loss.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its fast tokenizer.
        texts: What the model knows to read.
        training: Sizes, steps and rates.
        watch: Told the phase, the step and the loss after each step.
        progress: Show a bar; None shows one on a terminal.

    Returns:
        The hypernetwork; `save_hypernetwork` writes its folder.

    Raises:
        UsageError: If there are no texts, or the heads do not divide the width.

    Source: Minixhofer et al. 2024, sections 3 and 4.1.
    """
    how = training or HypernetTraining()
    hidden = how.hidden or model.get_input_embeddings().weight.shape[1]
    if not any(texts) or hidden % how.heads:
        raise UsageError(
            f"train_hypernetwork: {sum(map(bool, texts))} texts that are not empty and "
            f"{how.heads} heads for a width of {hidden}; give text, and heads that divide the "
            "width."
        )
    vocab = vocabulary(tokenizer)
    old = embeddings_of(model, vocab)
    torch.manual_seed(how.seed)
    forms = SurfaceForms(vocab.scribe.write, vocab.spelled, how.pieces, len(vocab) + 256)
    net = Hypernetwork(_shape(old, len(vocab), how, hidden, forms.extra)).to(old.input.device)
    source = _source(old).float()
    net.fit_rescalers(torch.arange(len(vocab), device=source.device)[:, None], source)
    lessons = _Lessons(net, source, vocab, forms, texts, how)
    with _frozen(model), showing(progress):
        for phase, step in enumerate((lessons.identity, lambda: lessons.reading(model, old))):
            _phase(net, step, how, phase, watch)
    return net.eval()


def _shape(
    old: Embeddings, vocabulary: int, how: HypernetTraining, hidden: int, extra: int
) -> HypernetShape:
    return HypernetShape(
        width=old.input.shape[1],
        vocabulary=vocabulary,
        hidden=hidden,
        inner=2 * hidden,
        heads=how.heads,
        padding=vocabulary + 256,  # beyond all ids
        layers=how.layers,
        pieces=how.pieces,
        extra=extra,
        separate=old.output is not None,
        bias=old.bias is not None,
    )


def _source(old: Embeddings) -> Float[Tensor, "v s"]:
    """The old rows as the hypernetwork reads them."""
    return old.input if old.output is None else torch.cat([old.input, old.output], 1)


@contextmanager
def _frozen(model: Any) -> Iterator[None]:
    """The model without gradients and dropout; as it was afterwards."""
    was, training = [p.requires_grad for p in model.parameters()], model.training
    model.requires_grad_(False).eval()
    try:
        yield
    finally:
        for parameter, wanted in zip(model.parameters(), was, strict=True):
            parameter.requires_grad_(wanted)
        model.train(training)


def _phase(
    net: Hypernetwork,
    loss_of: Callable[[], Tensor],
    how: HypernetTraining,
    phase: int,
    watch: Callable[[str, int, float], None] | None,
) -> None:
    """Identity steps (0), which only warm up, or reading steps (1), whose rate falls to nothing."""
    name, steps = ("identity", "reading")[phase], (how.identity_steps, how.steps)[phase]
    optimizer = torch.optim.AdamW(
        net.parameters(), how.rates[phase], (0.9, 0.95), weight_decay=0.01
    )
    start = time.monotonic()
    for step in track(range(steps), name, unit="step"):
        done = max(step / max(1, steps), (time.monotonic() - start) / how.seconds[phase])
        if done >= 1:
            return
        fall = math.cos(done * math.pi / 2) ** 2 if phase else 1.0
        optimizer.param_groups[0]["lr"] = how.rates[phase] * min(1, (step + 1) / how.warmup) * fall
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), how.clip)
        optimizer.step()
        if watch is not None:
            watch(name, step, loss.item())


class _Lessons:
    """What the hypernetwork learns from, a loss at a time."""

    def __init__(
        self,
        net: Hypernetwork,
        source: Tensor,
        vocab: Vocab,
        forms: SurfaceForms,
        texts: Sequence[str],
        how: HypernetTraining,
    ) -> None:
        self._net, self._source, self._vocab, self._how = net, source, vocab, how
        self._texts = [text for text in texts if text]
        self._draw = np.random.default_rng(how.seed)
        self._choose = random.Random(how.seed)  # noqa: S311 - no secret
        self._forms = forms
        self._special = sorted(set(vocab.special.values()))
        self._bos = vocab.special.get("bos_token")
        self._memory: deque[Counter[bytes]] = deque(maxlen=how.memory)
        for _ in range(how.memory - 1):
            self._memory.append(scores_of(self._batch()))

    def _batch(self) -> list[str]:
        """Parts of some texts."""
        most, found = _CHARACTERS * self._how.length, []
        for text in self._choose.choices(self._texts, k=self._how.batch):
            start = self._choose.randrange(max(1, len(text) - most + 1))
            found.append(text[start : start + most])
        return found

    def identity(self) -> Tensor:
        """Old tokens are to keep their rows."""
        count = min(self._how.identity_tokens, len(self._vocab))
        some = torch.from_numpy(self._draw.permutation(len(self._vocab))[:count])
        some = some.to(self._source.device)
        return identity_loss(self._net(some[:, None], self._source), self._source[some])

    def reading(self, model: Any, old: Embeddings) -> Tensor:
        """The model is to read a batch in a tokenizer drawn from it."""
        texts = self._batch()
        self._memory.append(scores_of(texts))
        total: Counter[bytes] = Counter()
        for scores in self._memory:
            total.update(scores)
        pieces = sample_vocabulary(total, self._how.vocabulary, self._draw)
        forms = self._forms([piece for piece, _ in pieces]).to(self._source.device)
        rows = self._net(forms, self._source)
        lexical = lexical_loss(rows, self._source, forms, self._net.shape.padding)
        ids = [one.ids for one in sampled_tokenizer(pieces).encode_batch_fast(texts)]
        return self._said(model, old, rows, ids) + self._how.lexical * lexical

    def _said(self, model: Any, old: Embeddings, rows: Rows, ids: list[list[int]]) -> Tensor:
        """Cross entropy of a batch; special tokens have their own rows, behind the others."""
        n, length = len(rows.input), self._how.length
        first = [] if self._bos is None else [n + self._special.index(self._bos)]
        cut = [[*first, *text][:length] for text in ids]
        tokens, _ = padded(cut, -100, device=self._source.device)
        made = Embeddings(
            input=self._joined(rows.input, old.input),
            output=None if old.output is None else self._joined(rows.output, old.output),
            bias=None if old.bias is None else self._joined(rows.bias, old.bias),
        )
        logits = scores_with(model, made, tokens.clamp(min=0), tokens >= 0)
        return cross_entropy(logits[:, :-1].flatten(0, 1).float(), tokens[:, 1:].flatten())

    def _joined(self, made: Any, old: Tensor) -> Tensor:
        return torch.cat([made.to(old.dtype), old[self._special]])


def scores_with(
    model: Any, rows: Embeddings, ids: Int[Tensor, "b n"], mask: Tensor
) -> Float[Tensor, "b n v"]:
    """What a model says of texts if its tokens had other rows; the model stays as it is."""
    head: Any = model.get_output_embeddings()
    swapped = {id(model.get_input_embeddings().weight): rows.input}
    if rows.output is not None:
        swapped[id(head.weight)] = rows.output
    if rows.bias is not None:
        swapped[id(head.bias)] = rows.bias
    named = {name: swapped[id(p)] for name, p in model.named_parameters() if id(p) in swapped}
    given = {"input_ids": ids, "attention_mask": mask.long(), "use_cache": False}
    logits: Tensor = functional_call(model, named, (), given).logits
    return logits


def _splitter() -> Any:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def scores_of(texts: Sequence[str]) -> Counter[bytes]:
    """Scores of the substrings of texts, each with a space in front."""
    splitter = _splitter()
    words: Counter[bytes] = Counter()
    for text in texts:
        words.update(to_bytes(word) for word, _ in splitter.pre_tokenize_str(f" {text}"))
    return substring_scores(words)


def sampled_tokenizer(pieces: Sequence[tuple[bytes, float]]) -> Tokenizer:
    r"""The Unigram tokenizer of pieces that were drawn; it puts a space in front of a text.

    Args:
        pieces: Bytes and log-probabilities, all single bytes among them.

    >>> tokenizer = sampled_tokenizer([(bytes([byte]), -9.0) for byte in range(256)])
    >>> tokenizer.decode(tokenizer.encode("né").ids)
    ' né'
    """
    made = Tokenizer(models.Unigram([(to_letters(piece), score) for piece, score in pieces]))
    made.normalizer = normalizers.Prepend(" ")
    made.pre_tokenizer = _splitter()
    made.decoder = decoders.ByteLevel()
    return made


def save_hypernetwork(net: Hypernetwork, folder: str | Path) -> Path:
    """Write a hypernetwork in the layout of the published ones, as `Zett` reads it.

    Args:
        net: The hypernetwork.
        folder: Made when it is not there.
    """
    shape, folder = net.shape, Path(folder)
    config = {
        "model_type": "zett_hypernetwork",
        "n_embd": shape.width,
        "original_vocab_size": shape.vocabulary,
        "hn_hidden_size": shape.hidden,
        "hn_intermediate_size": shape.inner,
        "hn_num_attention_heads": shape.heads,
        "hn_n_layers": shape.layers,
        "hn_surface_maxlen": shape.pieces,
        "pad_token_id": shape.padding,
        "hn_n_extra_tokens": shape.extra,
        "separate_out_embeddings": shape.separate,
        "hn_predict_bias": shape.bias,
        "hn_embed_lang_id": bool(shape.languages),
        "n_langs": shape.languages,
        "hn_rescale_embeddings": True,
        "hn_embed_using_source_embeddings": True,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    save_file(
        {k: v.contiguous() for k, v in net.state_dict().items()}, folder / "model.safetensors"
    )
    return folder


def fetch_hypernetwork(name: str) -> Path:
    """The folder of a hypernetwork from the Hub, downloaded if it is not there yet.

    Args:
        name: Such as `benjamin/zett-hypernetwork-Mistral-7B-v0.1`, for the model in its name.

    Raises:
        UsageError: If there is none of this name, or no network.
    """
    files = ["config.json", "model.safetensors"]
    try:
        check_hub(name, {})
        return Path(snapshot_download(name, allow_patterns=files))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"fetch_hypernetwork: {name!r} cannot be had from the Hub: {error}; give the name of "
            "a repository, or download its config.json and model.safetensors into a folder."
        ) from error
