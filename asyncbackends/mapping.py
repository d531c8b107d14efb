"""A driver's errors become ours wherever the core awaits a link."""

from collections.abc import Callable
from types import TracebackType

from asyncbackends.errors import BackendError

__all__ = ("DriverErrors",)


class DriverErrors:
    """A block that raises our error for a driver's; it may be entered any number of times."""

    def __init__(self, mapped: Callable[[Exception], BackendError | None]) -> None:
        self._mapped = mapped

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(exc, Exception) and not isinstance(exc, BackendError):
            ours = self._mapped(exc)
            if ours is not None:
                raise ours from exc
