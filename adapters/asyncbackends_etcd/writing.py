"""Writes the tree: single operations in one round trip, several by comparing what was read."""

import asyncio
import random
from collections.abc import Collection, Sequence
from typing import Final

from asyncbackends.clock import Clock
from asyncbackends.coordination import refusals
from asyncbackends.coordination.evaluating import Looks, evaluate, looks_of
from asyncbackends.coordination.paths import ROOT, parent
from asyncbackends.coordination.transaction import Create, Delete, Guard, NodeOperation, Update
from asyncbackends.coordination.wire import RefusedError
from asyncbackends.errors import BackendError
from asyncbackends.protocols.nodes import NodeStat, Ticket
from asyncbackends_etcd import requests
from asyncbackends_etcd.committing import (
    Commit,
    Snapshot,
    reading_of,
    targets_of,
)
from asyncbackends_etcd.envelope import AFTER_PLAIN, Held, head_time, plain_head, sealed, stat_of
from asyncbackends_etcd.keys import Keys
from asyncbackends_etcd.known import Known
from asyncbackends_etcd.reading import ROOT_NODE, Reads
from asyncbackends_etcd.responses import Ranged

__all__ = ("Writes",)

FIRST_PAUSE: Final = 0.002
LONGEST_PAUSE: Final = 0.1
HIGHEST: Final = 2**62


class Writes:
    """Writes over one link."""

    def __init__(self, reads: Reads, keys: Keys, known: Known, clock: Clock) -> None:
        self._reads = reads
        self._keys = keys
        self._known = known
        self._clock = clock

    async def apply(self, operations: Sequence[NodeOperation], lease: int) -> list[NodeStat | None]:
        """Apply operations as a whole.

        :param lease: what ephemeral nodes go with.
        :raises RefusedError: one was refused.
        """
        stats: list[NodeStat | None] | None = None
        match operations:
            case [Create() as create]:
                made = await self._create(create, lease)
                stats = None if made is None else [made[0]]
            case [Update() as update]:
                stats = await self._update(update)
            case [Delete() as delete]:
                stats = await self._delete(delete)
            case [Guard(ticket), Delete(path, False, None)] if path == ticket.path:
                stats = await self._withdraw(ticket)
            case _:
                pass
        return await self._commit(operations, lease) if stats is None else stats

    async def arrive(self, entry: Create, lease: int) -> tuple[NodeStat, bool]:
        """Make a contender's entry, and say whether no child that may be one was made before.

        :raises RefusedError: it was refused.
        """
        entries = self._keys.entries(parent(entry.path))
        # The entry is the newest of all, so nobody is ahead of one that is alone.
        two = requests.range_of(*entries, limit=2, keys_only=True)
        made = await self._create(entry, lease, [requests.read(two)])
        if made is None:
            (stat,) = await self._commit([entry], lease)
            assert stat is not None  # noqa: S101  # of a create there is one
            return stat, False
        stat, (there,) = made
        return stat, len(there.kvs) == 1

    async def _create(
        self, create: Create, lease: int, beside: Sequence[bytes] = ()
    ) -> tuple[NodeStat, list[Ranged]] | None:
        """Make one whose parent is there; None: that is not so.

        :param beside: what is read once it is made, of which the answers are given.
        """
        path, above = create.path, parent(create.path)
        if path == ROOT:
            raise _refused(refusals.node_exists(ROOT, ROOT_NODE.stat))
        key, now = self._keys.of(path), self._now()
        compares = [requests.is_absent(key)]
        otherwise = [requests.read(requests.range_of(key))]
        if above != ROOT:
            over = self._keys.of(above)
            compares += [requests.is_present(over), requests.lease_is_none(over)]
            otherwise.append(requests.read(requests.range_of(over, keys_only=True)))
        head, owner = plain_head(now), lease if create.ephemeral else 0
        put = requests.put(key, sealed(head, now, create.value), lease_id=owner)
        request = requests.txn(compares, [put, *beside], otherwise)
        answer = await self._reads.write(request)
        if answer.succeeded:
            revision = answer.revision
            self._known.note_made(path, head, revision, owner)
            return stat_of(path, revision, revision, head, now, owner), answer.ranges
        there, *over_it = answer.ranges
        if there.kvs:
            held = Held.opened(path, there.kvs[0])
            raise _refused(refusals.node_exists(path, held.stat))
        if over_it and over_it[0].kvs and over_it[0].kvs[0].lease:
            raise _refused(refusals.under_ephemeral(path, above))
        return None

    async def _update(self, update: Update) -> list[NodeStat | None]:
        path, version = update.path, update.expected_version
        key = self._keys.of(path)
        held: Held | None = None
        pause = FIRST_PAUSE
        while True:
            known = self._known.of(path) if held is None else None
            if known is None and held is None:
                held = await self._reads.held(path)
                _check(path, held, version)
            now = self._now()
            if known is not None:
                head, created, lease = known
                compares = [requests.created_at(key, created)]
                compares.append(requests.value_below(key, AFTER_PLAIN))
            else:
                assert held is not None  # noqa: S101  # it was checked
                head, created, lease = held.head, held.created_revision, held.kv.lease
                compares = [requests.modified_at(key, held.kv.mod_revision)]
                if held.is_plain:
                    compares = [requests.created_at(key, created)]
                    compares.append(requests.value_below(key, AFTER_PLAIN))
            if version is not None:
                compares.append(requests.modified_at(key, _possible(version)))
            put = requests.put(key, sealed(head, now, update.value), keeps_lease=True)
            otherwise = [requests.read(requests.range_of(key))]
            request = requests.txn(compares, [put], otherwise)
            answer = await self._reads.write(request)
            if answer.succeeded:
                if held is not None:
                    self._known.note(held)
                modified = max(now, head_time(head))
                return [stat_of(path, created, answer.revision, head, modified, lease)]
            self._known.forget(path)
            found = answer.ranges[0].kvs
            held = Held.opened(path, found[0]) if found else None
            _check(path, held, version)
            pause = await _paused(pause)

    async def _delete(self, delete: Delete) -> list[NodeStat | None]:
        path, version = delete.path, delete.expected_version
        key, below = self._keys.of(path), self._keys.below(path)
        compares = [requests.is_present(key)]
        if version is not None:
            compares.append(requests.modified_at(key, _possible(version)))
        writes = [requests.delete(key)]
        if delete.recursive:
            writes.append(requests.delete(*below))
        else:
            compares.append(requests.is_absent(*below))
        otherwise = [requests.read(requests.range_of(key, keys_only=True))]
        request = requests.txn(compares, writes, otherwise)
        pause = FIRST_PAUSE
        while True:
            answer = await self._reads.write(request)
            self._known.forget(path)
            if answer.succeeded:
                return [None]
            found = answer.ranges[0].kvs
            _check(path, Held.opened(path, found[0]) if found else None, version)
            names = await self._reads.names(path)
            if names:
                raise _refused(refusals.has_children(path, names))
            pause = await _paused(pause)

    async def _withdraw(self, ticket: Ticket) -> list[NodeStat | None] | None:
        """Take a contender's entry away, which has no children; None: it came again."""
        key = self._keys.of(ticket.path)
        compares = [
            requests.created_at(key, _possible(ticket.order)),
            requests.value_below(key, AFTER_PLAIN),
            requests.is_absent(*self._keys.below(ticket.path)),
        ]
        otherwise = [requests.read(requests.range_of(key, keys_only=True))]
        request = requests.txn(compares, [requests.delete(key)], otherwise)
        answer = await self._reads.write(request)
        self._known.forget(ticket.path)
        if answer.succeeded:
            return [None, None]
        if not answer.ranges[0].kvs:
            raise _refused(refusals.no_ticket(ticket))
        return None

    async def _commit(
        self, operations: Sequence[NodeOperation], lease: int
    ) -> list[NodeStat | None]:
        """Read, evaluate, and write if what was read is still so; else again."""
        looks = looks_of(operations)
        targets = targets_of(operations)
        pause = FIRST_PAUSE
        while True:
            snapshot = await self._snapshot(looks, targets)
            stats = {ROOT: ROOT_NODE.stat, **snapshot.stats}
            evaluation = evaluate(operations, stats, snapshot.names)
            commit = Commit(self._keys, snapshot, evaluation, lease, self._now())
            if not evaluation.writes:
                return commit.stats(snapshot.revision)
            for path in targets:
                self._known.forget(path)
            request = commit.request(operations, looks)
            answer = await self._reads.write(request)
            if not answer.succeeded:
                pause = await _paused(pause)
            elif not commit.is_partial:
                return commit.stats(answer.revision)

    async def _snapshot(self, looks: Looks, targets: Collection[str]) -> Snapshot:
        reads = reading_of(self._keys, looks, targets)
        revision, answers = await self._reads.ranges([request for _, request in reads])
        snapshot = Snapshot(self._keys, revision)
        snapshot.take([what for what, _ in reads], answers)
        for path in snapshot.unread:
            snapshot.names[path] = await self._reads.names_at(path, snapshot.revision)
        return snapshot

    def _now(self) -> int:
        return round(self._clock.utc() * 1000)


def _refused(error: BackendError) -> RefusedError:
    refused = RefusedError(0, error)
    refused.__cause__ = error
    return refused


def _check(path: str, held: Held | None, version: int | None) -> None:
    """See that a node is there and has a version."""
    if held is None:
        raise _refused(refusals.no_node(path))
    if version is not None and version != held.kv.mod_revision:
        raise _refused(refusals.other_version(path, version, held.kv.mod_revision))


def _possible(revision: int) -> int:
    """Give a revision, or in the place of what none can be one that none is."""
    return revision if 0 < revision < HIGHEST else HIGHEST


async def _paused(seconds: float) -> float:
    """Wait, so that those who were in each other's way come one by one; give the next longest."""
    await asyncio.sleep(random.uniform(0, seconds))  # noqa: S311  # spreads load, hides nothing
    return min(seconds * 2, LONGEST_PAUSE)
