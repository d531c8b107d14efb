"""One test, or more, per guarantee: it holds where it is declared; else its lack shows."""

from typing import Any

import pytest

from asyncbackends.errors import (
    AlreadyExistsError,
    BackendError,
    ConflictError,
    DanglingRefError,
    FqNameTakenError,
    HasChildrenError,
    ObjectNotFoundError,
    StillReferencedError,
    TransactionFailedError,
)
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.guarantees import Guarantee
from asyncbackends.protocols.values import ALL_FIELDS, Fence
from asyncbackends.testing.config_database.batches import refuses_second_object
from asyncbackends.testing.config_database.fixtures import DatabaseFixtures
from asyncbackends.testing.config_database.sample import Site, new_id, refs, uuids_of
from asyncbackends.testing.harness import Harness

__all__ = ("GuaranteesConformance",)

NETWORK, POLICY = "virtual_network", "network_policy"


class GuaranteesConformance(DatabaseFixtures):
    """``Guarantee``: those of one database within one process."""

    async def test_atomic_writes(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        """Nobody ever sees one half of a write."""
        uuid = await site.network(mtu=0, weight=0, routes=[0], tenants=[{"name": "t", "n": 0}])
        torn: list[Any] = []

        async def write() -> None:
            for number in range(60):
                await database.object_update(
                    NETWORK,
                    uuid,
                    {
                        "mtu": number,
                        "weight": number,
                        "routes": [number] * (number % 3 + 1),
                        "tenants": [{"name": "t", "n": number}],
                    },
                )

        async def read(client: ConfigDatabase) -> None:
            for _ in range(60):
                one = await client.object_get(NETWORK, uuid)
                seen = {one["mtu"], one["weight"], *one["routes"], one["tenants"][0]["n"]}
                torn.extend([one] if len(seen) > 1 else [])

        await harness.gather(write(), read(database), read(other))
        assert torn == [] or Guarantee.ATOMIC_WRITES not in database.guarantees

    async def test_unique_names(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        for number in range(10):
            ids = [new_id() for _ in range(8)]
            outcomes = await harness.outcomes(
                *(
                    client.object_create(NETWORK, uuid, site.below(f"n{number}"))
                    for uuid, client in zip(ids, [database, other] * 4, strict=True)
                )
            )
            made = [
                uuid for uuid, (result, _) in zip(ids, outcomes, strict=True) if result is not None
            ]
            assert {type(error) for _, error in outcomes if error} <= {FqNameTakenError}
            if Guarantee.UNIQUE_NAMES in database.guarantees:
                assert len(made) == 1
                holders = {
                    error.holder for _, error in outcomes if isinstance(error, FqNameTakenError)
                }
                assert holders == {*made}
            # Also without the guarantee a name that is there for a while is not given again.
            with pytest.raises(FqNameTakenError):
                await other.object_create(NETWORK, new_id(), site.below(f"n{number}"))

    async def test_unique_ids(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        uuid = new_id()
        outcomes = await harness.outcomes(
            *(
                client.object_create(NETWORK, uuid, {**site.below(f"n{number}"), "mtu": number})
                for number, client in enumerate([database, other] * 4)
            )
        )
        made = [number for number, (result, _) in enumerate(outcomes) if result is not None]
        assert len(made) == 1 or Guarantee.UNIQUE_NAMES not in database.guarantees
        assert all(isinstance(error, AlreadyExistsError) for _, error in outcomes if error)
        assert (await database.object_get(NETWORK, uuid))["mtu"] in made

    async def test_enforced_references(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        """A target, and a parent, cannot vanish under a write that needs it."""
        for number in range(15):
            policy, parent = await site.policy(f"p{number}"), await site.network(f"n{number}")
            holder, child = await site.network(f"h{number}"), new_id()
            content = {
                "fq_name": [f"child-{number}"],
                "parent_type": NETWORK,
                "parent_uuid": parent,
            }
            outcomes = await harness.outcomes(
                database.create_ref(NETWORK, holder, POLICY, policy),
                other.object_delete(POLICY, policy),
                other.object_create("virtual_port", child, content),
                database.object_delete(NETWORK, parent),
            )
            if Guarantee.ENFORCED_REFERENCES not in database.guarantees:
                continue
            errors = [type(error) for _, error in outcomes]
            assert (errors[0], errors[1]) in {
                (type(None), StillReferencedError),
                (DanglingRefError, type(None)),
            }
            assert (errors[2], errors[3]) in {
                (type(None), HasChildrenError),
                (DanglingRefError, type(None)),
            }
        # Also without the guarantee what is missing for a while is found missing.
        with pytest.raises(DanglingRefError):
            await database.create_ref(NETWORK, await site.network(), POLICY, new_id())

    async def test_read_your_writes(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(mtu=0)
        for number in range(50):
            writer, reader = (database, other) if number % 2 else (other, database)
            result = await writer.object_update(NETWORK, uuid, {"mtu": number, "label": "x"})
            if Guarantee.READ_YOUR_WRITES not in database.guarantees:
                continue
            for client in (writer, reader):
                read = await client.object_get(NETWORK, uuid)
                assert (read["mtu"], read.revision) == (number, result.revision)
                assert await client.is_latest(uuid, result.revision)
                (listed,) = (
                    await client.object_list(
                        NETWORK, filters={"mtu": [number]}, field_names=["mtu"]
                    )
                ).items
                assert listed.revision == result.revision
                assert await client.current_revision() >= result.revision

    async def test_snapshot_reads(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        """An object with back refs and children, and a page, is one state."""
        if not {Guarantee.SNAPSHOT_READS, Guarantee.ATOMIC_BATCH} <= database.guarantees:
            # Without it a read may mix states, and none can be forced to.
            assert await database.object_get("project", site.project, ALL_FIELDS)
            return
        policy = await site.policy()
        here, there = new_id(), new_id()
        await site.network("here", here, network_policy_refs=refs(policy))
        seen: list[tuple[list[str], list[str], list[str]]] = []

        async def move() -> None:
            for number in range(40):
                old, new = (there, here) if number % 2 else (here, there)
                async with database.batch() as batch:
                    batch.object_delete(NETWORK, old)
                    content = {**site.below(f"n{number}"), "network_policy_refs": refs(policy)}
                    batch.object_create(NETWORK, new, content)

        async def look() -> None:
            for _ in range(40):
                project = await other.object_get("project", site.project, ALL_FIELDS)
                target = await other.object_get(POLICY, policy, ALL_FIELDS)
                page = await other.object_list(NETWORK, field_names=["network_policy_refs"])
                seen.append(
                    (
                        uuids_of(project.get("virtual_networks")),
                        uuids_of(target.get("virtual_network_back_refs")),
                        [one["uuid"] for one in page if one.get("network_policy_refs")],
                    )
                )

        await harness.gather(move(), look(), look())
        assert [found for found in seen if [len(links) for links in found] != [1, 1, 1]] == []

    async def test_atomic_batch(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site, harness: Harness
    ) -> None:
        if await refuses_second_object(database, site):
            return
        blue, red = await site.network("blue", mtu=50), await site.network("red", mtu=50)
        sums: list[int] = []

        async def transfer(client: ConfigDatabase) -> int:
            done = 0
            for _ in range(20):
                one, two = await client.object_read(NETWORK, [blue, red])
                try:
                    async with client.batch() as batch:
                        batch.object_update(
                            NETWORK, blue, {"mtu": one["mtu"] - 1}, expected_revision=one.revision
                        )
                        batch.object_update(
                            NETWORK, red, {"mtu": two["mtu"] + 1}, expected_revision=two.revision
                        )
                    done += 1
                except TransactionFailedError as refusal:
                    assert isinstance(refusal.error, ConflictError)
            return done

        async def check() -> int:
            for _ in range(30):
                pair = await database.object_read(NETWORK, [blue, red])
                sums.append(sum(one["mtu"] for one in pair))
            return 0

        counts = await harness.gather(transfer(database), transfer(other), check())
        one, two = await database.object_read(NETWORK, [blue, red])
        assert (one["mtu"], two["mtu"]) == (50 - sum(counts), 50 + sum(counts))
        if Guarantee.SNAPSHOT_READS in database.guarantees:
            assert {*sums} == {100}

    async def test_database_wide_revision(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site
    ) -> None:
        if Guarantee.DATABASE_WIDE_REVISION not in database.guarantees:
            # Then each object still counts for itself.
            uuid = await site.network()
            first = await database.object_update(NETWORK, uuid, {})
            assert (await other.object_update(NETWORK, uuid, {})).revision > first.revision
            return
        revisions: list[int] = []
        for number in range(10):
            for client in (database, other):
                uuid = new_id()
                result = await client.object_create("tag", uuid, {"fq_name": [uuid]})
                revisions.append(result.revision)
                revisions.append((await client.kv_put("t", "k", {"a": number})).revision)
                assert await database.current_revision() == revisions[-1]
        assert revisions == sorted({*revisions})

    async def test_fenced_writes(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site
    ) -> None:
        blue, red = await site.network("blue"), await site.network("red")
        high, low = Fence("term", 1, 2), Fence("term", 1, 1)
        fenced = {Guarantee.FENCED_WRITES, Guarantee.FENCED_PER_OBJECT} & database.guarantees
        refused: dict[str, bool] = {}
        for uuid, token in ((blue, high), (blue, low), (red, low)):
            try:
                await other.object_update(NETWORK, uuid, {}, fence=token)
                refused[f"{uuid}{token.token}"] = False
            except BackendError:
                refused[f"{uuid}{token.token}"] = True
        assert refused == {
            f"{blue}2": not fenced,
            f"{blue}1": True,
            f"{red}1": not fenced or Guarantee.FENCED_WRITES in fenced,
        }

    async def test_clients_share_or_do_not(
        self, database: ConfigDatabase, other: ConfigDatabase, site: Site
    ) -> None:
        uuid = await site.network(mtu=5)
        assert (other is not database) == self.clients_share
        assert (await other.object_get(NETWORK, uuid))["mtu"] == 5
        await other.object_delete(NETWORK, uuid)
        with pytest.raises(ObjectNotFoundError):
            await database.object_get(NETWORK, uuid)
