"""
A text over several ranks
=========================

One training step of a small Llama whose text lies on several ranks. Start it with
``torchrun --standalone --nproc-per-node 4 examples/ring_attention.py``; each rank then holds a
quarter of the tokens, and no rank ever sees all keys.
"""

import os

import torch
import torch.distributed as dist
from transformers import LlamaConfig, LlamaForCausalLM

from tokenry.cache import TokenRing
from tokenry.plugs.over_ring import over_ring

gpu = torch.cuda.is_available()
device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if gpu else torch.device("cpu")
if gpu:
    torch.cuda.set_device(device)
dist.init_process_group("nccl" if gpu else "gloo")

# %%
# Every rank makes the same model and the same text; `cut` keeps this rank's part of the text.
torch.manual_seed(0)
sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
heads = {"num_attention_heads": 8, "num_key_value_heads": 8}
model = LlamaForCausalLM(LlamaConfig(vocab_size=100, **sizes, **heads)).to(device)
ids = torch.randint(100, (1, 960), device=device)

with over_ring(model, TokenRing()) as shards:
    inputs = shards.cut(ids, labels=ids)
    loss = model(**inputs).loss
    loss.backward()

# %%
# The losses of all ranks add up to that of the whole text, and so do the gradients.
whole = loss.detach().clone()
dist.all_reduce(whole)
for weight in model.parameters():
    dist.all_reduce(weight.grad)

sent = sum(message.bytes for message in shards.traffic.sent)
tokens = inputs["input_ids"].shape[1]
print(
    f"rank {shards.rank}: {tokens} tokens, {sum(shards.traffic.pairs):,} pairs, {sent:,} bytes sent"
)
if shards.rank == 0:
    alone = model(ids, labels=ids, use_cache=False).loss
    print(f"loss over the ring {whole.item():.6f}, on one rank alone {alone.item():.6f}")
dist.destroy_process_group()
