"""Whether some queue takes a message, asked before it is sent.

A stream acks also what no consumer has an interest in, so a mandatory message is sent only if
there is one. A queue that goes at that moment goes with its messages, so nobody can tell whether
it took the message first.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from asyncbackends.errors import BackendError, OperationTimeoutError
from asyncbackends_nats.driver_errors import NO_ANSWERER, NO_STREAM, TEMPORARY, JetStreamError, ours
from asyncbackends_nats.exchanges import kind_of
from asyncbackends_nats.names import Names
from asyncbackends_nats.requests import Reply, Requests, answer_of

__all__ = ("Reached", "Routes")

Place: TypeAlias = tuple[str, str]
Reached: TypeAlias = bool | BackendError | None
"""Whether a queue takes it; None: there is no such exchange."""

MOST_TRIES: Final = 50


class Routes:
    """Finds queues by exchange and routing key."""

    def __init__(self, requests: Requests, names: Names) -> None:
        self._requests = requests
        self._names = names
        self._last: dict[Place, str] = {}
        """The consumer that was found last: asking for one is cheaper than for all."""

    def find(
        self, places: Sequence[Place], found: Callable[[Mapping[Place, Reached]], None]
    ) -> None:
        """Find out for several, and call back with all of it, perhaps at once."""
        wanted = dict.fromkeys(places)
        reached: dict[Place, Reached] = {}

        def told(place: Place, answer: Reached) -> None:
            reached[place] = answer
            if len(reached) == len(wanted):
                found(reached)

        for place in wanted:
            _Search(self._requests, self._names, self._last, place, partial(told, place)).begin()


class _Search:
    """The questions for one place."""

    def __init__(
        self,
        requests: Requests,
        names: Names,
        last: dict[Place, str],
        place: Place,
        told: Callable[[Reached], None],
    ) -> None:
        self._requests = requests
        self._stream = names.stream(place[0])
        self._subject = names.subject(*place)
        self._last = last
        self._place = place
        self._told = told
        self._tries = 0
        self._total = -1

    def begin(self) -> None:
        """Ask for the consumer that was found last, or for the stream."""
        last = self._last.get(self._place)
        if last is not None:
            self._ask(f"CONSUMER.INFO.{self._stream}.{last}", {}, self._known)
        else:
            self._ask(f"STREAM.INFO.{self._stream}", {}, self._known_stream)

    def _ask(
        self, name: str, arguments: dict[str, Any], then: Callable[[dict[str, Any]], None]
    ) -> None:
        def answered(reply: Reply) -> None:
            if isinstance(reply.error, OperationTimeoutError):
                self._failed(JetStreamError(503, NO_ANSWERER, str(reply.error)))
                return
            if reply.error is not None:
                self._told(reply.error)
                return
            try:
                answer = answer_of(reply)
            except JetStreamError as error:
                self._failed(error)
                return
            then(answer)

        body = json.dumps(arguments).encode() if arguments else b""
        self._requests.ask_for(f"$JS.API.{name}", body, answered)

    def _failed(self, error: JetStreamError) -> None:
        if self._last.pop(self._place, None) is not None:
            self.begin()
        elif error.err_code == NO_STREAM:
            self._told(None)
        elif error.err_code in TEMPORARY and self._tries < MOST_TRIES:
            self._tries += 1
            self._requests.later(self.begin)
        else:
            self._told(ours(error))

    def _known(self, consumer: dict[str, Any]) -> None:
        if self._takes(consumer):
            self._told(True)
        else:
            del self._last[self._place]
            self.begin()

    def _known_stream(self, found: dict[str, Any]) -> None:
        if kind_of(found["config"]) == "fanout":
            self._told(found["state"]["consumer_count"] > 0)
        elif found["state"]["consumer_count"] == 0:
            self._told(False)
        else:
            self._page(0)

    def _page(self, offset: int) -> None:
        name = f"CONSUMER.LIST.{self._stream}"
        self._ask(name, {"offset": offset}, partial(self._listed, offset))

    def _listed(self, offset: int, answer: dict[str, Any]) -> None:
        consumers: list[dict[str, Any]] = answer.get("consumers") or []
        for consumer in consumers:
            if self._takes(consumer):
                if len(self._last) >= 4096:
                    self._last.clear()
                self._last[self._place] = consumer["name"]
                self._told(True)
                return
        total: int = answer.get("total", 0)
        if not offset:
            self._total = total
        if total != self._total and self._tries < MOST_TRIES:
            # One that went has moved others to a page that was read already.
            self._tries += 1
            self._page(0)
        elif consumers and offset + len(consumers) < total:
            self._page(offset + len(consumers))
        else:
            self._told(False)

    def _takes(self, consumer: dict[str, Any]) -> bool:
        config = consumer["config"]
        subjects = config.get("filter_subjects") or [config.get("filter_subject") or ">"]
        return any(one == self._subject or one.endswith(">") for one in subjects)
