"""What a history begins with, and the writes of its batches."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from asyncbackends.batch import Batch
from asyncbackends.testing.config_database.sample import KIT_SCHEMA
from asyncbackends.testing.machine import strategies as given
from asyncbackends.testing.machine.strategies import Known

__all__ = ("BEGINNING", "REFS", "TYPES", "WITH_COLLECTIONS", "Queue", "queued")

WITH_COLLECTIONS = ("virtual_network", "note")
TYPES = (
    "project",
    "tag",
    "virtual_network",
    "virtual_network",
    "network_policy",
    "virtual_port",
    "note",
    "domain",
)
REFS = [
    (name, target, ref.attr)
    for name, one in KIT_SCHEMA.types.items()
    for target, ref in one.refs.items()
]

PROJECT = {"parent_type": "project"}
BEGINNING: list[tuple[str, dict[str, Any]]] = [
    ("domain", {"fq_name": ["a"]}),
    ("project", {"fq_name": ["a", "a"]}),
    ("network_policy", {"fq_name": ["a", "a", "a"], **PROJECT}),
    ("tag", {"fq_name": ["a"]}),
    (
        "virtual_network",
        {
            "fq_name": ["a", "a", "a"],
            "routes": [*range(11)],
            "network_policy_refs": [{"uuid": given.IDS[2], "attr": {"x": 1}}],
            "tag_refs": [{"uuid": given.IDS[3]}],
        },
    ),
    (
        "virtual_network",
        {"fq_name": ["a", "a", "b"], "mtu": 1, "virtual_network_refs": [{"uuid": given.IDS[4]}]},
    ),
    (
        "virtual_port",
        {"fq_name": ["a", "a", "a"], **PROJECT, "virtual_network_refs": [{"uuid": given.IDS[5]}]},
    ),
    ("note", {"fq_name": ["a"], "lines": ["x"]}),
    ("note", {"fq_name": ["b"]}),
    ("tag", {"fq_name": ["b"]}),
]

Queue = Callable[[Batch], object]


@st.composite
def queued(draw: st.DrawFn, known: Known) -> Queue:
    """Give a write of a batch."""
    obj_type = draw(st.sampled_from(TYPES))
    uuid = draw(given.known_ids(known, obj_type))
    kind = draw(st.sampled_from(["create", "update", "delete", "ref", "row", "elements", "share"]))
    if kind == "create":
        fresh, content = draw(given.new_ids(known)), draw(given.contents(obj_type, known))
        return lambda batch: batch.object_create(obj_type, fresh, content)
    if kind == "update":
        update = draw(given.updates(obj_type, known))
        return lambda batch: batch.object_update(obj_type, uuid, update)
    if kind == "delete":
        return lambda batch: batch.object_delete(obj_type, uuid)
    if kind == "row":
        row, key = draw(given.rows), draw(st.sampled_from(given.KEYS))
        return lambda batch: batch.kv_put("t", key, row)
    if kind == "elements":
        holder = draw(given.known_ids(known, "virtual_network"))
        steps = draw(given.element_updates("virtual_network"))
        return lambda batch: batch.prop_collection_update("virtual_network", holder, steps)
    if kind == "share":
        return lambda batch: batch.set_shared(obj_type, uuid)
    from_type, to_type, _ = draw(st.sampled_from(REFS))
    holder, to = draw(given.known_ids(known, from_type)), draw(given.known_ids(known, to_type))
    operation: Any = draw(st.sampled_from(["ADD", "DELETE"]))
    return lambda batch: batch.ref_update(from_type, holder, to_type, to, None, operation)
