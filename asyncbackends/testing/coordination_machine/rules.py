"""The rules of the state machine: each asks the service and the model the same."""

from collections.abc import Mapping
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from hypothesis.strategies import SearchStrategy

from asyncbackends.errors import NodeNotFoundError, TransactionFailedError
from asyncbackends.protocols.nodes import Node, NodeStat, Ticket, WatchScope
from asyncbackends.testing.coordination.fixtures import Coordination, new_root
from asyncbackends.testing.coordination_machine.clients import (
    Clients,
    Follower,
    answer_of,
    note,
    perform,
)
from asyncbackends.testing.coordination_machine.model import (
    Model,
    Operation,
    Refusals,
    above,
    within,
)

__all__ = ("CoordinationMachine",)

CLIENTS = 2
MOST_WATCHES = 6

PLACES = ("", "/a", "/a", "/a/b", "/a/b", "/a/b/c", "/a/ü", "/ab", "/ab/b", "/c")
"""Below the root of a history; names that begin alike, parents and their children."""

BEGINNING = ("/a/b/c", "/ab/b", "/a/ü", "/c")

SCOPES: tuple[WatchScope, ...] = ("node", "children", "tree")

places = st.sampled_from(PLACES)
values = st.sampled_from([b"", b"1", b"2", b"\xff"])
versions: SearchStrategy[Any] = st.sampled_from(["any", "any", "right", "wrong"])
numbers = st.integers(0, CLIENTS - 1)

creates = st.builds(
    Operation,
    st.just("create"),
    places,
    values,
    ephemeral=st.booleans(),
    make_parents=st.sampled_from([True, True, False]),
)
updates = st.builds(Operation, st.just("update"), places, values, versions)
deletes = st.builds(Operation, st.just("delete"), places, version=versions)
recursive_deletes = st.builds(
    Operation, st.just("delete"), places, version=versions, recursive=st.just(True)
)
checks = st.one_of(
    st.builds(
        Operation, st.just("check"), places, version=st.sampled_from(["right", "right", "wrong"])
    ),
    st.builds(Operation, st.sampled_from(["exists", "absent"]), places),
)
operations = st.one_of(creates, creates, updates, deletes, recursive_deletes)
parts = st.lists(st.one_of(creates, updates, deletes, checks), min_size=1, max_size=4)


class CoordinationMachine(RuleBasedStateMachine):
    """Random operations of two clients on a tree and on a dict; any difference is an error."""

    patience: float = 3.0
    """Seconds after which an event that should come counts as lost."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self._settings = settings
        self._clients: Clients | None = None
        self.model = Model()
        self.root = new_root()
        self.followers: list[Follower] = []
        self.tickets: list[Ticket] = []
        self.past: list[tuple[int, frozenset[str]]] = []
        """Revisions, and the paths that were there then."""

    @property
    def clients(self) -> Clients:
        """The open clients."""
        assert self._clients is not None
        return self._clients

    @initialize(planted=st.sampled_from([True, True, False]))
    def open(self, planted: bool) -> None:
        """Open both clients, mostly on a tree that is there."""
        self._clients = Clients(self._settings, CLIENTS, self.patience)
        for number, place in enumerate(BEGINNING if planted else ()):
            self.operate_on(Operation("create", place, b"1", ephemeral=place == "/c"), number % 2)

    def teardown(self) -> None:
        """Compare everything at the end."""
        if self._clients is None:
            return
        try:
            self.everything()
            for follower in self.followers:
                self.clients.run(self._catch_up(follower))
                self.clients.run(follower.end())
        finally:
            self._clients.close()

    def ask(self, call: Any) -> Any:
        """Give the service's answer, or its error."""
        return self.clients.run(answer_of(call))

    def placed(self, drawn: Operation) -> Operation:
        """Give an operation below the root of this history."""
        return msgspec.structs.replace(drawn, path=self.root + drawn.path)

    def remember(self, stat: NodeStat) -> None:
        """Keep a moment at which a watch may resume."""
        assert stat.modified_revision > max((revision for revision, _ in self.past), default=0)
        self.past.append((stat.modified_revision, frozenset(self.model.nodes)))

    def agree_on(self, stat: NodeStat) -> None:
        """Hold a stat against the model."""
        owner = self.model.nodes[stat.path].owner
        session = None if owner is None else self.clients[owner].session.id
        assert stat.ephemeral_owner == session, stat
        assert stat.created_revision <= stat.modified_revision, stat
        assert stat.created <= stat.modified, stat

    def everything(self) -> None:
        """Read every node, by every client."""
        for client in self.clients.clients:
            for path in {self.root + place for place in PLACES} | {*self.model.nodes}:
                self.node(client, path)
            for path in {above(ticket.path) for ticket in self.tickets}:
                self.queue(client, path)

    def node(self, client: Coordination, path: str) -> None:
        """Read a node by every way."""
        entry = self.model.nodes.get(path)
        found = self.ask(lambda: client.get_node(path))
        names = self.ask(lambda: client.get_children(path))
        if entry is None:
            assert isinstance(found, NodeNotFoundError), f"{path}: {found!r}"
            assert isinstance(names, NodeNotFoundError), f"{path}: {names!r}"
            assert self.ask(lambda: client.exists(path)) is None
            return
        assert isinstance(found, Node), f"{path}: {found!r}"
        assert found.value == entry.value, f"{path}: {found!r}"
        self.agree_on(found.stat)
        assert self.ask(lambda: client.exists(path)) == found.stat
        assert names == self.model.children(path), f"{path}: {names}"

    def stands(self, ticket: Ticket) -> bool:
        """Say whether a ticket's entry is there: a later one may have its name."""
        latest = [one for one in self.tickets if one.path == ticket.path][-1]
        return ticket == latest and ticket.path in self.model.nodes

    def queue(self, client: Coordination, path: str) -> None:
        """Read who contends."""
        there = [one for one in self.tickets if above(one.path) == path and self.stands(one)]
        there.sort(key=lambda one: one.order)
        assert self.ask(lambda: client.contenders(path)) == there

    @rule(drawn=st.lists(st.tuples(operations, numbers), min_size=1, max_size=6))
    def operate(self, drawn: list[tuple[Operation, int]]) -> None:
        """Operations one after the other."""
        for operation, number in drawn:
            self.operate_on(operation, number)

    def operate_on(self, drawn: Operation, number: int) -> None:
        """Ask a client and the model for the same, and read what is there then."""
        operation, client = self.placed(drawn), self.clients[number]
        refusals = self.model.apply(operation, number)
        answer = self.ask(lambda: perform(client, operation))
        if refusals:
            assert type(answer) in refusals, f"{operation}: {answer!r}, not one of {refusals}"
        elif operation.kind == "delete":
            assert answer is None, f"{operation}: {answer!r}"
        else:
            assert isinstance(answer, NodeStat), f"{operation}: {answer!r}"
            assert answer.path == operation.path
            self.agree_on(answer)
            self.remember(answer)
        self.node(self.clients[CLIENTS - 1 - number], operation.path)

    @rule(drawn=parts, number=numbers)
    def transact(self, drawn: list[Operation], number: int) -> None:
        """Several as one."""
        client, model = self.clients[number], self.model.copied()
        transaction = client.transaction()
        refused: tuple[int, Refusals] | None = None
        noted: list[Operation] = []
        for index, operation in enumerate(map(self.placed, drawn)):
            if noted and operation.kind != "create":
                # What versions are like after those before it nobody can know.
                kind = "exists" if operation.kind == "check" else operation.kind
                operation = msgspec.structs.replace(operation, kind=kind, version="any")
            stat = self.clients.run(client.exists(operation.path))
            note(transaction, operation, stat)
            noted.append(operation)
            refusals = model.apply(operation, number) if refused is None else None
            refused = (index, refusals) if refusals else refused
        answer = self.ask(transaction.commit)
        if refused is not None:
            index, refusals = refused
            assert isinstance(answer, TransactionFailedError), f"{noted}: {answer!r}"
            assert answer.index == index, f"{noted}: {answer!r}"
            assert type(answer.error) in refusals, f"{noted}: {answer!r}"
            return
        self.model = model
        stats: list[NodeStat | None] = answer
        for operation, stat in zip(noted, stats, strict=True):
            path = operation.path if operation.kind in {"create", "update"} else None
            assert (stat and stat.path) == path, f"{noted}: {answer!r}"

    @rule(place=places, number=numbers)
    def read(self, place: str, number: int) -> None:
        """Nothing changes."""
        self.node(self.clients[number], self.root + place)

    @rule(place=places, value=values, number=numbers)
    def contend(self, place: str, value: bytes, number: int) -> None:
        """A place in the queue is an ephemeral child."""
        path, client = self.root + place, self.clients[number]
        entry = Operation("create", f"{path}/-", value, ephemeral=True)
        refusals = self.model.apply(entry, number)
        ticket = self.ask(lambda: client.contend(path, value))
        if refusals:
            assert type(ticket) in refusals, f"{path}: {ticket!r}"
            return
        assert isinstance(ticket, Ticket), f"{path}: {ticket!r}"
        self.model.nodes[ticket.path] = self.model.nodes.pop(entry.path)
        assert ticket.session_id == client.session.id
        assert above(ticket.path) == path
        orders = [one.order for one in self.tickets if above(one.path) == path]
        assert ticket.order == ticket.fence.token > max(orders, default=0)
        self.tickets.append(ticket)
        self.queue(client, path)

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), number=numbers, way=st.sampled_from(["withdraw", "withdraw", "guard"]))
    def use_ticket(self, data: st.DataObject, number: int, way: str) -> None:
        """A ticket of anybody, whether its entry is there or not."""
        ticket, client = data.draw(st.sampled_from(self.tickets)), self.clients[number]
        there = self.stands(ticket)
        if way == "withdraw":
            assert self.ask(lambda: client.withdraw(ticket)) is None
            if there:
                del self.model.nodes[ticket.path]
            return
        answer = self.ask(client.transaction().guard(ticket).commit)
        assert (answer == [None]) if there else isinstance(answer, TransactionFailedError)

    @rule(number=numbers)
    def reopen(self, number: int) -> None:
        """A client leaves, and what is its own goes; another takes its place."""
        for follower in [one for one in self.followers if one.client == number]:
            self.clients.run(self._catch_up(follower))
            self.clients.run(follower.end())
            self.followers.remove(follower)
        self.model.leave(number)
        self.clients.run(self.clients.reopen(number))

    @precondition(lambda self: len(self.followers) < MOST_WATCHES)
    @rule(
        data=st.data(),
        place=places,
        scope=st.sampled_from(SCOPES),
        number=numbers,
        begins=st.sampled_from(["now", "initial", "since"]),
    )
    def watch(
        self, data: st.DataObject, place: str, scope: WatchScope, number: int, begins: str
    ) -> None:
        """A watch begins: with nothing, with what is there, or in the past."""
        path, how = self.root + place, dict[str, Any]()
        present = frozenset(self.model.nodes)
        if begins == "initial":
            how, present = {"initial": True}, frozenset[str]()
        elif begins == "since" and self.past:
            revision, present = data.draw(st.sampled_from(self.past))
            how = {"since": revision}
        follower = Follower(
            number, scope, path, [one for one in present if within(one, scope, path)]
        )
        self.clients.run(follower.begin(self.clients[number], **how))
        self.followers.append(follower)

    @precondition(lambda self: self.followers)
    @rule(data=st.data(), count=st.integers(1, 5), all_of_it=st.booleans())
    def follow(self, data: st.DataObject, count: int, all_of_it: bool) -> None:
        """A part of what a watch tells is read, or all of it."""
        follower = data.draw(st.sampled_from(self.followers))
        if all_of_it:
            self.clients.run(self._catch_up(follower))
        else:
            self.clients.run(follower.take(self.clients.harness, count))

    async def _catch_up(self, follower: Follower) -> None:
        wanted = self.model.watched(follower.scope, follower.path)
        await follower.catch_up(self.clients.harness, wanted)
