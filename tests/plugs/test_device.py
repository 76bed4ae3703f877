"""Devices that are not there are refused before anything is loaded."""

from __future__ import annotations

import pytest
import torch

from tokenry.errors import UsageError
from tokenry.plugs.device import device_of


def test_devices_that_are_there():
    assert device_of(None) is None
    assert device_of("cpu") == device_of(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "device='gpu' is unknown; give cpu, cuda"),
        ("", "device='' is unknown"),
        ("xpu:999", "device='xpu:999' is not there .*leave it out"),
        ("cuda:99", "device='cuda:99' is not there .*leave it out"),
    ],
)
def test_devices_that_are_not(name, message):
    with pytest.raises(UsageError, match=message):
        device_of(name)
