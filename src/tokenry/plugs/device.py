"""Where a model shall run, refused at once where that is not there."""

from __future__ import annotations

import torch

from tokenry.errors import UsageError


def device_of(given: str | torch.device | None) -> torch.device | None:
    """The device of a name; None stays None.

    Args:
        given: Such as `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        UsageError: If torch knows no such device, or this machine has none.

    >>> device_of("cpu"), device_of(None)
    (device(type='cpu'), None)
    """
    if given is None:
        return None
    try:
        device = torch.device(given)
    except RuntimeError:
        raise UsageError(
            f"device={str(given)!r} is unknown; give cpu, cuda, cuda:1, mps or xpu, or nothing to "
            "stay where the model is."
        ) from None
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UsageError(
            f"device={str(given)!r} is not there ({reason}); leave it out to stay where the model "
            "is, or install a torch that knows it."
        ) from error
    return device
