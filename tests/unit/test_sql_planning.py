"""What writes do to rows that were looked at: the difference alone, each row once."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from asyncbackends.errors import (
    FqNameTakenError,
    RevisionConflictError,
    StaleFenceError,
    StillReferencedError,
    TransactionFailedError,
)
from asyncbackends.object_model.applying import itself, refused_in_unit
from asyncbackends.object_model.model import ObjectModel
from asyncbackends.object_model.tables import Ref, Row, Tables
from asyncbackends.object_model.writes import (
    Relax,
    Share,
    UseragentDelete,
    UseragentStore,
    Write,
)
from asyncbackends.protocols.guarantees import Limits
from asyncbackends.protocols.values import CollectionUpdate, Fence
from asyncbackends.sql.assuming import Indexed, assumed
from asyncbackends.sql.effects import (
    CREATED,
    DELETED,
    NOBODY,
    UPDATED,
    Applied,
    Effects,
    Guard,
    NewKvRow,
    RefKey,
    Target,
)
from asyncbackends.sql.planning import Plan, planned
from asyncbackends.testing.config_database.sample import KIT_SCHEMA

NETWORK, POLICY = "virtual_network", "network_policy"
A, B, C = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "abc")
MODEL = ObjectModel(KIT_SCHEMA, Limits())
LEGACY = ObjectModel(KIT_SCHEMA, Limits(), "legacy")
INDEXED: Indexed = {NETWORK: ("mtu",)}
STAMP, NOW = 3, 100


def tables(*rows: Row, revision: int = NOW) -> Tables:
    found = Tables()
    found.revision = revision
    for row in rows:
        found.objects[row.uuid] = row
        found.names.setdefault((row.obj_type, row.key), {})[row.uuid] = True
        found.types.setdefault(row.obj_type, {})[row.uuid] = True
        if row.parent_uuid is not None:
            found.children.setdefault(row.parent_uuid, {})[row.uuid] = True
        for to in row.refs:
            found.holders.setdefault(to, {})[row.uuid] = True
    return found


def row(
    uuid: str,
    obj_type: str = NETWORK,
    revision: int = 7,
    document: str = "{}",
    elements: Mapping[str, dict[str, str]] | None = None,
    refs: Mapping[str, Ref] | None = None,
) -> Row:
    return Row(
        obj_type=obj_type,
        uuid=uuid,
        key=f'["{uuid[:1]}"]',
        parent_type=None,
        parent_uuid=None,
        revision=revision,
        created=1,
        modified=1,
        document=document,
        elements=dict(elements or {}),
        refs=dict(refs or {}),
    )


def plan(
    found: Tables,
    *writes: Write,
    fence: Fence | None = None,
    model: ObjectModel = MODEL,
    refused: Any = itself,
) -> Plan:
    return planned(found, model, INDEXED, STAMP, writes, fence, refused)


def network(uuid: str, name: str, model: ObjectModel = LEGACY, **fields: Any) -> Write:
    return model.create(NETWORK, uuid, {"fq_name": [name], **fields})


def revisions(effects: Sequence[Effects]) -> list[list[tuple[int, int, str]]]:
    return [[(one.offset, one.op, one.uuid) for one in unit.changes] for unit in effects]


def test_update_sends_the_difference_and_guards_what_it_read() -> None:
    before = row(A, document='{"mtu":1,"label":"x"}', elements={"routes": {"0": "1", "1": "2"}})
    update = MODEL.update(NETWORK, A, {"mtu": 2, "routes": [1, 3, 4]})
    (effects,) = plan(tables(before), update).segments
    assert effects.guards == [Guard(A, NETWORK, 7)]
    assert effects.documents == [(A, '{"mtu":2,"label":"x"}')]
    assert [(one.item[-1], one.value) for one in effects.elements] == [("1", "3"), ("2", "4")]
    assert effects.indexes_gone == [(A, "mtu")]
    assert [one.item for one in effects.indexes] == ["n:2"]
    assert revisions([effects]) == [[(1, UPDATED, A)]]
    assert effects.revisions == 1


def test_results_get_their_true_revisions() -> None:
    writes = [MODEL.update(NETWORK, A, {"mtu": 1}), MODEL.update(NETWORK, B, {"mtu": 1})]
    found = plan(tables(row(A), row(B)), *writes)
    results = found.results(Applied(200, 1_000_000))
    assert [one.revision for one in results if one] == [201, 202]
    assert {one.last_modified.timestamp() for one in results if one} == {1.0}


def test_nothing_to_do_is_nothing_to_send() -> None:
    gone = MODEL.ref_update(NETWORK, A, POLICY, B, None, "DELETE")
    found = plan(tables(row(A)), gone)
    assert found.segments == []
    (result,) = found.results(None)
    assert result is not None
    assert result.revision == 7


def test_peer_gets_its_side_and_a_revision() -> None:
    ref = MODEL.ref_update(NETWORK, A, NETWORK, B, {"attr": 1}, "ADD")
    (effects,) = plan(tables(row(A), row(B)), ref).segments
    assert {(one.from_uuid, one.to_uuid, one.attr) for one in effects.refs} == {
        (A, B, "1"),
        (B, A, "1"),
    }
    assert revisions([effects]) == [[(1, UPDATED, A), (2, UPDATED, B)]]
    assert {one.uuid for one in effects.guards} == {A, B}


def test_relaxing_changes_no_revision() -> None:
    found = tables(row(A, refs={B: Ref(POLICY, "null")}), row(B, POLICY))
    (effects,) = plan(found, Relax(A, B)).segments
    assert effects.refs_relaxed == [RefKey(A, B)]
    assert (effects.guards, effects.refs, effects.revisions) == ([], [], 0)


def test_delete_takes_relaxed_refs_along() -> None:
    holder = row(A, refs={B: Ref(POLICY, "null", True)})
    found = tables(holder, row(B, POLICY))
    (effects,) = plan(found, MODEL.delete(POLICY, B)).segments
    assert effects.gone == [B]
    assert effects.refs_gone == [RefKey(A, B)]
    assert revisions([effects]) == [[(1, DELETED, B), (2, UPDATED, A)]]
    with pytest.raises(StillReferencedError):
        plan(tables(row(A, refs={B: Ref(POLICY, "null")}), row(B, POLICY)), MODEL.delete(POLICY, B))


def test_legacy_delete_leaves_a_place_for_what_leads_there() -> None:
    found = tables(row(A, refs={B: Ref(POLICY, "null")}), row(B, POLICY))
    (effects,) = plan(found, LEGACY.delete(POLICY, B), model=LEGACY).segments
    assert (effects.buried, effects.gone, effects.refs) == ([B], [], [])


def test_legacy_duplicate_has_a_twin() -> None:
    write = LEGACY.create(NETWORK, B, {"fq_name": ["a"]})
    (effects,) = plan(tables(row(A)), write, model=LEGACY).segments
    (new,) = effects.objects
    assert (new.twin, new.unique) == (B, False)
    with pytest.raises(FqNameTakenError):
        plan(tables(row(A)), write)


def test_what_was_taken_away_is_put_by_a_unit_of_its_own() -> None:
    again = network(A, "a")
    found = plan(
        tables(row(A)), MODEL.delete(NETWORK, A), again, MODEL.delete(NETWORK, A), model=LEGACY
    )
    assert revisions(found.segments) == [[(1, DELETED, A)], [(1, CREATED, A)], [(1, DELETED, A)]]
    assert [one.guards for one in found.segments] == [
        [Guard(A, NETWORK, 7)],
        [],
        [Guard(A, NETWORK, None)],
    ]
    results = found.results(Applied(50, 0))
    assert [one.revision for one in results if one] == [51, 52, 53]


def test_what_is_made_and_changed_is_made_once() -> None:
    writes: list[Write] = [network(A, "new", mtu=1), MODEL.update(NETWORK, A, {"mtu": 2})]
    (effects,) = plan(tables(), *writes, model=LEGACY).segments
    assert [one.uuid for one in effects.objects] == [A]
    assert effects.documents == [(A, '{"mtu":2}')]
    assert revisions([effects]) == [[(1, CREATED, A), (2, UPDATED, A)]]
    assert [one.item for one in effects.indexes] == ["n:2"]


def test_object_made_in_the_unit_is_no_target_to_wait_for() -> None:
    policy = LEGACY.create(POLICY, B, {"fq_name": ["p"]})
    found = tables(row(C, POLICY))
    refs = [{"uuid": B}, {"uuid": C}]
    (effects,) = plan(
        found, policy, network(A, "n", network_policy_refs=refs), model=LEGACY
    ).segments
    assert effects.targets == [Target(POLICY, C, None)]
    assert {one.to_fq for one in effects.refs} == {'["p"]', '["c"]'}


def test_second_write_with_the_old_revision_is_refused() -> None:
    writes = [MODEL.update(NETWORK, A, {"mtu": n}, expected_revision=7) for n in (1, 2)]
    with pytest.raises(TransactionFailedError) as refusal:
        plan(tables(row(A)), *writes, refused=refused_in_unit)
    assert refusal.value.index == 1
    assert isinstance(refusal.value.error, RevisionConflictError)


def test_stale_fence_is_refused_and_a_good_one_sent() -> None:
    found = tables(row(A))
    found.fences["f"] = (1, 5)
    write = MODEL.update(NETWORK, A, {"mtu": 1})
    with pytest.raises(StaleFenceError):
        plan(found, write, fence=Fence("f", 1, 4))
    (effects,) = plan(found, write, fence=Fence("f", 1, 6)).segments
    assert effects.fence == ("f", 1, 6)


def test_shares_and_texts_are_taken_away_unseen() -> None:
    found = tables(row(A))
    found.useragent["k"] = "\0"
    writes: list[Write] = [
        Share(NETWORK, A, "global", "", None),
        Share(NETWORK, A, "global", "x", 7),
        UseragentDelete("k"),
        UseragentStore("other", "v"),
    ]
    (effects,) = plan(found, *writes).segments
    assert {(one.share_id, one.rwx) for one in effects.shares} == {("", None), ("x", 7)}
    assert effects.useragent == [("k", None), ("other", "v")]


def test_rows_say_what_they_were_seen_at() -> None:
    writes = [MODEL.kv_put("t", "k", {"a": 1}), MODEL.kv_put("t", "k", {"b": 2})]
    (effects,) = plan(tables(), *writes).segments
    assert effects.kv_rows == [NewKvRow("t", "k", '{"a":1,"b":2}', 0, 2)]
    assert effects.revisions == 2


def test_rows_of_an_earlier_unit_have_their_true_revision() -> None:
    writes: list[Write] = [
        MODEL.kv_put("t", "k", {"a": 1}),
        MODEL.delete(NETWORK, A),
        network(A, "again"),
        MODEL.kv_put("t", "k", {"b": 2}),
    ]
    found = plan(tables(row(A)), *writes, model=LEGACY)
    assert revisions(found.segments) == [[(2, DELETED, A)], [(1, CREATED, A)]]
    later = found.after_first(found.segments[1], Applied(200, 0))
    assert later.kv_rows == [NewKvRow("t", "k", '{"a":1,"b":2}', 201, 2)]


def test_assumed_writes_look_at_nothing() -> None:
    create = MODEL.create(NETWORK, A, {"fq_name": ["d", "p", "n"], "parent_type": "project"})
    found = assumed(MODEL.view, INDEXED, STAMP, create, None)
    assert found is not None
    effects, result = found
    assert (effects.objects[0].twin, effects.objects[0].parent_fq) == (NOBODY, '["d","p"]')
    assert result(Applied(9, 0)).revision == 10


def test_refs_that_may_lead_to_one_object_are_looked_at() -> None:
    refs = [{"to": ["a"]}, {"uuid": B}]
    create = LEGACY.create(NETWORK, A, {"fq_name": ["n"], "network_policy_refs": refs})
    assert assumed(LEGACY.view, {}, STAMP, create, None) is None


def test_appending_among_others_is_looked_at() -> None:
    steps = [CollectionUpdate("routes", "add", 1), CollectionUpdate("routes", "add", 2)]
    assert assumed(MODEL.view, {}, 0, MODEL.element_update(NETWORK, A, steps), None) is None
    one = assumed(MODEL.view, {}, 0, MODEL.element_update(NETWORK, A, steps[:1]), None)
    assert one is not None
    assert one[0].appended == (A, "routes", "1")
