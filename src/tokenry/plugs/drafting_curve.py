"""What a pass of a model costs by the tokens it reads: measured once, kept in the cache folder."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import statistics
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from tokenry.ops.tree import chain, reach
from tokenry.plugs.drafting_admission import admit_cache
from tokenry.plugs.drafting_ground import Ground
from tokenry.plugs.drafting_seq2seq import SeqGround
from tokenry.plugs.past import CACHE
from tokenry.plugs.positions import positions
from tokenry.zoo.cache import root

CONTEXT = 128
"""Tokens in the cache while passes are timed."""

_ROUNDS = 3
_LARGEST = 128
_DEAR = 6.0  # sizes above one that costs this many single tokens never pay

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Curve:
    """Seconds of a pass by the tokens per text.

    Attributes:
        seconds: For 1, 2, 4, 8, ... tokens, as far as it was measured.

    >>> Curve({1: 1.0, 2: 1.5, 4: 2.0}).cost(3)
    1.75
    """

    seconds: dict[int, float]

    @property
    def most(self) -> int:
        """The largest pass that was timed."""
        return max(self.seconds)

    def cost(self, tokens: int) -> float:
        """Seconds of a pass, between two sizes by the straight line."""
        sizes = sorted(self.seconds)
        i = min(max(bisect_left(sizes, tokens), 1), len(sizes) - 1)
        low, high = sizes[i - 1], sizes[i]
        share = (tokens - low) / (high - low)
        return self.seconds[low] + share * (self.seconds[high] - self.seconds[low])


def curve(model: Any, batch: int) -> Curve:
    """The curve of a model on its device for so many texts at once, measured if it is new."""
    path = root() / "passes" / f"{_key(model, batch)}.json"
    try:
        told = json.loads(path.read_text("utf-8"))
        return Curve({int(size): float(seconds) for size, seconds in told["seconds"].items()})
    except FileNotFoundError:
        found = measure(model, batch)
    except (OSError, ValueError, KeyError) as error:
        _log.warning("%s cannot be read (%s); timing passes again", path, error)
        found = measure(model, batch)
    _store(path, {"seconds": found.seconds, "of": _told(model, batch)})
    return found


def _store(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_suffix(f".{id(content)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(content, indent=1), "utf-8")
        partial.replace(path)
    except OSError as error:
        _log.warning("%s cannot be written (%s); passes will be timed again", path, error)


def _told(model: Any, batch: int) -> dict[str, Any]:
    """All that the cost of a pass depends on; of the weights only their number and kind."""
    device = model.device
    cuda = device.type == "cuda"
    config = {k: v for k, v in model.config.to_diff_dict().items() if k[:1] != "_"}
    return {
        "model": type(model).__name__,
        "config": config,
        "weights": sum(parameter.numel() for parameter in model.parameters()),
        "dtype": str(model.dtype),
        "attention": model.config.get_text_config(decoder=True)._attn_implementation,
        "device": torch.cuda.get_device_name(device) if cuda else f"{device} {platform.machine()}",
        "node": platform.node(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "batch": batch,
    }


def _key(model: Any, batch: int) -> str:
    told = json.dumps(_told(model, batch), sort_keys=True, default=str)
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


@torch.no_grad()
def measure(model: Any, batch: int) -> Curve:
    """Time passes over 1, 2, 4, 8, ... tokens per text behind a short cache."""
    places = positions(model) or CONTEXT + _LARGEST
    context = max(1, min(CONTEXT, places - _LARGEST, places // 2))
    ids = torch.zeros(batch, context, dtype=torch.long, device=model.device)
    ground = _read(model, ids) if model.config.is_encoder_decoder else _prompted(model, ids)
    found: dict[int, float] = {}
    for size in _sizes(places - context):
        found[size] = _time(ground, ids[:, :1].expand(-1, size))
        if len(found) > 1 and found[size] > _DEAR * found[1]:
            break
    return Curve(found)


def _prompted(model: Any, ids: Tensor) -> Ground:
    """A causal model that has read a prompt."""
    cache = DynamicCache(config=model.config.get_text_config(decoder=True))
    admit_cache("drafting", model, cache)
    model(ids, **{CACHE: cache}, use_cache=True)
    places = torch.arange(ids.shape[1], device=model.device)[None]
    return Ground(model, cache, {"position_ids": places, "use_cache": True}, len(ids))


def _read(model: Any, ids: Tensor) -> SeqGround:
    """A model whose encoder and decoder have read as many tokens each."""
    own = DynamicCache(config=model.config.get_text_config(decoder=True))
    cache = EncoderDecoderCache(own, DynamicCache())
    admit_cache("drafting", model, cache)
    source = model.get_encoder()(input_ids=ids, return_dict=True)
    ground = SeqGround(model, cache, {"encoder_outputs": source, "use_cache": True}, len(ids))
    ground.read(ids)
    return ground


def _sizes(most: int) -> Iterator[int]:
    size = 1
    while size <= 2 or size <= min(most, _LARGEST):
        yield size
        size *= 2


def _time(ground: Ground | SeqGround, tokens: Tensor) -> float:
    """Seconds of one pass: the median of a few, after one that does not count."""
    seen = reach(chain(tokens.shape[1] - 1)[None]).to(tokens.device)
    seen = seen.expand(len(tokens), -1, -1)
    taken = []
    for _ in range(_ROUNDS + 1):
        start = perf_counter()
        ground.feed(tokens, seen).argmax(-1).tolist()
        taken.append(perf_counter() - start)
        ground.keep([[]] * len(tokens))
    return statistics.median(taken[1:])
