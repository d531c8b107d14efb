"""Several operations as a whole: what they come to is read, and holds or nothing is applied."""

import asyncio
from collections.abc import Sequence
from typing import Final

from asyncbackends.coordination.evaluating import evaluate, looks_of
from asyncbackends.coordination.paths import ROOT, ancestors
from asyncbackends.coordination.transaction import (
    CheckExists,
    Create,
    NodeOperation,
    Update,
)
from asyncbackends.protocols.nodes import NodeStat
from asyncbackends_zookeeper.codes import Code, Op, ours
from asyncbackends_zookeeper.connection import Connection
from asyncbackends_zookeeper.jute import Znode
from asyncbackends_zookeeper.multi import Failure, multi_body, results_of
from asyncbackends_zookeeper.names import Names
from asyncbackends_zookeeper.planning import Plan, guessed, planned
from asyncbackends_zookeeper.reading import Reading

__all__ = ("Transacting",)

RACES: Final = frozenset(
    {
        Code.NO_NODE,
        Code.NODE_EXISTS,
        Code.NOT_EMPTY,
        Code.BAD_VERSION,
        Code.EPHEMERAL_PARENT,
        Code.LEFT_OUT,
    }
)
"""What was read is not so any more."""


class Transacting:
    """Applies several operations in one request."""

    def __init__(self, connection: Connection, names: Names, reading: Reading, acl: bytes) -> None:
        self._connection = connection
        self._names = names
        self._reading = reading
        self._acl = acl

    async def apply(self, operations: Sequence[NodeOperation]) -> list[NodeStat | None]:
        """Apply them, giving a stat for each create and update.

        :raises RefusedError: one was refused.
        """
        guess = guessed(operations, self._names, self._acl)
        if guess is not None:
            paths = [one.path if isinstance(one, Create | Update) else None for one in operations]
            results = await self._commit(guess)
            if results is not None:
                return _stats(results, paths)
        looks = looks_of(operations)
        # What is not there has to be told by what is above it.
        above = {
            one
            for operation in operations
            if isinstance(operation, CheckExists) and not operation.exists
            for one in ancestors(operation.path)
        }
        while True:
            znodes, children = await asyncio.gather(
                self._reading.znodes([ROOT, *(looks.nodes | above)]),
                self._reading.children_of_all([*looks.children]),
            )
            stats = {path: znode.stat(path) for path, znode in znodes.items() if path != ROOT}
            told = evaluate(operations, stats, children).told
            plan = planned(operations, znodes, self._names, self._acl)
            results = await self._commit(plan)
            if results is not None:
                return _stats(results, told)

    async def _commit(self, plan: Plan) -> list[Znode | None] | None:
        """Give the stats by operation; None: what was read or guessed is not so."""
        if not plan.parts:
            return [None for _ in plan.told]
        code, frame = await self._connection.ask(Op.MULTI, multi_body(plan.parts))
        if code == Code.OK:
            results = results_of(frame)
            if not isinstance(results, Failure):
                return [None if at is None else results[at] for at in plan.told]
            code = results.code
        if code in RACES:
            return None
        raise ours(code, "committing a transaction")


def _stats(znodes: Sequence[Znode | None], paths: Sequence[str | None]) -> list[NodeStat | None]:
    return [
        znode.stat(path) if znode is not None and path is not None else None
        for znode, path in zip(znodes, paths, strict=True)
    ]
