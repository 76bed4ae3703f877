"""Rotation with rounded stages, against complex numbers in float64."""

from __future__ import annotations

import pytest
import torch

from tokenry.ops.rounding import rounded_rotation, shift_error

INV_FREQ = 1e4 ** (-torch.arange(0, 64, 2).float() / 64)
ALL = ("angles", "table", "rows")


def exact(x, positions):
    """Pairs (i, i + 32) as complex numbers, turned in float64."""
    angle = positions[:, None].double() * INV_FREQ
    turn = torch.polar(torch.ones_like(angle), angle)
    turned = torch.complex(x[..., :32].double(), x[..., 32:64].double()) * turn
    return torch.cat([turned.real, turned.imag, x[..., 64:].double()], -1)


@pytest.mark.parametrize(
    ("rounded", "tolerance"), [((), 1e-5), (("rows",), 0.03), (("table", "rows"), 0.06)]
)
def test_rotation_equals_complex_numbers(rounded, tolerance):
    """Seventy channels, of which 64 turn."""
    x, positions = (
        torch.randn(2, 9, 70, generator=torch.Generator().manual_seed(0)),
        torch.arange(9),
    )
    found = rounded_rotation(x, positions, INV_FREQ, torch.bfloat16, rounded)
    assert found.dtype == (torch.bfloat16 if "rows" in rounded else torch.float32)
    error = (found.double() - exact(x, positions)).abs().max()
    assert error < tolerance


def test_bfloat16_angles_are_wrong_from_position_257():
    """The type holds whole numbers up to 256 only."""
    one = torch.ones(2, 2)
    turned = rounded_rotation(one, torch.tensor([256, 257]), torch.ones(1), torch.bfloat16, ALL)
    assert torch.equal(turned[0], turned[1])
    wide = rounded_rotation(one, torch.tensor([256, 257]), torch.ones(1), torch.bfloat16, ())
    assert not torch.allclose(wide[0], wide[1], atol=0.1)


def test_the_error_is_that_of_each_visible_entry():
    """By loops over queries and keys; nothing where the key comes later."""
    chance = torch.Generator().manual_seed(1)
    queries, keys = torch.randn(2, 5, 64, generator=chance)
    found = shift_error(queries, keys, INV_FREQ, 7)
    for i in range(5):
        for j in range(5):
            if j > i:
                assert found[i, j].isnan()
                continue
            both = []
            for start in (0, 7):
                place = torch.tensor([start + i, start + j])
                q, k = rounded_rotation(
                    torch.stack([queries[i], keys[j]]),
                    place,
                    INV_FREQ,
                    torch.bfloat16,
                    ("table", "rows"),
                ).float()
                both.append(float(q @ k) / 8)
            assert float(found[i, j]) == pytest.approx(abs(both[0] - both[1]), abs=1e-6)
