"""The rules of the state machine: each asks both databases the same."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.values import ConfigObject, Fence, ObjectPage
from asyncbackends.testing.config_database.sample import KIT_SCHEMA
from asyncbackends.testing.machine import strategies as given
from asyncbackends.testing.machine.histories import (
    BEGINNING,
    REFS,
    TYPES,
    WITH_COLLECTIONS,
    queued,
)
from asyncbackends.testing.machine.pair import Ask, Pair
from asyncbackends.testing.machine.strategies import Known

__all__ = ("DatabaseMachine",)


class DatabaseMachine(RuleBasedStateMachine):
    """Random operations on two databases; any difference is an error."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self._settings = settings
        self._pair: Pair | None = None

    @property
    def pair(self) -> Pair:
        """The open databases."""
        assert self._pair is not None
        return self._pair

    @initialize(integrity=st.sampled_from(["strict", "strict", "legacy"]))
    def open(self, integrity: str) -> None:
        """Open both, and make a beginning of a tree."""
        self._pair = Pair(self._settings, integrity)
        for uuid, (obj_type, content) in zip(given.IDS, BEGINNING, strict=False):
            self.agree_created(obj_type, uuid, content)
            self.pair.agree(lambda d, of=obj_type, it=uuid: d.set_shared(of, it))  # type: ignore[misc]  # binds now

    def agree_created(self, obj_type: str, uuid: str, content: Mapping[str, Any]) -> None:
        """Create an object in both."""
        self.pair.agree(lambda d: d.object_create(obj_type, uuid, content))

    def teardown(self) -> None:
        """Compare everything at the end."""
        if self._pair is not None:
            try:
                self._pair.agree_on_everything()
            finally:
                self._pair.close()

    def known(self) -> Known:
        """Ask the reference what is there."""

        async def ask() -> Known:
            reference = self.pair.reference
            return Known(
                {name: (await reference.object_list(name)).items for name in KIT_SCHEMA.types}
            )

        known: Known = self.pair.run(ask())
        return known

    def revisions(self, obj_type: str, uuid: str) -> tuple[int, int]:
        """Ask both for an object's revision."""
        found = self.pair.answers(
            lambda d: d.object_read(obj_type, [uuid], [], missing="skip"),
        )
        ours, theirs = ((answer[0].revision if answer else 0) for answer in found)
        return ours, theirs

    def conditional(
        self,
        obj_type: str,
        uuid: str,
        wanted: str,
        ask: Callable[[ConfigDatabase, int | None], Any],
    ) -> None:
        """Ask both, each with its own expected revision: none, the right one or another."""
        ours: int | None = None
        theirs: int | None = None
        if wanted != "none":
            ours, theirs = self.revisions(obj_type, uuid)
        if wanted == "wrong":
            ours, theirs = (ours or 0) + 1_000_000, (theirs or 0) + 1_000_000

        async def subject(database: ConfigDatabase) -> Any:
            return await ask(database, ours)

        async def reference(database: ConfigDatabase) -> Any:
            return await ask(database, theirs)

        self.pair.agree(subject, reference)

    @rule(data=st.data(), obj_type=st.sampled_from(TYPES), fence=given.fences)
    def create(self, data: st.DataObject, obj_type: str, fence: Fence | None) -> None:
        known = self.known()
        uuid, content = data.draw(given.new_ids(known)), data.draw(given.contents(obj_type, known))
        self.pair.agree(lambda d: d.object_create(obj_type, uuid, content, fence=fence))

    @rule(data=st.data(), obj_type=st.sampled_from(TYPES), change=st.booleans())
    def create_again(self, data: st.DataObject, obj_type: str, change: bool) -> None:
        """Give back what was read."""
        uuid = data.draw(given.known_ids(self.known(), obj_type))
        read = self.pair.agree(lambda d: d.object_get(obj_type, uuid))
        if isinstance(read, ConfigObject):
            content = {**read, "id_perms": {"n": 1}} if change else dict(read)
            self.agree_created(obj_type, uuid, content)

    @rule(
        data=st.data(),
        some=st.lists(st.sampled_from(TYPES), min_size=1, max_size=3),
        fence=given.fences,
    )
    def create_many(self, data: st.DataObject, some: Sequence[str], fence: Fence | None) -> None:
        known = self.known()
        objects = [
            (one, data.draw(given.new_ids(known)), data.draw(given.contents(one, known)))
            for one in some
        ]
        if Guarantee.ATOMIC_BATCH in self.pair.guarantees:
            self.pair.agree(lambda d: d.object_create_many(objects, fence=fence))

    @rule(
        data=st.data(),
        obj_type=st.sampled_from(TYPES),
        wanted=st.sampled_from(["none", "none", "right", "wrong"]),
        fence=given.fences,
    )
    def update(self, data: st.DataObject, obj_type: str, wanted: str, fence: Fence | None) -> None:
        known = self.known()
        uuid = data.draw(given.known_ids(known, obj_type))
        content = data.draw(given.updates(obj_type, known))
        self.conditional(
            obj_type,
            uuid,
            wanted,
            lambda d, revision: d.object_update(
                obj_type, uuid, content, expected_revision=revision, fence=fence
            ),
        )

    def deleted(self, data: st.DataObject, obj_type: str, wanted: str, fence: Fence | None) -> None:
        uuid = data.draw(given.known_ids(self.known(), obj_type))
        self.conditional(
            obj_type,
            uuid,
            wanted,
            lambda d, revision: d.object_delete(
                obj_type, uuid, expected_revision=revision, fence=fence
            ),
        )

    @rule(data=st.data(), obj_type=st.sampled_from(TYPES))
    def delete(self, data: st.DataObject, obj_type: str) -> None:
        self.deleted(data, obj_type, "none", None)

    @rule(
        data=st.data(),
        obj_type=st.sampled_from(TYPES),
        wanted=st.sampled_from(["none", "right", "wrong"]),
        fence=given.fences,
    )
    def delete_at(
        self, data: st.DataObject, obj_type: str, wanted: str, fence: Fence | None
    ) -> None:
        self.deleted(data, obj_type, wanted, fence)

    @rule(data=st.data(), obj_type=st.sampled_from(WITH_COLLECTIONS))
    def elements(self, data: st.DataObject, obj_type: str) -> None:
        uuid = data.draw(given.known_ids(self.known(), obj_type))
        steps = data.draw(given.element_updates(obj_type))
        self.pair.agree(lambda d: d.prop_collection_update(obj_type, uuid, steps))

    @rule(
        data=st.data(),
        ref=st.sampled_from(REFS),
        attr=given.json_values,
        operation=st.sampled_from(["ADD", "ADD", "DELETE"]),
        relax=st.booleans(),
        fence=given.fences,
    )
    def ref(
        self,
        data: st.DataObject,
        ref: tuple[str, str, bool],
        attr: Any,
        operation: Any,
        relax: bool,
        fence: Fence | None,
    ) -> None:
        known, (holder, to_type, carries) = self.known(), ref
        uuid = data.draw(given.known_ids(known, holder))
        to = data.draw(given.known_ids(known, to_type))
        ref_data = {"attr": attr} if carries else None
        self.pair.agree(
            lambda d: d.ref_update(
                holder,
                uuid,
                to_type,
                to,
                ref_data,
                operation,
                relax_for_delete=relax,
                fence=fence,
            )
        )

    @rule(data=st.data(), ref=st.sampled_from(REFS))
    def relax(self, data: st.DataObject, ref: tuple[str, str, bool]) -> None:
        known = self.known()
        uuid = data.draw(given.known_ids(known, ref[0]))
        to = data.draw(given.known_ids(known, ref[1]))
        self.pair.agree(lambda d: d.ref_relax_for_delete(uuid, to))
        self.pair.agree(lambda d: d.get_relaxed_refs(to))

    @rule(
        data=st.data(),
        obj_type=st.sampled_from(TYPES),
        share=st.sampled_from(given.SHARES),
        rwx=st.one_of(st.none(), st.integers(0, 7)),
    )
    def share(
        self, data: st.DataObject, obj_type: str, share: tuple[str, str], rwx: int | None
    ) -> None:
        uuid = data.draw(given.known_ids(self.known(), obj_type))
        if rwx is None:
            self.pair.agree(lambda d: d.del_shared(obj_type, uuid, *share))
        else:
            self.pair.agree(lambda d: d.set_shared(obj_type, uuid, *share, rwx))
            self.pair.agree(lambda d: d.update_perms2(uuid))

    @rule(
        key=st.sampled_from(given.KEYS),
        row=given.rows,
        how=st.sampled_from(
            ["put", "put", "replace", "new", "delete", "delete row", "store", "forget"]
        ),
        fence=given.fences,
    )
    def row(self, key: str, row: dict[str, Any], how: str, fence: Fence | None) -> None:
        asks: dict[str, Ask] = {
            "put": lambda d: d.kv_put("t", key, row, fence=fence),
            "replace": lambda d: d.kv_replace("t", key, row, fence=fence),
            "new": lambda d: d.kv_replace("t", key, row, expected_revision=0, fence=fence),
            "delete": lambda d: d.kv_delete("t", key, [*row], fence=fence),
            "delete row": lambda d: d.kv_delete("t", key, fence=fence),
            "store": lambda d: d.useragent_kv_store(key, str(row)),
            "forget": lambda d: d.useragent_kv_delete(key),
        }
        self.pair.agree(asks[how])
        self.pair.agree(lambda d: d.kv_get("t", key))
        self.pair.agree(lambda d: d.useragent_kv_retrieve(key))

    @rule(data=st.data(), count=st.integers(1, 4), fence=given.fences)
    def batch(self, data: st.DataObject, count: int, fence: Fence | None) -> None:
        known = self.known()
        queue = [data.draw(queued(known)) for _ in range(count)]
        if Guarantee.ATOMIC_BATCH not in self.pair.guarantees:
            del queue[1:]

        async def commit(database: ConfigDatabase) -> Any:
            async with database.batch(fence=fence) as batch:
                results: Any = [add(batch) for add in queue]
            return [one.result for one in results]

        self.pair.agree(commit)

    @rule(
        data=st.data(), obj_type=st.sampled_from(TYPES), missing=st.sampled_from(["raise", "skip"])
    )
    def read(self, data: st.DataObject, obj_type: str, missing: Any) -> None:
        some = st.lists(given.known_ids(self.known(), obj_type), min_size=1, max_size=4)
        asked, fields = data.draw(some), data.draw(given.field_names(obj_type))
        self.pair.agree(lambda d: d.object_read(obj_type, asked, fields, missing=missing))
        self.pair.agree(lambda d: d.object_get(obj_type, asked[0], fields))
        self.pair.agree(lambda d: d.object_raw_read(obj_type, asked, ["id_perms"]))
        self.pair.agree(lambda d: d.uuid_to_obj_type(asked[0]))
        name = data.draw(given.known_names(self.known(), obj_type))
        self.pair.agree(lambda d: d.fq_name_to_uuid(obj_type, name))
        for child in ("network_policy", "virtual_network", "tag"):
            self.pair.agree(lambda d, of=child: d.object_count_children("project", asked[0], of))  # type: ignore[misc]  # binds now

    @rule(data=st.data(), obj_type=st.sampled_from(TYPES), limit=st.integers(0, 3))
    def listed(self, data: st.DataObject, obj_type: str, limit: int) -> None:
        known = self.known()
        stored = self.pair.agree(lambda d: d.object_read(obj_type, known.ids(obj_type)))
        restrictions = data.draw(given.listings(obj_type, known, stored))
        fields = data.draw(given.field_names(obj_type))

        async def pages(database: ConfigDatabase) -> Any:
            found: list[ObjectPage[Any]] = []
            marker: str | None = None
            while not found or marker is not None:
                ask: Any = database.object_list
                page: ObjectPage[Any] = await ask(
                    obj_type,
                    **restrictions,
                    marker=marker,
                    limit=limit or None,
                    field_names=fields,
                )
                found.append(page)
                marker = page.marker
            return found

        self.pair.agree(pages)
        self.pair.agree(lambda d: d.object_list(obj_type, **restrictions, count=True))
