"""Costs against closed forms."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from tokenry.compare.cost import LiveBytes, layer_seconds, operations_and_bytes, timed

CPU = torch.device("cpu")


def operations(run):
    return operations_and_bytes(run, CPU)[0]


def test_a_linear_layer_costs_two_per_weight_and_row():
    layer, x = nn.Linear(8, 5), torch.ones(3, 8)
    assert operations(lambda: layer(x)) == 2 * 3 * 8 * 5


@pytest.mark.parametrize("masked", [False, True])
def test_attention_on_the_cpu_counts(masked):
    q = torch.ones(2, 3, 7, 4)
    mask = torch.zeros(2, 1, 1, 7) if masked else None
    run = lambda: nn.functional.scaled_dot_product_attention(q, q, q, attn_mask=mask)  # noqa: E731
    with torch.no_grad():
        assert operations(run) == 2 * (2 * 2 * 3 * 7 * 7 * 4)


def test_an_encoder_costs_what_the_formula_says(tiny):
    model = tiny("vit", num_hidden_layers=3)
    n, d, hidden, patches = 65, 32, 64, 64
    block = 2 * (4 * n * d * d + 2 * n * n * d + 2 * n * d * hidden)
    embedding = 2 * patches * d * 3 * 4 * 4
    pooler = 2 * d * d
    with torch.no_grad():
        found = operations(lambda: model(torch.zeros(1, 3, 32, 32)))
    assert found == 3 * block + embedding + pooler


def test_bytes_of_a_chain_are_those_of_two_links():
    x = torch.ones(1000)
    _, peak = operations_and_bytes(lambda: (((x + 1) * 2) - 3).sum(), CPU)
    assert peak == 2 * 4000


def test_views_and_changes_in_place_hold_nothing():
    x = torch.ones(10, 10)
    with LiveBytes() as live:
        y = x.t()[2:]
        x.add_(1)
    assert (live.peak, y.shape) == (0, (8, 10))


def test_a_view_keeps_its_storage_alive():
    with LiveBytes() as live:
        y = torch.ones(100)
        z = y[:2]
        del y
        assert live.now == 400
        del z
        assert live.now == 0
    assert live.peak == 400


def test_weights_are_not_counted_and_runs_agree():
    layer, x = nn.Linear(100, 100), torch.ones(1, 100)
    runs = [operations_and_bytes(lambda: layer(x).relu(), CPU)[1] for _ in range(2)]
    assert runs == [800, 800]


def test_timed_gives_seconds_and_result():
    seconds, result = timed(lambda: time.sleep(0.02) or "done", CPU)
    assert result == "done"
    assert 0.02 <= seconds < 2


class Slow(nn.Module):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def forward(self, x):
        time.sleep(self.seconds)
        return x[:, :-1]


def test_layers_are_told_apart():
    layers = [Slow(0.03), Slow(0.001)]

    def run():
        time.sleep(0.01)
        return layers[1](layers[0](torch.ones(2, 9, 4)))

    found = layer_seconds(run, layers, CPU)
    assert found.rows == (9, 8)
    assert found.seconds[0] > 2 * found.seconds[1]
    assert found.seconds[0] >= 0.03
    assert found.other >= 0.01


def test_a_layer_that_runs_twice_counts_twice_and_hooks_go_away():
    layer = Slow(0.01)
    x = torch.ones(1, 4, 2)
    found = layer_seconds(lambda: (layer(x), layer(x)), [layer], CPU)
    assert found.seconds[0] >= 0.02
    assert not layer._forward_hooks
    assert not layer._forward_pre_hooks


def test_a_gpu_is_asked_for_its_own_figures(monkeypatch):
    """Without a GPU here: what is asked of it, and in which order."""
    asked = []
    answers = {"memory_allocated": 1000, "max_memory_allocated": 5000}
    for name in ("synchronize", "memory_allocated", "reset_peak_memory_stats"):
        monkeypatch.setattr(
            torch.cuda, name, lambda device, name=name: asked.append(name) or answers.get(name)
        )
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 5000)
    gpu = torch.device("cuda")
    layer, x = nn.Linear(2, 3), torch.ones(1, 2)
    assert operations_and_bytes(lambda: asked.append("run") or layer(x), gpu) == (12, 4000)
    assert asked == [
        *("synchronize", "memory_allocated", "reset_peak_memory_stats"),
        *("run", "synchronize"),
    ]
    asked.clear()
    timed(lambda: asked.append("run"), gpu)
    assert asked == ["synchronize", "run", "synchronize"]
