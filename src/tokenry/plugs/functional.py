"""Functional tokens: new rows of a language model, trained on states that do not change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, linear
from torch.optim import LBFGS

from tokenry.errors import UnsupportedModelError, UsageError
from tokenry.ops.padding import padded
from tokenry.plugs.generate import Feed


@dataclass(frozen=True, slots=True)
class HeadStates:
    """What a model thinks at the end of some prompts.

    Attributes:
        states: What goes into the head.
        logits: What comes out.
    """

    states: Float[Tensor, "n d"]
    logits: Float[Tensor, "n v"]


@torch.no_grad()
def add_tokens(model: Any, tokenizer: Any, names: Sequence[str]) -> list[int]:
    """Give a model tokens whose rows are the mean of all others, in embedding and head.

    Args:
        model: A causal language model; it is changed.
        tokenizer: Its tokenizer; it is changed.
        names: The tokens; none may be known.

    Returns:
        Their ids.

    Raises:
        UsageError: If the tokenizer knows one already.
    """
    vocabulary = tokenizer.get_vocab()
    there = [name for name in names if name in vocabulary]
    if there:
        raise UsageError(
            f"add_tokens: the tokenizer knows {there[0]} already; it has functional tokens of "
            "another graph. Load the model with TokenRouter.load, or take an untouched one."
        )
    known = len(tokenizer)
    tokenizer.add_tokens(list(names), special_tokens=True)
    ids: list[int] = tokenizer.convert_tokens_to_ids(list(names))
    tables = [model.get_input_embeddings(), model.get_output_embeddings()]
    if len(tokenizer) > tables[0].weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        tables = [model.get_input_embeddings(), model.get_output_embeddings()]
    for weight in {id(t.weight): t.weight for t in tables}.values():
        weight[ids] = weight[:known].float().mean(0).to(weight.dtype)
    bias = getattr(tables[1], "bias", None)
    if bias is not None:
        bias[ids] = bias[:known].mean()
    return ids


@torch.no_grad()
def head_states(
    model: Any, tokenizer: Any, prompts: Sequence[str], batch_size: int = 16
) -> HeadStates:
    """Run a model over prompts; what enters its head at their ends, and what leaves it.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        prompts: Texts, at least one.
        batch_size: Texts in a pass.

    Raises:
        UnsupportedModelError: If the scores are not the head's own output, which the training of
            its rows relies on.
    """
    head, seen = model.get_output_embeddings(), list[Tensor]()
    hook = head.register_forward_pre_hook(lambda _, given: seen.append(given[0][:, -1]))
    logits = []
    try:
        for start in range(0, len(prompts), batch_size):
            ids, real = _left_padded(tokenizer, prompts[start : start + batch_size], model.device)
            logits.append(Feed(model)(ids, real).float())
    finally:
        hook.remove()
    if not torch.allclose(head(seen[0]).float(), logits[0], rtol=1e-3, atol=1e-2):
        raise UnsupportedModelError(
            f"head_states: {type(model).__name__} changes the scores behind its head (it caps or "
            "scales them); functional tokens are trained on a plain head."
        )
    return HeadStates(torch.cat(seen).float(), torch.cat(logits))


def fit_rows(
    rows: Float[Tensor, "k d"],
    bias: Float[Tensor, " k"],
    found: HeadStates,
    ids: Sequence[int],
    target: Int[Tensor, " n"],
    *,
    free: Sequence[int],
    decay: float,
    steps: int,
) -> Float[Tensor, "k d"]:
    r"""Train rows of the head to foresee their tokens; everything else stays as it is.

    Minimises, over the free rows $w_i$,

    $$ \frac{1}{n} \sum_j \Big[ \log\Big( \sum_{v} e^{z_{jv}} + \sum_i e^{w_i \cdot h_j} \Big)
       - w_{t_j} \cdot h_j \Big] + \lambda\, s^2 \sum_i \|w_i - w_i^0\|^2, $$

    the cross-entropy of the next token over the whole vocabulary: the states $h_j$ and the scores
    $z_{jv}$ of all other tokens do not depend on these rows. $s^2$ is the mean of $\|h_j\|^2$.

    Args:
        rows: The rows as they are.
        bias: Of the head, for these rows.
        found: States and scores at the end of the prompts.
        ids: Tokens of the rows.
        target: The right row for each prompt.
        free: Which rows are trained.
        decay: The factor $\lambda$.
        steps: Most iterations of L-BFGS.

    Returns:
        The rows with the free ones trained.
    """
    others = found.logits.clone()
    others[:, list(ids)] = float("-inf")
    rest = others.logsumexp(-1, keepdim=True)
    where = torch.tensor(list(free), device=rows.device)
    start = rows.float()[where]
    weight = start.clone().requires_grad_()
    scale = decay * float(found.states.square().sum(-1).mean())
    optimizer = LBFGS([weight], max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        whole = rows.float().index_copy(0, where, weight)
        scores = torch.cat([linear(found.states, whole, bias.float()), rest], 1)
        value = cross_entropy(scores, target) + scale * (weight - start).square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    return rows.index_copy(0, where, weight.detach().to(rows.dtype))


def lowered(
    rows: Float[Tensor, "k d"], states: Float[Tensor, "n d"], which: Sequence[int], lead: float
) -> Float[Tensor, "k d"]:
    r"""Rows of the head whose scores are lower by `lead` on the average state.

    A head need not have a bias, so that the rows move against the mean state $\bar h$:
    $w_i - \lambda \bar h / \|\bar h\|^2$. The states at the end of one prompt's form have most of
    their length in common, so that each score moves by about as much.

    Args:
        rows: The rows.
        states: What enters the head.
        which: The rows that are lowered.
        lead: By how much.

    >>> lowered(torch.ones(2, 2), torch.eye(2), [1], 1.0).tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    if not lead:
        return rows
    mean = states.mean(0)
    found = rows.clone()
    found[list(which)] -= (lead * mean / mean.square().sum()).to(rows)
    return found


def _left_padded(
    tokenizer: Any, prompts: Sequence[str], device: Any
) -> tuple[Int[Tensor, "b n"], Bool[Tensor, "b n"]]:
    texts = [list(tokenizer(prompt, verbose=False)["input_ids"]) for prompt in prompts]
    return padded(texts, left=True, device=device)
