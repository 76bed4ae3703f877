"""What every attachment is: a method on a model, until it is detached."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from torch import nn

from tokenry.errors import AttachError
from tokenry.method import Method

if TYPE_CHECKING:
    from typing_extensions import Self

M = TypeVar("M", bound=Method, covariant=True)

MARK = "_tokenry"
"""The attribute under which a module knows its attachment."""


class Attachment(ABC, Generic[M]):
    """A method on a model; use it in a `with` statement, or call `detach()` when done.

    Attributes:
        method: The method.
        trace: What became of the tokens in the last pass; None before the first.
    """

    method: M
    trace: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.detach()

    @abstractmethod
    def detach(self) -> None:
        """Give the model back exactly as it was; a second call does nothing."""


def refuse_second(model: nn.Module, part: nn.Module) -> None:
    """Refuse a model of which a part carries a method already.

    Raises:
        AttachError: If it does.
    """
    other = part.__dict__.get(MARK)
    if other is not None:
        raise AttachError(
            f"attach: {type(model).__name__} already carries {other.method.describe()}; "
            "leave its with-block or call its detach() first."
        )
