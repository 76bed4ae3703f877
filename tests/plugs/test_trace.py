"""The record of a pass: shares, origins, sizes, unmerging, collected hidden states."""

import pytest
import torch

from tokenry.plugs.attach import attach
from tokenry.vision import AttentiveMask, Grid, Random, Resize, ToMe


@torch.no_grad()
def test_share_is_the_mean_over_layers_by_hand(tiny, images):
    model = tiny("vit", num_hidden_layers=2)
    with attach(model, ToMe(schedule=(20, 10))) as attachment:
        rows = model(images(2)).last_hidden_state
    trace = attachment.trace
    assert rows.shape == (2, 35, 32)
    assert trace.tokens == ((65, 45), (45, 35))
    assert trace.share == pytest.approx((65 + 45 + 45 + 35) / 4 / 65)
    assert (trace.full, trace.grid, trace.protected) == (65, (8, 8), 1)


@torch.no_grad()
def test_a_scoring_pass_is_counted_as_a_whole_pass(tiny, images):
    model = tiny("vit")
    with attach(model, AttentiveMask(keep=0.5)) as attachment:
        model(images(1))
    assert attachment.trace.scored
    assert attachment.trace.share == pytest.approx(1.5, abs=1 / 65)


@torch.no_grad()
def test_unmerge_gives_every_token_its_row_and_dropped_ones_zeros(tiny, images):
    model = tiny("clip")
    with attach(model, Random(keep=0.5)) as attachment:
        rows = model(images(2)).last_hidden_state
    trace = attachment.trace
    each = trace.unmerge(rows)
    assert each.shape == (2, 65, 32)
    for i, origin in enumerate(trace.origin.tolist()):
        for token, row in enumerate(origin):
            expected = rows[i, row] if row >= 0 else torch.zeros(32)
            assert torch.equal(each[i, token], expected)
    assert (trace.origin == -1).any()


@torch.no_grad()
def test_a_smaller_image_covers_the_whole_grid(tiny, images):
    model = tiny("dinov2")
    with attach(model, Resize(keep=0.25)) as attachment:
        rows = model(images(1)).last_hidden_state
    grid = attachment.trace.unmerge(rows)[0, 1:].view(8, 8, 32)
    assert rows.shape[1] == 17
    assert torch.equal(grid[2:4, 4:6].reshape(4, 32), rows[0, 1 + 4 + 2].expand(4, 32))


@pytest.mark.parametrize("method", [ToMe(keep=0.5), Grid(keep=0.5)], ids=["middle", "before"])
@pytest.mark.parametrize("tower", ["vit", "dinov2", "clip", "siglip"])
@torch.no_grad()
def test_collected_hidden_states_have_the_rows_of_their_layer(tower, method, tiny, images):
    model = tiny(tower)
    with attach(model, method) as attachment:
        output = model(images(2), output_hidden_states=True)
    counts = [state.shape[1] for state in output.hidden_states[1:]]
    assert counts == [after for _, after in attachment.trace.tokens]
    assert len(counts) == 6
    assert torch.equal(model(images(2)).last_hidden_state, tiny(tower)(images(2)).last_hidden_state)


def test_there_is_no_trace_before_the_first_pass(tiny):
    with attach(tiny("vit"), "tome", keep=0.5) as attachment:
        assert attachment.trace is None


@torch.no_grad()
def test_trace_is_that_of_the_last_pass_and_outlives_the_attachment(tiny, images):
    model = tiny("dinov2")
    with attach(model, "tome", keep=0.5) as attachment:
        model(images(3))
        model(images(1, side=24))
    model(images(2))
    assert attachment.trace.origin.shape == (1, 37)
