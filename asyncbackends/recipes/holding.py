"""What is held, and the block whose body is cancelled when it is held no longer."""

from collections.abc import Awaitable, Callable
from types import TracebackType

from asyncbackends.errors import BackendError
from asyncbackends.protocols.coordination import Contention, Session, SessionLost
from asyncbackends.protocols.nodes import Ticket
from asyncbackends.protocols.values import Fence
from asyncbackends.recipes.waiting import withdrawn
from asyncbackends.stopping import Stoppable

__all__ = ("Block", "Place", "PlaceBlock")


class Place:
    """A contender's place that came first, and stays so until it is given up or its session ends.

    ``ticket`` guards a transaction: ``transaction().guard(place.ticket)``. ``session`` is the one
    that it stands on.
    """

    def __init__(self, coordination: Contention, ticket: Ticket, session: Session) -> None:
        self.ticket = ticket
        self.session = session
        self._coordination = coordination
        self._claimed = True
        self._withdrawn = False

    @property
    def fence(self) -> Fence:
        """The token for writes to a database: higher than that of everybody who was first before."""
        return self.ticket.fence

    @property
    def lost(self) -> SessionLost:
        """Set at the moment its session is LOST: another may be first from soon after on."""
        return self.session.lost

    def remaining(self) -> float:
        """Give the seconds for which it is surely held without another renewal; 0.0 afterwards."""
        return self.session.remaining() if self._claimed else 0.0

    @property
    def claimed(self) -> bool:
        """Whether it was not given up yet; a lost one is still claimed."""
        return self._claimed

    async def _give_up(self) -> None:
        if self.lost.is_set():
            return
        self._claimed = False
        if not self._withdrawn:
            await withdrawn(self._coordination, self.ticket, self.session)
            self._withdrawn = True


class Block:
    """The body of a block, which can be stopped: it is cancelled, and the block raises why.

    Its two ends are in one task. Whatever else cancels the body, or the body raises itself, is
    not touched; it gets a note.
    """

    def __init__(self) -> None:
        self._body = Stoppable()
        self._failure: BackendError | None = None

    def enter(self) -> None:
        """Begin the body."""
        self._body.__enter__()

    def stop(self, failure: BackendError) -> None:
        """Cancel the body; ``failure`` is what the block raises, unless there was one before."""
        if self._failure is None:
            self._failure = failure
            self._body.stop()

    async def leave(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        clean_up: Callable[[], Awaitable[None]],
    ) -> None:
        """End the body, then clean up, then raise what the block ends with, if not ``exc``."""
        raised = exc
        try:
            if self._body.__exit__(exc_type, exc, traceback):
                raised = None
        except BaseException as error:  # noqa: BLE001  # raised below, after the clean-up
            # A group without the cancellations of our own; or a block that ends in another task.
            raised = error
        try:
            await clean_up()
        except BackendError as error:
            self._failure = self._failure or error
        if raised is not None and self._failure is not None:
            raised.add_note(f"{type(self._failure).__name__}: {self._failure}")
        if raised is None and self._failure is not None:
            raise self._failure from exc
        if raised is not None and raised is not exc:
            raise raised


class PlaceBlock:
    """The block whose body runs while a place is held."""

    def __init__(
        self,
        place: Place,
        give_up: Callable[[], Awaitable[None]],
        lost: Callable[[str], BackendError],
    ) -> None:
        """Begin the body.

        :param give_up: is awaited at its end.
        :param lost: makes the error that a lost place ends the block with.
        """
        self._place = place
        self._give_up = give_up
        self._make = lost
        self._block = Block()
        self._block.enter()
        self._forget = place.session.on_lost(self._lost)

    def _lost(self) -> None:
        place = self._place
        if place.claimed:
            message = f"session {place.session.id} was lost, and with it {place.ticket.path}"
            self._block.stop(self._make(message))

    async def leave(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the body."""
        self._forget()
        if self._place.lost.is_set():
            self._lost()
        await self._block.leave(exc_type, exc, traceback, self._give_up)
