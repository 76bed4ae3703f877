"""What every attachment is: a method on a model, until it is detached."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

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
