"""Go on training the rows of a model's tokens, and nothing else, from where a kill left off."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tokenry.errors import StoreError, UsageError
from tokenry.progress import stepping

_FILE = "embeddings.safetensors"
_WARM = 0.1  # share of the steps in which the learning rate rises
_PAUSE = 60.0  # seconds of work that a kill may cost, where steps are slow


@dataclass(frozen=True, slots=True)
class Retrained:
    """A training of rows.

    Attributes:
        losses: Loss of each step in nats per token.
        seconds: What all steps took; of a training that was killed, those up to its last
            checkpoint are among them.
    """

    losses: tuple[float, ...]
    seconds: float


def train_embeddings(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    steps: int,
    folder: str | Path,
    rate: float = 1e-3,
    length: int = 256,
    batch_size: int = 4,
    save_every: int = 20,
    seed: int = 0,
    progress: bool | None = None,
) -> Retrained:
    """Train input rows, output rows and their bias on texts; every other weight stays.

    AdamW without decay, the learning rate rising over the first tenth of the steps and falling to
    zero in a straight line. After a kill the same call goes on from the last checkpoint and ends
    with the same weights.

    Args:
        model: A causal language model; its rows are changed.
        tokenizer: Its tokenizer.
        texts: What it shall read.
        steps: Steps in all, those of an earlier call included; at least 1.
        folder: Of the checkpoint; made when it is not there.
        rate: Highest learning rate.
        length: Tokens of a row of a batch.
        batch_size: Rows of a batch.
        save_every: Steps between two checkpoints, if they take less than a minute.
        seed: Of the order of the texts.
        progress: Show a bar; None shows one on a terminal.

    Returns:
        The loss of each step, and the seconds of all.

    Raises:
        UsageError: If a number is out of range, or the texts fill not even one row.
        StoreError: If the folder holds a checkpoint of something else.
    """
    if min(steps, batch_size, save_every) < 1 or length < 2 or not rate > 0:
        raise UsageError(
            f"train_embeddings: steps={steps}, batch_size={batch_size}, save_every={save_every}, "
            f"length={length}, rate={rate}; the first three are at least 1, length at least 2, and "
            "the rate is positive."
        )
    blocks = _blocks(tokenizer, texts, length)
    settings = {"steps": steps, "rate": rate, "batch_size": batch_size, "seed": seed}
    with _rows_only(model) as rows:
        optimizer = torch.optim.AdamW(rows.values(), lr=rate, weight_decay=0.0)
        run = _Run(Path(folder), _fingerprint(settings, blocks, rows), rows, optimizer)
        losses = run.resume()
        with stepping(steps, progress, len(losses)) as bar:
            for step in range(len(losses), steps):
                batch = blocks[_chosen(len(blocks), step, batch_size, seed)]
                for group in optimizer.param_groups:
                    group["lr"] = rate * _share(step, steps)
                losses.append(_step(model, optimizer, batch))
                bar.update()
                bar.set_postfix(loss=f"{losses[-1]:.3f}")
                if (step + 1) % save_every == 0 or step + 1 == steps or run.is_long_ago():
                    run.save(losses)
    return Retrained(tuple(losses), run.seconds)


def _step(model: Any, optimizer: torch.optim.Optimizer, batch: Int[Tensor, "b n"]) -> float:
    batch = batch.to(model.device)
    loss = model(input_ids=batch, labels=batch, use_cache=False).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def _share(step: int, steps: int) -> float:
    """The learning rate of a step as a share of the highest."""
    warm = max(1, round(_WARM * steps))
    return min((step + 1) / warm, (steps - step) / max(steps - warm, 1))


def _blocks(tokenizer: Any, texts: Sequence[str], length: int) -> Int[Tensor, "m n"]:
    """All texts in rows of one length, an end of text between two; what is left over goes."""
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    found = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    ids = [token for text in found for token in (*text, *end)]
    count = len(ids) // length
    if not count:
        raise UsageError(
            f"train_embeddings: the texts are {len(ids)} tokens long, less than a row of {length}; "
            "give more text, or a smaller length."
        )
    return torch.tensor(ids[: count * length]).view(count, length)


def _chosen(count: int, step: int, batch_size: int, seed: int) -> Int[Tensor, " b"]:
    """The rows of a step: every one once, in an order drawn anew each time round."""
    places = range(step * batch_size, (step + 1) * batch_size)
    rounds = {place // count for place in places}
    order = {
        one: torch.randperm(count, generator=torch.Generator().manual_seed(seed + 7919 * one))
        for one in rounds
    }
    return torch.stack([order[place // count][place % count] for place in places])


@contextmanager
def _rows_only(model: Any) -> Iterator[dict[str, nn.Parameter]]:
    """The weights that belong to tokens; no other is trained, and dropout rests."""
    head = model.get_output_embeddings()
    rows = {"input": model.get_input_embeddings().weight}
    if head is not None and head.weight is not rows["input"]:
        rows["output"] = head.weight
    if getattr(head, "bias", None) is not None:
        rows["bias"] = head.bias
    before = [(weight, weight.requires_grad) for weight in model.parameters()]
    training = model.training
    model.eval()
    for weight in model.parameters():
        weight.requires_grad_(any(weight is row for row in rows.values()))
    try:
        yield rows
    finally:
        for weight, wanted in before:
            weight.requires_grad_(wanted)
            weight.grad = None
        model.train(training)


def _fingerprint(settings: dict[str, Any], blocks: Tensor, rows: dict[str, nn.Parameter]) -> str:
    """What a checkpoint must belong to: settings, texts, and the rows at the start."""
    known = hashlib.sha256(json.dumps(settings).encode())
    for tensor in (blocks, *(row.detach().float() for row in rows.values())):
        known.update(tensor.cpu().contiguous().numpy().tobytes())
    return known.hexdigest()


class _Run:
    """The checkpoint of one training."""

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        rows: dict[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self._file = folder / _FILE
        self._fingerprint = fingerprint
        self._rows, self._optimizer = rows, optimizer
        self.seconds = 0.0
        self._last = time.perf_counter()

    def is_long_ago(self) -> bool:
        """Whether a kill would cost much of what was done since the last checkpoint."""
        return time.perf_counter() - self._last > _PAUSE

    @torch.no_grad()
    def resume(self) -> list[float]:
        """Load what is there; the losses so far."""
        if not self._file.exists():
            return []
        try:
            with safe_open(self._file, "pt") as file:
                belongs = (file.metadata() or {}).get("fingerprint")
                held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise StoreError(f"train_embeddings: {self._file} cannot be read: {error}") from error
        if belongs != self._fingerprint:
            raise StoreError(
                f"train_embeddings: {self._file} belongs to another training (other settings, "
                "texts, or rows at the start); give another folder, or remove it."
            )
        losses: list[float] = held["losses"].tolist()
        self.seconds = float(held["seconds"])
        for name, row in self._rows.items():
            row.copy_(held[name])
            self._optimizer.state[row] = {
                "step": torch.tensor(float(len(losses))),
                "exp_avg": held[f"{name}.exp_avg"].to(row),
                "exp_avg_sq": held[f"{name}.exp_avg_sq"].to(row),
            }
        return losses

    def save(self, losses: list[float]) -> None:
        """Write all of it, or nothing."""
        now = time.perf_counter()
        self.seconds += now - self._last
        self._last = now
        held = {"losses": torch.tensor(losses, dtype=torch.float64)}
        held["seconds"] = torch.tensor(self.seconds, dtype=torch.float64)
        for name, row in self._rows.items():
            state = self._optimizer.state[row]
            held[name] = row.detach()
            held |= {f"{name}.{kind}": state[kind] for kind in ("exp_avg", "exp_avg_sq")}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        save_file(held, fresh, metadata={"fingerprint": self._fingerprint})
        fresh.replace(self._file)
