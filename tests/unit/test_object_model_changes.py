"""Pure rules of changes: documents, diffs, repeated creates, refusals."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbackends.errors import (
    InvalidRequestError,
    RevisionConflictError,
    StaleFenceError,
)
from asyncbackends.object_model import changes
from asyncbackends.object_model.assembling import StoredObject
from asyncbackends.object_model.model import ObjectModel
from asyncbackends.object_model.values import json_equal
from asyncbackends.object_model.writes import Create, RefTarget
from asyncbackends.protocols.guarantees import Limits
from asyncbackends.protocols.values import Fence
from asyncbackends.schema import MapProperty, ObjectType, RefType, Schema
from tests.unit.json_strategies import json_values, texts

pytestmark = pytest.mark.promise("object.rules-hold-for-any-value")

documents = st.dictionaries(texts, json_values.filter(lambda value: value is not None), max_size=5)
refs = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.sampled_from(["null", "1", "2"]))
UUID = "00000000-0000-0000-0000-000000000001"
MODEL = ObjectModel(
    Schema(
        {
            "kind": ObjectType(
                lists={"rows": None, "wrapped": "item"},
                maps={"pairs": MapProperty(key="key", wrapper="pair")},
                refs={"kind": RefType()},
            )
        }
    ),
    Limits(),
)


def encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode()


@given(documents, st.dictionaries(texts, st.one_of(st.none(), json_values), max_size=5))
def test_patched_document_is_the_dict_with_the_patch(
    document: dict[str, Any], patch: dict[str, Any]
) -> None:
    texts_of = {name: None if value is None else encoded(value) for name, value in patch.items()}
    expected = {
        name: value
        for name, value in {**document, **patch}.items()
        if patch.get(name, 1) is not None
    }
    patched = changes.patched_document(encoded(document), texts_of)
    assert msgspec.json.decode(patched) == expected


@given(refs, refs)
def test_ref_diff_leads_from_stored_to_wanted(
    stored: dict[str, str], wanted: dict[str, str]
) -> None:
    diff = changes.ref_diff(stored, wanted)
    result = {uuid: attr for uuid, attr in stored.items() if uuid not in diff.removed} | diff.put
    assert result == wanted
    # And touches nothing that is as it should be.
    assert all(stored.get(uuid) != attr for uuid, attr in diff.put.items())
    assert {*diff.removed} <= {*stored}


@given(refs, refs)
def test_element_diff_leads_from_stored_to_wanted(
    stored: dict[str, str], wanted: dict[str, str]
) -> None:
    diff = changes.element_diff(stored, [*wanted.items()])
    kept = {at: text for at, text in stored.items() if at not in diff.removed}
    assert kept | dict(diff.put) == wanted
    assert all(stored.get(at) != text for at, text in diff.put)


def stored_from(create: Create) -> StoredObject:
    """What an engine would store, with keys and attrs in another order of bytes."""
    return StoredObject(
        obj_type=create.obj_type,
        uuid=create.uuid,
        key=create.key,
        parent_type=create.parent_type,
        parent_uuid=create.parent_uuid,
        revision=1,
        created=0,
        modified=0,
        document=encoded(dict(reversed(msgspec.json.decode(create.document).items()))),
        elements=[
            (field, at, text)
            for field, elements in reversed(create.elements.items())
            for at, text in reversed(elements)
        ],
        refs=[
            (ref.to_type, ref.uuid or "", None, ref.attr)
            for targets in create.refs.values()
            for ref in targets
        ],
    )


objects = st.fixed_dictionaries(
    {"fq_name": st.just(["name"])},
    optional={
        "colour": json_values,
        "size": json_values,
        "rows": st.lists(json_values, max_size=12),
        "wrapped": st.lists(json_values, max_size=2).map(lambda items: {"item": items}),
        "pairs": st.dictionaries(texts.filter(bool), json_values, max_size=3).map(
            lambda pairs: {"pair": [{"key": key, "v": value} for key, value in pairs.items()]}
        ),
        "kind_refs": st.lists(
            st.fixed_dictionaries({"uuid": st.uuids().map(str), "attr": json_values}),
            max_size=2,
            unique_by=lambda ref: ref["uuid"],
        ),
    },
)


def targets_of(create: Create) -> list[RefTarget]:
    return [ref for targets in create.refs.values() for ref in targets]


@given(objects)
def test_repeated_create_has_the_same_content(content: dict[str, Any]) -> None:
    create = MODEL.create("kind", UUID, content)
    assert changes.same_content(create, stored_from(create), targets_of(create))


@given(objects, objects)
def test_other_content_is_seen(content: dict[str, Any], other: dict[str, Any]) -> None:
    create, stored = MODEL.create("kind", UUID, content), MODEL.create("kind", UUID, other)
    same = changes.same_content(create, stored_from(stored), targets_of(create))
    assert same == json_equal(comparable(content), comparable(other))


def comparable(content: dict[str, Any]) -> dict[str, Any]:
    """An object with what is empty left out, and without the order that is not kept."""
    kept = {name: value for name, value in content.items() if value is not None}
    for name, inner in (("wrapped", "item"), ("pairs", "pair")):
        kept[name] = kept.get(name, {}).get(inner, [])
    kept["pairs"] = sorted(kept["pairs"], key=lambda pair: str(pair["key"]))
    kept["kind_refs"] = sorted(kept.get("kind_refs", []), key=lambda ref: str(ref["uuid"]))
    return {
        name: value for name, value in kept.items() if value != [] or name in {"colour", "size"}
    }


@given(objects)
def test_create_as_update_names_what_was_given(content: dict[str, Any]) -> None:
    create = MODEL.create("kind", UUID, content)
    update = changes.create_as_update(create)
    given_properties = {
        name: content[name] for name in ("colour", "size") if content.get(name) is not None
    }
    assert {n: msgspec.json.decode(t or "") for n, t in update.properties.items()} == (
        given_properties
    )
    assert (update.elements, update.refs) == (create.elements, create.refs)


@given(st.tuples(st.integers(0, 3), st.integers(0, 3)), st.integers(0, 3), st.integers(0, 3))
def test_fence_is_stale_when_it_is_lower(highest: tuple[int, int], epoch: int, token: int) -> None:
    fence = Fence("term", epoch, token)
    changes.check_fence(fence, None)
    if (epoch, token) >= highest:
        changes.check_fence(fence, highest)
    else:
        with pytest.raises(StaleFenceError) as refusal:
            changes.check_fence(fence, highest)
        assert (refusal.value.fence, refusal.value.highest) == ((epoch, token), highest)


@pytest.mark.parametrize("expected", [None, 5, 4, 0])
def test_revision_is_compared(expected: int | None) -> None:
    if expected in {None, 5}:
        changes.check_revision("it", expected, 5)
        return
    with pytest.raises(RevisionConflictError, match=r"^it is at revision 5") as refusal:
        changes.check_revision("it", expected, 5)
    assert (refusal.value.expected, refusal.value.actual) == (expected, 5)


@pytest.mark.parametrize(
    "identity",
    [{"fq_name": ["b"]}, {"parent_type": "other"}, {"parent_uuid": UUID}],
    ids=str,
)
def test_identity_may_be_repeated_and_not_altered(identity: dict[str, Any]) -> None:
    same = MODEL.update("kind", UUID, {"fq_name": ["a"], "parent_type": "config_root"})
    changes.check_identity(same, '["a"]', None, None)
    with pytest.raises(InvalidRequestError, match="cannot change"):
        changes.check_identity(MODEL.update("kind", UUID, identity), '["a"]', None, None)


@pytest.mark.parametrize(
    ("id_perms", "owner"),
    [
        (None, ""),
        ({"permissions": {"owner": "me"}}, "me"),
        ({"permissions": {"owner": None}}, ""),
        ({"permissions": []}, ""),
        ([], ""),
    ],
)
def test_default_permissions(id_perms: Any, owner: str) -> None:
    perms2 = changes.default_perms2({} if id_perms is None else {"id_perms": id_perms})
    assert perms2 == {"owner": owner, "owner_access": 7, "global_access": 0, "share": []}


def test_error_names_some_of_many() -> None:
    message = str(changes.not_found("kind", *(f"u{number}" for number in range(25))))
    assert "u9" in message
    assert "and 15 more" in message
