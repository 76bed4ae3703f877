"""Models with different tokenizers read together, byte by byte."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tokenry.errors import UsageError
from tokenry.ops.covers import mixed
from tokenry.plugs.byte_text import ByteText, ImpossibleTextError


class ByteEnsemble(ByteText):
    """Several models as one, whatever their tokenizers: they agree on the next byte.

    Args:
        members: The models.
        rule: `average` of the members' probabilities of a byte, or their `product`, scaled to
            sum to one.

    Raises:
        UsageError: If there is no member, or the rule is unknown.
    """

    def __init__(self, members: Sequence[ByteText], rule: str = "average") -> None:
        if not members or rule not in ("average", "product"):
            raise UsageError(
                f"ByteEnsemble: got {len(members)} members and rule={rule!r}; give at least one "
                "ByteLM, and 'average' or 'product'."
            )
        self.members, self.rule = tuple(members), rule

    def next(self, prefix: bytes | str) -> Float[Tensor, " 257"]:
        """Log-probabilities of what follows a text: each byte, and at place 256 its end.

        Args:
            prefix: The text.

        Raises:
            UsageError: If a member refuses the prefix, or nothing can follow by all members.
        """
        scores = np.stack([member.next(prefix).numpy() for member in self.members])
        found = mixed(scores, self.rule)
        if np.isnan(found).any():
            raise ImpossibleTextError(
                "ByteEnsemble: no byte has a probability by all members after this text; give "
                "rule='average'."
            )
        return torch.from_numpy(found)
