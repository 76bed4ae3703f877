"""Merged rows count by their size: in attention, in pooling attention, and in plain means."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from tokenry.ops.attention import key_bias
from tokenry.plugs.attach import attach
from tokenry.plugs.blocks import MEAN_POOLED, find_tower
from tokenry.vision import Grid, ToMe

TOWERS = [
    "ViTModel",
    "DeiTModel",
    "Dinov2Model",
    "Dinov2WithRegistersModel",
    "CLIPVisionModel",
    "SiglipVisionModel",
]
HALVE = {"schedule": (32,)}


@pytest.fixture
def without_positions(build):
    """Build a model for which equal patches are equal tokens."""

    def without_positions(name, **changes):
        model = build(name, **changes)
        positions = [p for n, p in model.named_parameters() if "position_embedding" in n]
        for parameter in positions:
            parameter.data.zero_()
        assert positions
        return model

    return without_positions


@pytest.fixture
def twins(images):
    """Pictures in which each patch stands twice, side by side: on opposite parity."""
    patches = images(2).unfold(3, 4, 8)[..., :4]
    return patches.repeat_interleave(2, 3).flatten(3)


def test_each_patch_stands_twice(twins):
    columns = twins.unflatten(3, (8, 4))
    assert twins.shape == (2, 3, 32, 32)
    assert torch.equal(columns[:, :, :, ::2], columns[:, :, :, 1::2])


def test_log_size_equals_attention_over_repeated_keys():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 4, 7, 5).unbind(0)
    size = torch.randint(1, 5, (2, 7, 1)).float()
    found = scaled_dot_product_attention(q, k, v, attn_mask=key_bias(size, None, weigh=True))
    for i in range(2):
        times = size[i, :, 0].long()
        again = k[i].repeat_interleave(times, 1), v[i].repeat_interleave(times, 1)
        assert torch.allclose(scaled_dot_product_attention(q[i], *again), found[i], atol=1e-6)


@pytest.mark.parametrize("name", TOWERS)
@torch.no_grad()
def test_merging_duplicates_changes_nothing(name, without_positions, twins):
    model = without_positions(name)
    expected = model(twins)
    with attach(model, ToMe(**HALVE)) as attachment:
        found = model(twins)
    assert attachment.trace.tokens[-1][1] == expected.last_hidden_state.shape[1] - 32
    rows = attachment.trace.unmerge(found.last_hidden_state)
    assert torch.allclose(rows, expected.last_hidden_state, atol=1e-5)
    assert torch.allclose(found.pooler_output, expected.pooler_output, atol=1e-5)


@pytest.mark.parametrize("name", TOWERS)
@torch.no_grad()
def test_without_proportional_attention_it_changes_much(name, without_positions, twins):
    model = without_positions(name)
    expected = model(twins).last_hidden_state
    with attach(model, ToMe(**HALVE, proportional=False)) as attachment:
        rows = attachment.trace  # of no pass yet
        assert rows is None
        found = attachment.trace or model(twins).last_hidden_state
    if attachment.trace.protected:
        assert (attachment.trace.unmerge(found) - expected).abs().max() > 1e-3
    else:  # all keys are doubled alike, so their weights stay as they were
        assert torch.allclose(attachment.trace.unmerge(found), expected, atol=1e-5)


@pytest.mark.parametrize("name", sorted(MEAN_POOLED))
@torch.no_grad()
def test_head_sees_the_mean_over_tokens(name, build, images):
    model = build(name, num_labels=5)
    tower, row = find_tower(model)
    with attach(tower, ToMe(keep=0.6)) as attachment:
        rows = tower(images(2)).last_hidden_state
    front = row.protected(tower)
    mean = attachment.trace.unmerge(rows)[:, front:].mean(1)
    if name.startswith("Dinov2"):
        mean = torch.cat([rows[:, 0], mean], 1)
    with attach(model, ToMe(keep=0.6)):
        logits = model(images(2)).logits
    assert torch.allclose(logits, model.classifier(mean), atol=1e-5)
    assert not torch.allclose(logits, model(images(2)).logits, atol=1e-2)


@torch.no_grad()
def test_head_sees_the_mean_over_what_was_not_dropped(build, images):
    model = build("SiglipForImageClassification", num_labels=5)
    tower, _ = find_tower(model)
    with attach(tower, Grid(keep=0.25)):
        mean = tower(images(2)).last_hidden_state.mean(1)
    with attach(model, Grid(keep=0.25)):
        assert torch.allclose(model(images(2)).logits, model.classifier(mean), atol=1e-5)


@torch.no_grad()
def test_padding_does_not_count_in_the_mean(build, images):
    model = build("Dinov2ForImageClassification", num_labels=5)
    tower, _ = find_tower(model)
    mask = torch.ones(2, 65, dtype=torch.long)
    mask[1, 40:] = 0
    with attach(tower, ToMe(keep=0.6)) as attachment:
        rows = tower(images(2), attention_mask=mask).last_hidden_state
    each = attachment.trace.unmerge(rows)
    means = [each[i, 1:][mask[i, 1:].bool()].mean(0) for i in range(2)]
    expected = model.classifier(torch.cat([rows[:, 0], torch.stack(means)], 1))
    with attach(model, ToMe(keep=0.6)):
        logits = model(images(2), attention_mask=mask).logits
    assert torch.allclose(logits, expected, atol=1e-5)


@torch.no_grad()
def test_pooling_attention_equals_pooling_over_repeated_rows(build, images):
    model = build("SiglipVisionModel")
    with attach(model, ToMe(keep=0.5)) as attachment:
        found = model(images(2))
    assert attachment.trace.size.max() > 1
    repeated = attachment.trace.unmerge(found.last_hidden_state)
    assert torch.allclose(found.pooler_output, model.head(repeated), atol=1e-5)
    assert not torch.allclose(found.pooler_output, model.head(found.last_hidden_state), atol=1e-3)
