"""The node of one member of a group, of whatever session it is."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Protocol
from uuid import uuid4

import msgspec

from asyncbackends.errors import (
    BackendError,
    ConflictError,
    InvalidRequestError,
    NodeExistsError,
    NodeNotFoundError,
    SessionLostError,
)
from asyncbackends.narrowing import is_mapping
from asyncbackends.object_model.values import json_text
from asyncbackends.protocols.coordination import Nodes, Session, Sessions, WatchableNodes
from asyncbackends.protocols.nodes import Node
from asyncbackends.protocols.values import Gap, Json
from asyncbackends.recipes.patience import clean_up, short_pause

__all__ = ("Enrolment", "Grouping", "Seat", "enrolment")


class Grouping(Nodes, WatchableNodes, Sessions, Protocol):
    """What a group needs of a coordination service."""


class Enrolment(msgspec.Struct, frozen=True):
    """What a member's node holds, as JSON; the ``id`` tells one membership from another."""

    id: str
    capabilities: dict[str, Json]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Enrolment).decode


def enrolment(value: bytes) -> Enrolment:
    """Read a member's node; what something else wrote there is a member without capabilities."""
    try:
        return _decode(value)
    except msgspec.MsgspecError:
        return Enrolment("", {})


class Seat:
    """Makes, changes and removes the node of one membership, and no other's."""

    def __init__(
        self,
        coordination: Grouping,
        path: str,
        capabilities: Mapping[str, Json],
        *,
        rejoin: bool,
    ) -> None:
        self.path = path
        self.rejoin = rejoin
        self._coordination = coordination
        self._id = uuid4().hex
        self._value = self._valued(capabilities)
        # The value is not changed while the node is being made anew.
        self._writing = asyncio.Lock()

    @property
    def capabilities(self) -> dict[str, Json]:
        """What is there, or will be once it is made anew."""
        return _decode(self._value).capabilities

    async def update(self, capabilities: Mapping[str, Json]) -> None:
        """Put other capabilities there; a node that is gone is made anew if it is to come back."""
        value = self._valued(capabilities)
        async with self._writing:
            self._value = value
            while (node := await self._own_node()) is not None:
                with contextlib.suppress(ConflictError, NodeNotFoundError):
                    await self._coordination.update_node(
                        self.path, value, expected_version=node.stat.version
                    )
                    return
            if not self.rejoin:
                message = f"the member {self.path} went with its session"
                raise SessionLostError(message)
            await self._made()

    async def enter(self) -> Session:
        """Make the node, and give the session that it belongs to.

        :raises NodeExistsError: another has the name.
        """
        while True:
            async with self._writing:
                owner = await self._made()
            session = self._coordination.session
            if session.id == owner:
                return session
            await short_pause()

    async def enter_when_free(self) -> Session:
        """Make the node as soon as nobody else has the name; waits and tries without end."""
        while True:
            # It begins before the attempt, so the end of the other is not missed.
            async with self._coordination.watch(self.path) as events:
                try:
                    return await self.enter()
                except NodeExistsError:
                    async for event in events:
                        if isinstance(event, Gap) or event.kind == "deleted":
                            break

    async def leave(self) -> None:
        """Take the node away if it is there and is of this membership."""
        session = self._coordination.session
        await clean_up(self._removed, session, f"the member {self.path}")

    async def _made(self) -> str:
        """Make the node, or find that it was made after all; give its session's id."""
        while True:
            try:
                stat = await self._coordination.create_node(self.path, self._value, ephemeral=True)
            except BackendError as error:
                exists = isinstance(error, NodeExistsError)
                if not exists and not error.maybe_applied:
                    raise
                node = await self._own_node()
                if node is None:
                    if exists:
                        continue
                    raise
            else:
                return stat.ephemeral_owner or ""
            owner = node.stat.ephemeral_owner
            if owner is not None and owner == self._coordination.session.id:
                return owner
            # An earlier session of this client left it, and the service has not noticed yet.
            await self._removed()

    async def _removed(self) -> None:
        with contextlib.suppress(NodeExistsError, NodeNotFoundError):
            while (node := await self._own_node()) is not None:
                with contextlib.suppress(ConflictError):
                    await self._coordination.delete_node(
                        self.path, expected_version=node.stat.version
                    )
                    return

    async def _own_node(self) -> Node | None:
        """Read the node; None if there is none.

        :raises NodeExistsError: it is another's.
        """
        try:
            node = await self._coordination.get_node(self.path)
        except NodeNotFoundError:
            return None
        if enrolment(node.value).id != self._id:
            message = f"{self.path} is a member already, of another session or block"
            raise NodeExistsError(message, stat=node.stat)
        return node

    def _valued(self, capabilities: Mapping[str, Json]) -> bytes:
        if not is_mapping(capabilities):
            message = f"capabilities are a mapping, not {type(capabilities).__name__}"
            raise InvalidRequestError(message)
        plain = dict(capabilities)
        json_text(plain, "capabilities")
        return _encode(Enrolment(self._id, plain))
