"""TokenRing on one to four ranks against attention in one piece, and what each rank sends."""

import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from tokenry.cache import TokenRing
from tokenry.ops.ring import places, tile
from tokenry.plugs.circulation import Traffic
from tokenry.plugs.distributed import key_ring, token_ring

ROOT = Path(__file__).parents[2]
RANKS = Path(__file__).with_name("ring_ranks.py")


def on_four_ranks(plan, folder):
    """What the four ranks of `ring_ranks.py` found."""
    command = [sys.executable, RANKS, plan, folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in range(4)]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return on_four_ranks("attention", tmp_path_factory.mktemp("attention"))


@pytest.fixture(scope="module")
def cases(ranks):
    """Each case: its settings, and what its ranks found, in the order of the ring."""
    return gathered(ranks)


def gathered(ranks):
    found = []
    for i, case in enumerate(ranks[0]["plan"]):
        entries = sorted((r["cases"][i] for r in ranks if r["cases"][i]), key=lambda e: e[0])
        assert [number for number, _ in entries] == list(range(case["world"]))
        found.append((case, [entry for _, entry in entries]))
    return found


def whole(parts, places, dim=2):
    """Shards put together again."""
    order = torch.cat(places).argsort()
    return torch.cat(parts, dim).index_select(dim, order)


def full_attention(q, k, v, causal, valid):
    """Softmax over all keys at once; a query that sees nothing gets zeros."""
    h, n = q.shape[1:3]
    k, v = (x.repeat_interleave(h // k.shape[1], 1) for x in (k, v))
    mask = valid[:, None, None] & (torch.ones(n, n).tril() > 0 if causal else torch.ones(n, n) > 0)
    scores = (q @ k.transpose(2, 3) / math.sqrt(q.shape[3])).masked_fill(~mask, -1e300)
    return scores.softmax(-1).mul(mask) @ v


def expected(case, inputs):
    *tensors, grad, valid = inputs
    tensors = [x.double().requires_grad_() for x in tensors]
    out = full_attention(*tensors, case["causal"], valid)
    return out.detach(), torch.autograd.grad(out, tensors, grad.double())


def label(case):
    names = ("world", "partition", "causal", "travel", "h", "g", "dtype", "padding")
    return " ".join(str(case[name]) for name in names)


TOLERANCE = {"float64": 1e-12, "float32": 2e-6, "bfloat16": 3e-2}


def test_output_and_gradients_are_those_of_full_attention(cases):
    """1 to 4 ranks, both partitions, both travellers, several heads, padding on either side."""
    assert len(cases) == 119
    for case, found in cases:
        out, grads = expected(case, found[0]["inputs"])
        mine = [x["mine"] for x in found]
        assert torch.cat(mine).sort().values.tolist() == list(range(out.shape[2])), label(case)
        got = [whole([x["out"] for x in found], mine)]
        got += [whole([x["grads"][i] for x in found], mine) for i in range(3)]
        for tensor, truth in zip(got, [out, *grads], strict=True):
            assert str(tensor.dtype) == f"torch.{case['dtype']}"
            error = (tensor.double() - truth).abs().max().item()
            assert error < TOLERANCE[case["dtype"]] * max(1, truth.abs().max()), label(case)


def test_the_oracle_tells_wrong_heads_and_masks_apart(cases):
    """What is compared above is not equal for a wrong reason."""
    case, found = next(c for c in cases if c[0]["g"] == 2 and c[0]["causal"])
    out, _ = expected(case, found[0]["inputs"])
    open_to_all, _ = expected({**case, "causal": False}, found[0]["inputs"])
    q, k, v, *rest = found[0]["inputs"]
    swapped, _ = expected(case, [q, k.flip(1), v.flip(1), *rest])
    assert (out - open_to_all).abs().max() > 0.1
    assert (out - swapped).abs().max() > 0.1


def test_claim_all_ranks_compute_equally_much(cases):
    """At every step, not only in sum; shards in one piece leave the last rank nearly idle."""
    for case, found in cases:
        if not case["causal"]:
            continue
        c, world = case["chunk"], case["world"]
        pairs = torch.tensor([x["pairs"] for x in found])
        n = 2 * c * world
        assert pairs.sum() == n * (n + 1) // 2  # every pair that a causal mask allows, once
        if case["partition"] == "zigzag":
            assert (pairs[:, 0] == c * (2 * c + 1)).all()
            assert (pairs[:, 1:] == 2 * c * c).all()
        elif world == 4:
            busiest = pairs.sum(1).max() / pairs.sum(1).float().mean()
            print(f"contiguous: the busiest rank computes {busiest:.2f} of the mean")
            assert busiest > 1.6


def bytes_of(case, kind, step, rank):
    """What a rank sends in the forward pass, from the paper's text: float32 tensors."""
    b, e, world, size = 2, case["width"], case["world"], 4
    whole = 2 * case["chunk"]
    if case["travel"] == "keys":
        return 2 * b * case["g"] * whole * e * size if kind == "onward" and step < world - 1 else 0
    if kind == "onward":  # queries, to the neighbour, for its next step
        late = (rank - 1) % world + step + 1 >= world
        sent, row = step < world - 1, e * size
    else:  # output and log-sum-exp of the step before
        late = rank + step - 1 >= world
        sent, row = 1 < step <= world, (e + 1) * size
    rows = whole // 2 if case["causal"] and late else whole
    return b * case["h"] * rows * row if sent else 0


def wide(cases):
    return [(case, found) for case, found in cases if case["width"] == 128]


def test_bytes_of_each_step_are_as_the_paper_says(cases):
    """Half of the queries once those before the keys are past; nothing after the last use."""
    assert len(wide(cases)) == 16
    for case, found in wide(cases):
        for rank, entry in enumerate(found):
            sent = Counter()
            for phase, step, kind, to, count in entry["sent"]:
                if phase == "forward":
                    sent[kind, step] += count
                    assert to != rank
            for kind in ("onward", "home"):
                for step in range(6):
                    assert sent[kind, step] == bytes_of(case, kind, step, rank), label(case)


def volumes(found, phase="forward"):
    """Bytes of all ranks together, and of the busiest link between two ranks in one step."""
    links = Counter()
    for rank, entry in enumerate(found):
        for when, step, _, to, count in entry["sent"]:
            if when == phase:
                links[rank, to, step] += count
    return sum(links.values()), max(links.values())


def ratios(cases, causal, phase="forward"):
    """TokenRing's bytes over ring attention's, by number of key heads: in all, busiest link."""
    found = {}
    for g in (8, 4, 2, 1):
        both = {
            case["travel"]: volumes(entries, phase)
            for case, entries in wide(cases)
            if (case["causal"], case["g"]) == (causal, g)
        }
        found[g] = [a / b for a, b in zip(both["queries"], both["keys"], strict=True)]
    return found


def test_claim_half_the_bytes_on_the_busiest_link(cases):
    """With as many key heads as query heads; fewer turn it round."""
    for causal, in_all in ((True, 0.75), (False, 1.0)):
        forward, backward = (ratios(cases, causal, phase) for phase in ("forward", "backward"))
        for g in (8, 4, 2, 1):
            print(
                f"causal={causal} 8 heads over {g}: in all {forward[g][0]:.3f}, busiest link "
                f"{forward[g][1]:.3f}; backward {backward[g][0]:.3f}, {backward[g][1]:.3f}"
            )
            assert forward[g][0] == pytest.approx(in_all * 8 / g, rel=0.01)
            assert forward[g][1] == pytest.approx(0.5 * 8 / g, rel=0.01)
        assert forward[8][1] < 0.51
        assert forward[2][1] > 1.9


def test_nothing_is_sent_that_nobody_needs(cases):
    """Shards in one piece under a causal mask: queries stop at rank 0."""
    for case, found in cases:
        if (case["partition"], case["causal"], case["travel"]) != ("contiguous", True, "queries"):
            continue
        for rank, entry in enumerate(found):
            onward = [
                to
                for phase, _, kind, to, _ in entry["sent"]
                if (phase, kind) == ("forward", "onward")
            ]
            assert onward == [rank - 1] * (case["world"] - rank if rank else 0)


def test_a_rank_outside_the_group_and_wrong_shards_are_refused(ranks):
    outside, inside = ranks[0]["refused"], ranks[1]["refused"]
    assert "UsageError: token_ring: rank 0 is not in the group" in outside["outside"]
    assert "3 queries and 3 keys cannot be cut into 2 chunks" in inside["odd shard"]
    assert "TokenRing() on 2 ranks needs a length that is a multiple of 4" in inside["odd shard"]
    assert "3 query heads cannot share 2 key heads" in inside["heads"]


@pytest.fixture(scope="module")
def modelled(tmp_path_factory):
    return on_four_ranks("model", tmp_path_factory.mktemp("model"))


@pytest.mark.slow
def test_logits_loss_and_gradients_are_those_without_a_ring(modelled):
    """Llama with grouped heads and padding, GPT-2; float64."""
    for case, found in gathered(modelled):
        first = found[0]
        logits = whole([x["logits"] for x in found], [x["mine"] for x in found], dim=1)
        seen = slice(None)
        if case["padding"] != "none":  # what padding sees is nobody's business
            seen = torch.ones(2, 24, dtype=torch.bool)
            seen[0, slice(-7, None) if case["padding"] == "right" else slice(7)] = False
        error = (logits - first["expected_logits"])[seen].abs().max()
        assert error < 1e-12, (case, error)
        assert all(x["loss"] == first["loss"] for x in found)
        assert first["loss"] == pytest.approx(first["expected_loss"].item(), abs=1e-6)
        assert first["grads"].keys() == first["expected_grads"].keys()
        for name, grad in first["expected_grads"].items():
            assert (first["grads"][name] - grad).abs().max() < 1e-12, (case, name)


@pytest.mark.slow
def test_the_model_is_restored_on_every_rank(modelled):
    assert all(x["restored"] for _, found in gathered(modelled) for x in found)
    assert all(r["refused"]["restored"] for r in (modelled[1], modelled[3]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "length",
            "UsageError: over_ring: 22 tokens cannot be cut into equal shards; "
            "TokenRing() on 2 ranks needs a multiple of 4",
        ),
        ("twice", "AttachError: over_ring: LlamaForCausalLM is on a ring already"),
        ("no places", "UsageError: over_ring: position_ids are missing, which are not the places"),
        ("wrong places", "UsageError: over_ring: position_ids are [0, 1, 2, 3] and so on"),
        ("mask", "an attention mask of shape (1, 1, 12, 12) cannot be cut"),
        ("cache", "12 queries meet 16 keys of this rank"),
        ("copy", "AttachError: over_ring: this model was copied"),
        ("dropout", "attention with dropout cannot run over a ring"),
    ],
)
def test_a_model_fed_wrongly_says_so(modelled, name, message):
    assert message in modelled[1]["refused"][name]


@pytest.fixture
def alone(tmp_path):
    """A process group of this process only."""
    dist.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_both_travellers_on_one_rank(alone):
    q, k, v = (torch.randn(1, 2, 6, 4, dtype=torch.float64) for _ in range(3))
    traffic = Traffic()
    valid = torch.ones(1, 6, dtype=torch.bool)
    for travel in (token_ring, key_ring):
        out = travel(q, k, v, TokenRing(), scale=0.3, traffic=traffic)
        scaled = full_attention(q * 0.6, k, v, True, valid)
        torch.testing.assert_close(out, scaled, rtol=0, atol=1e-14)
    assert traffic.sent == []


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("partition", ["zigzag", "contiguous"])
@pytest.mark.parametrize("world", [1, 2, 3, 4, 7])
def test_every_pair_is_computed_once_and_queries_walk_one_hop_a_step(world, partition, causal):
    """The rule alone: each allowed pair of chunks meets once, and what is sent on is there."""
    ring = TokenRing(partition=partition)
    met = Counter()
    for rank in range(world):
        keys = ring.chunks(rank, world)
        for step in range(world):
            visit = ring.visit(rank, step, world, causal)
            queries = ring.chunks(visit.owner, world)[visit.carried :]
            met.update((q, k) for q in queries for k in keys[: visit.tile.keys])
            if step:
                before = ring.visit(visit.source, step - 1, world, causal)
                assert (before.owner, before.onward) == (visit.owner, rank)
                assert before.carried <= visit.carried
    chunks = range(world * len(ring.chunks(0, world)))
    allowed = {(q, k) for q in chunks for k in chunks if q >= k or not causal}
    diagonal = {(q, k) for q, k in met if causal and q < k}
    assert dict.fromkeys(met, 1) == dict(met)
    assert met.keys() - diagonal == allowed
    # Only at step 0, where a rank's own chunks meet, does a mask hide part of what is computed.
    own = {
        (q, k) for r in range(world) for q in ring.chunks(r, world) for k in ring.chunks(r, world)
    }
    assert diagonal <= own


def test_tiles_and_places_by_hand():
    assert tile((3,), (5,), causal=True).keys == 0
    assert tile((3,), (3,), causal=True).masked
    assert not tile((3,), (3,), causal=False).masked
    assert places((2, 5), 3).tolist() == [6, 7, 8, 15, 16, 17]


@pytest.mark.slow
def test_the_command_in_the_documentation_runs():
    page = (ROOT / "docs/how-to/ring-attention.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^torchrun (.*)$", page, re.MULTILINE)
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    done = subprocess.run(
        [*torchrun, *command.split()], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    ring, alone = re.search(r"over the ring (\S+), on one rank alone (\S+)", done.stdout).groups()
    assert float(ring) == pytest.approx(float(alone), abs=2e-6)
    assert done.stdout.count("230,640 pairs") == 4
