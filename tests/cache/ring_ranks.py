"""Four ranks on this machine: `python ring_ranks.py attention FOLDER`; each leaves a file there.

The ranks are forked after the imports, which take longer than all that they do. Rings of fewer
ranks are groups whose numbers are not those of the job.
"""

import sys
from copy import deepcopy
from datetime import timedelta
from itertools import product
from pathlib import Path

import torch
import torch.distributed as dist
from torch import multiprocessing
from torch.nn.functional import cross_entropy

from tokenry.cache import TokenRing
from tokenry.errors import TokenryError
from tokenry.ops.ring import places
from tokenry.plugs.circulation import Traffic
from tokenry.plugs.distributed import key_ring, token_ring

RINGS = {1: [2], 2: [1, 3], 3: [1, 2, 3], 4: [0, 1, 2, 3]}
TRAVEL = {"queries": token_ring, "keys": key_ring}


def attention_cases():
    """Settings of each case; `chunk` is tokens per half shard."""
    found = []
    common = {"dtype": "float64", "padding": "none", "chunk": 3, "width": 8}
    for world, partition, causal, travel, (h, g) in product(
        RINGS, ("zigzag", "contiguous"), (True, False), TRAVEL, [(1, 1), (4, 4), (6, 2)]
    ):
        case = {"world": world, "partition": partition, "causal": causal, "travel": travel}
        found.append({**common, **case, "h": h, "g": g})
    base = {**common, "world": 4, "partition": "zigzag", "causal": True, "travel": "queries"}
    found += [{**base, "h": 4, "g": 2, "padding": side} for side in ("left", "right")]
    found.append({**base, "h": 4, "g": 2, "padding": "left", "causal": False})
    found += [
        {**base, "h": 4, "g": 2, "dtype": dtype, "travel": travel}
        for dtype in ("bfloat16", "float32")
        for travel in TRAVEL
    ]
    # Heads as in LLaMA-2-7B, but 8 of them, and every number of key heads: for the bytes.
    found += [
        {**base, "causal": causal, "travel": travel, "dtype": "float32", "chunk": 4, "width": 128}
        | {"h": 8, "g": g}
        for causal in (True, False)
        for travel in TRAVEL
        for g in (8, 4, 2, 1)
    ]
    return found


def attention_inputs(case):
    """Queries, keys, values, a gradient of the output, and what is no padding: the whole."""
    source = torch.Generator().manual_seed(case["world"] * 10 + case["h"] + case["g"])
    n = 2 * case["world"] * case["chunk"]
    heads = (case["h"], case["g"], case["g"], case["h"])
    found = [
        torch.randn(2, h, n, case["width"], generator=source, dtype=torch.float64) for h in heads
    ]
    valid = torch.ones(2, n, dtype=torch.bool)
    if case["padding"] == "left":
        valid[0, : case["chunk"] + 2] = False
    elif case["padding"] == "right":
        valid[1, -case["chunk"] - 2 :] = False
    return [*(x.to(getattr(torch, case["dtype"])) for x in found), valid]


def attention(case, group, rank):
    """One rank's rows of the output and the gradients, what it sent and what it computed."""
    ring, traffic = TokenRing(partition=case["partition"]), Traffic()
    *tensors, grad, valid = attention_inputs(case)
    chunks = ring.chunks(rank, case["world"])
    mine = places(chunks, valid.shape[1] // case["world"] // len(chunks))
    shards = [x[:, :, mine].clone().requires_grad_() for x in tensors]
    padding = {} if case["padding"] == "none" else {"valid": valid[:, mine]}
    out = TRAVEL[case["travel"]](
        *shards, ring, causal=case["causal"], group=group, traffic=traffic, **padding
    )
    out.backward(grad[:, :, mine])
    sent = [[s.phase, s.step, s.kind, s.to, s.bytes] for s in traffic.sent]
    found = {"mine": mine, "out": out.detach(), "grads": [x.grad for x in shards]}
    if rank == 0:
        found["inputs"] = [*tensors, grad, valid]
    return {**found, "sent": sent, "pairs": traffic.pairs}


MODELS = [
    {"world": 4, "kind": "llama", "partition": "zigzag", "padding": "none"},
    {"world": 3, "kind": "llama", "partition": "zigzag", "padding": "right"},
    {"world": 2, "kind": "llama", "partition": "contiguous", "padding": "left"},
    {"world": 2, "kind": "gpt2", "partition": "zigzag", "padding": "none"},
]


def tiny(kind):
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    if kind == "gpt2":
        size = {"vocab_size": 97, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}
        config = GPT2Config(**size, bos_token_id=0, eos_token_id=0, loss_type="ForCausalLM")
        config.attn_pdrop = config.resid_pdrop = config.embd_pdrop = 0.0
        return GPT2LMHeadModel(config).double()
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    return LlamaForCausalLM(config).double()


def text(case):
    ids = torch.randint(97, (2, 24), generator=torch.Generator().manual_seed(case["world"]))
    if case["padding"] == "none":
        return {"input_ids": ids, "labels": ids}
    mask = torch.ones_like(ids)
    mask[0, slice(-7, None) if case["padding"] == "right" else slice(7)] = 0
    return {"input_ids": ids, "labels": ids.masked_fill(mask == 0, -100), "attention_mask": mask}


def exact_loss(logits, labels, count):
    """The mean loss in float64, which transformers takes in float32."""
    return cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / count


def model(case, group, rank):
    """One rank's logits; loss and gradients of all; what the model says without a ring."""
    from tokenry.plugs.over_ring import over_ring

    whole = tiny(case["kind"])
    before = dict(vars(whole.config))
    with over_ring(whole, TokenRing(partition=case["partition"]), group) as shards:
        inputs = shards.cut(**text(case))
        output = whole(**inputs)
        exact_loss(output.logits, inputs["shift_labels"], inputs["num_items_in_batch"]).backward()
    loss = output.loss.detach().clone()
    dist.all_reduce(loss, group=group)
    found = {"mine": inputs["position_ids"][0], "logits": output.logits.detach(), "loss": loss}
    grads = {name: weight.grad for name, weight in whole.named_parameters()}
    for grad in grads.values():
        dist.all_reduce(grad, group=group)
    found["restored"] = before == dict(vars(whole.config))
    if rank == 0:
        alone = tiny(case["kind"])
        expected = alone(**text(case), use_cache=False)
        labels = text(case)["labels"][:, 1:]
        exact_loss(expected.logits[:, :-1], labels, (labels != -100).sum()).backward()
        found |= {"grads": grads, "expected_logits": expected.logits.detach()}
        found |= {"expected_loss": expected.loss.detach()}
        found["expected_grads"] = {name: w.grad for name, w in alone.named_parameters()}
    return found


def note(found, name, call, *arguments, **settings):
    try:
        call(*arguments, **settings)
    except TokenryError as error:
        found[name] = f"{type(error).__name__}: {error}"


def refused_attention(group):
    """What is said to ranks outside a group and to wrong shards."""
    found, x = {}, torch.zeros(1, 2, 4, 4)
    if dist.get_rank(group) < 0:
        note(found, "outside", token_ring, x, x, x, TokenRing(), group=group)
    else:
        note(found, "odd shard", token_ring, *[x[:, :, :3]] * 3, TokenRing(), group=group)
        note(found, "heads", token_ring, x[:, [0, 0, 1]], x, x, TokenRing(), group=group)
    return found


def refused_model(group):
    """What is said to a model on a ring that is fed wrongly."""
    from tokenry.plugs.over_ring import over_ring

    if dist.get_rank(group) < 0:
        return {}
    found, whole, ids = {}, tiny("llama"), torch.arange(24).view(1, 24)
    before = dict(vars(whole.config))
    with over_ring(whole, TokenRing(), group) as shards:
        note(found, "length", shards.cut, ids[:, :22])
        note(found, "twice", over_ring(whole, TokenRing(), group).__enter__)
        inputs = shards.cut(ids)
        note(found, "no places", whole, ids[:, :12], use_cache=False)
        wrong = {**inputs, "position_ids": torch.arange(12).unsqueeze(0)}
        note(found, "wrong places", whole, **wrong)
        note(found, "mask", whole, **inputs, attention_mask=torch.ones(1, 1, 12, 12))
        cache = tiny("llama")(ids[:, :4]).past_key_values
        note(found, "cache", whole, **{**inputs, "past_key_values": cache})
        note(found, "copy", deepcopy(whole), **inputs)
        for layer in whole.model.layers:
            layer.self_attn.attention_dropout = 0.5
        note(found, "dropout", whole.train(), **inputs)
    found["restored"] = before == dict(vars(whole.config))
    return found


PLANS = {
    "attention": (attention_cases(), attention, refused_attention),
    "model": (MODELS, model, refused_model),
}


def rank_main(rank, plan, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", f"file://{folder}/store", rank=rank, world_size=4, timeout=timedelta(seconds=60)
    )
    groups = {world: dist.new_group(ranks) for world, ranks in RINGS.items()}
    cases, run, refused = PLANS[plan]
    found = {"refused": refused(groups[2]), "plan": cases, "cases": []}
    for case in cases:
        group = groups[case["world"]]
        number = dist.get_rank(group)
        found["cases"].append((number, run(case, group, number)) if number >= 0 else None)
    torch.save(found, folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    if sys.argv[1] == "model":
        tiny("llama")  # what all ranks import, once
    multiprocessing.start_processes(
        rank_main, args=(sys.argv[1], Path(sys.argv[2])), nprocs=4, start_method="fork"
    )
