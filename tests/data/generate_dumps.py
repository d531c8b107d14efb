"""Generates the dumps that the tests and the demo read: ``python -m tests.data.generate_dumps``.

A small cloud in OpenContrail's shape is described once, as plain objects (``cloud``), and written in
both forms; ``damaged`` then spoils a copy in every way that a load has to notice.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

__all__ = ("Cloud", "Thing", "cloud", "column_form", "damaged", "exim_form", "uuid_of")

HERE = Path(__file__).parent
DEMO = HERE.parents[1] / "asyncbackends" / "cli" / "demo_dump.json"
TIMESTAMP = 1_592_899_701_292_475
ABSENT = "00000000-0000-4000-8000-00000000dead"

Columns = dict[str, str]


def uuid_of(name: str) -> str:
    """The id of a generated object."""
    return str(uuid5(NAMESPACE_URL, f"asyncbackends:{name}"))


@dataclass
class Thing:
    """An object as it should read back, and how it is stored."""

    obj_type: str
    fq_name: list[str]
    parent: "Thing | None" = None
    properties: dict[str, Any] = field(default_factory=dict[str, Any])
    lists: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """By position."""
    maps: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """By key."""
    refs: dict[str, tuple["Thing", Any]] = field(default_factory=dict[str, tuple["Thing", Any]])
    """By uuid: the target and the attr."""

    @property
    def uuid(self) -> str:
        return uuid_of(":".join([self.obj_type, *self.fq_name]))

    def refer(self, target: "Thing", attr: Any = None) -> None:
        self.refs[target.uuid] = (target, attr)
        if target.obj_type == self.obj_type:
            target.refs[self.uuid] = (self, attr)

    def expected(self) -> dict[str, Any]:
        """The dict form, collections bare."""
        content: dict[str, Any] = {"uuid": self.uuid, "fq_name": self.fq_name, **self.properties}
        if self.parent is not None:
            content |= {"parent_type": self.parent.obj_type, "parent_uuid": self.parent.uuid}
        content |= {name: list(elements.values()) for name, elements in self.lists.items()}
        content |= {
            name: [elements[key] for key in sorted(elements)]
            for name, elements in self.maps.items()
        }
        for uuid in sorted(self.refs):
            target, attr = self.refs[uuid]
            ref = {"to": target.fq_name, "uuid": uuid, "attr": attr}
            content.setdefault(f"{target.obj_type}_refs", []).append(ref)
        return content


@dataclass
class Cloud:
    """All objects, parents first."""

    things: list[Thing] = field(default_factory=list[Thing])

    def add(self, obj_type: str, name: str, parent: Thing | None = None, **parts: Any) -> Thing:
        fq_name = [*(parent.fq_name if parent is not None else []), name]
        thing = Thing(obj_type, fq_name, parent, **parts)
        thing.properties.setdefault("id_perms", {"enable": True, "user_visible": True})
        self.things.append(thing)
        return thing

    def of(self, obj_type: str) -> list[Thing]:
        return [thing for thing in self.things if thing.obj_type == obj_type]


def cloud(prefix: str = "example", *, projects: int = 2, networks: int = 3) -> Cloud:
    """Describe a cloud: every feature of the storage layout is somewhere in it."""
    made = Cloud()
    system = made.add("global_system_config", f"{prefix}-system")
    domain = made.add("domain", f"{prefix}-domain")
    _alarms(made, system)
    target = made.add("route_target", f"target:64512:8000001:{prefix}")
    for number in range(1, projects + 1):
        _project(made, made.add("project", f"team-{number}", domain), target, networks)
    interfaces = made.of("virtual_machine_interface")
    if len(interfaces) > 1:
        interfaces[0].refer(interfaces[1], {"sub_interface": 7})
    return made


def _alarms(made: Cloud, system: Thing) -> None:
    for name, positions in (
        ("disk-usage", [str(number) for number in range(12)]),
        ("node-down", ["0", "2", "10", "abc"]),
    ):
        rules = {at: {"and_list": [{"operation": ">=", "operand1": at}]} for at in positions}
        severity = 1 if name == "node-down" else 0
        properties = {"alarm_severity": severity, "uve_keys": {"uve_key": ["analytics-node"]}}
        made.add("alarm", name, system, properties=properties, lists={"alarm_rules": rules})


def _project(made: Cloud, project: Thing, target: Thing, networks: int) -> None:
    ipam = made.add("network_ipam", "addresses", project)
    group = made.add("security_group", "web", project)
    for number in range(1, networks + 1):
        network = made.add(
            "virtual_network",
            f"net-{number}",
            project,
            properties={"display_name": f"net {number} of {project.fq_name[-1]}", "mtu": 1500},
        )
        network.refer(ipam, {"ipam_subnets": [{"subnet": f"10.{number}.0.0/16"}]})
        instance = made.add("routing_instance", network.fq_name[-1], network)
        instance.refer(target, {"import_export": None})
        bindings = {"vif_type": "vrouter", "vnic_type": "normal", "host:id": "node-1"}
        port = made.add(
            "virtual_machine_interface",
            f"port-{number}",
            project,
            maps={
                "virtual_machine_interface_bindings": {
                    key: {"key": key, "value": value} for key, value in bindings.items()
                }
            },
        )
        port.refer(network)
        port.refer(group)
        port.refer(instance, {"direction": "both"})
        address = made.add("instance_ip", uuid_of(f"ip {port.uuid}"))
        address.properties["instance_ip_address"] = f"10.{number}.0.5"
        address.refer(network)
        address.refer(port)


def _rows(made: Cloud) -> Iterator[tuple[str, Columns]]:
    rows = {thing.uuid: dict(_own_columns(thing)) for thing in made.things}
    for thing in made.things:
        if thing.parent is not None:
            rows[thing.parent.uuid][f"children:{thing.obj_type}:{thing.uuid}"] = "null"
        for target, attr in thing.refs.values():
            if target.obj_type != thing.obj_type:
                data = json.dumps({"attr": attr, "is_weakref": False})
                back = rows[target.uuid]
                back[f"backref:{thing.obj_type}:{thing.uuid}"] = data
                if thing.obj_type == "instance_ip":  # old rows have both spellings
                    back[f"backref:instance-ip:{thing.uuid}"] = data
    yield from rows.items()


def _own_columns(thing: Thing) -> Iterator[tuple[str, str]]:
    yield "META:latest_col_ts", "null"
    yield "type", json.dumps(thing.obj_type)
    yield "fq_name", json.dumps(thing.fq_name)
    if thing.parent is not None:
        yield "parent_type", json.dumps(thing.parent.obj_type.replace("_", "-"))
        yield f"parent:{thing.parent.obj_type}:{thing.parent.uuid}", "null"
    elif thing.obj_type == "global_system_config":
        yield "parent_type", '""'
        yield "UUID", json.dumps(thing.uuid)
    for name, value in thing.properties.items():
        yield f"prop:{name}", json.dumps(value)
    yield "prop:nothing", "null"
    # Cassandra gives columns in the order of their text: '10' before '2'.
    for name, elements in thing.lists.items():
        for at in sorted(elements):
            yield f"propl:{name}:{at}", json.dumps(elements[at])
    for name, elements in thing.maps.items():
        for key in sorted(elements):
            yield f"propm:{name}:{key}", json.dumps(elements[key])
    for uuid, (target, attr) in thing.refs.items():
        old = attr is not None and "attr" not in attr and target.obj_type == "route_target"
        data = attr if old else {"attr": attr, "is_weakref": False}
        yield f"ref:{target.obj_type}:{uuid}", json.dumps(data)


def _names(made: Cloud) -> dict[str, Columns]:
    names: dict[str, Columns] = {}
    for thing in made.things:
        column = ":".join([*thing.fq_name, thing.uuid])
        names.setdefault(thing.obj_type, {})[column] = "null"
    return names


def column_form(made: Cloud) -> list[dict[str, Any]]:
    """Write a cloud in the column form."""
    return [{"operation": "db_sync", "OBJ_FQ_NAME_TABLE": _names(made), "db": dict(_rows(made))}]


def exim_form(made: Cloud) -> dict[str, Any]:
    """Write a cloud in the db_json_exim form, with all that stands beside the objects."""
    dump = column_form(made)[0]
    network, project = made.of("virtual_network")[0], made.of("project")[-1]
    share = f"tenant:{project.uuid}:{network.uuid}"
    port = made.of("virtual_machine_interface")[0]
    dump["db"][network.uuid][f"relaxbackref:{port.uuid}"] = "null"

    def stamped(table: dict[str, Columns]) -> dict[str, dict[str, list[Any]]]:
        return {
            row: {column: [text, TIMESTAMP] for column, text in columns.items()}
            for row, columns in table.items()
        }

    return {
        "cassandra": {
            "config_db_uuid": {
                "obj_uuid_table": stamped(dump["db"]),
                "obj_fq_name_table": stamped(dump["OBJ_FQ_NAME_TABLE"]),
                "obj_shared_table": stamped({"virtual_network": {share: "7"}}),
            },
            "useragent": {
                "useragent_keyval_table": stamped({"subnet 1": {"value": "plain, no JSON"}})
            },
            "to_bgp_keyspace": {
                "route_target_table": stamped({"target:64512:8000001": {"rtgt_num": "8000001"}}),
                "service_chain_table": {},
            },
        },
        "zookeeper": '[["/id", ["x", []]]]',
    }


def damaged(made: Cloud) -> list[dict[str, Any]]:
    """Write a cloud in the column form and spoil it in every way."""
    dump = column_form(made)
    rows: dict[str, Any] = dump[0]["db"]
    names: dict[str, Columns] = dump[0]["OBJ_FQ_NAME_TABLE"]
    system, domain = made.of("global_system_config")[0], made.of("domain")[0]
    first, second, third = made.of("virtual_network")[:3]
    ports = made.of("virtual_machine_interface")

    # Rows that are no objects.
    rows["no-uuid"] = {"type": '"domain"', "fq_name": '["no-uuid"]'}
    rows[uuid_of("text")] = "a text"
    rows[uuid_of("untyped")] = {"fq_name": '["untyped"]'}
    rows[uuid_of("nameless")] = {"type": '"domain"', "fq_name": "[]"}
    rows[uuid_of("half")] = {"type": '"domain', "fq_name": '["half"]'}
    rows[domain.uuid.upper()] = dict(rows[domain.uuid])
    rows[uuid_of("namesake")] = dict(rows[third.uuid])
    # Links that lead nowhere, and what hangs on them.
    orphan = uuid_of("orphan")
    rows[orphan] = {
        "type": '"project"',
        "fq_name": '["gone", "orphan"]',
        "parent_type": '"domain"',
        f"parent:domain:{ABSENT}": "null",
    }
    rows[uuid_of("grandchild")] = {
        "type": '"network_ipam"',
        "fq_name": '["gone", "orphan", "ipam"]',
        "parent_type": '"project"',
        f"parent:project:{orphan}": "null",
    }
    rows[first.uuid][f"ref:network_ipam:{ABSENT}"] = '{"attr": null}'
    rows[first.uuid][f"ref:network_ipam:{second.uuid}"] = '{"attr": null}'
    rows[first.uuid]["ref:network_ipam:no-uuid"] = '{"attr": null}'
    # Columns that cannot be read.
    rows[second.uuid]["prop:mtu"] = "15"  # fine
    rows[second.uuid]["prop:broken"] = '{"half": '
    rows[second.uuid]["prop:too_large"] = str(2**70)
    rows[second.uuid]["prop:with_nul"] = json.dumps("a\0b")
    rows[second.uuid]["propl:cut"] = "1"
    rows[second.uuid]["prop:not_text"] = 5
    rows[ports[0].uuid]["propm:virtual_machine_interface_bindings:other"] = '{"key": "another"}'
    # Names that collide: with children, and one that is a list elsewhere.
    rows[made.of("project")[0].uuid]["prop:virtual_networks"] = "1"
    rows[made.of("alarm")[0].uuid]["prop:alarm_rules"] = '{"or_list": []}'
    # Objects without a row, named at other places.
    names["alarm"][f"{system.fq_name[0]}:lost:{uuid_of('lost')}"] = "null"
    rows[system.uuid][f"children:alarm:{uuid_of('lost')}"] = "null"
    rows[third.uuid][f"backref:floating-ip:{uuid_of('lost address')}"] = '{"attr": null}'
    # No damage, only odd: other ends that are missing, superfluous or different.
    del rows[system.uuid][f"children:alarm:{made.of('alarm')[0].uuid}"]
    rows[third.uuid][f"backref:virtual_machine_interface:{ports[0].uuid}"] = '{"attr": null}'
    pair = sorted(ports[:2], key=lambda port: port.uuid)
    other = rows[pair[1].uuid]
    other[f"ref:virtual_machine_interface:{pair[0].uuid}"] = '{"attr": {"sub_interface": 8}}'
    return dump


def main() -> None:
    """Write all files."""
    for path, content in (
        (HERE / "columns.json", column_form(cloud())),
        (HERE / "exim.json", exim_form(cloud())),
        (HERE / "columns_damaged.json", damaged(cloud())),
        (DEMO, _demo()),
    ):
        path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _demo() -> list[dict[str, Any]]:
    made = cloud("demo", projects=2, networks=2)
    dump = column_form(made)
    rows = dump[0]["db"]
    system, network = made.of("global_system_config")[0], made.of("virtual_network")[1]
    lost = uuid_of("demo lost")
    dump[0]["OBJ_FQ_NAME_TABLE"]["alarm"][f"{system.fq_name[0]}:lost:{lost}"] = "null"
    rows[system.uuid][f"children:alarm:{lost}"] = "null"
    rows[network.uuid][f"ref:network_policy:{ABSENT}"] = '{"attr": null}'
    rows[network.uuid]["prop:provider_properties"] = '{"segmentation_id": '
    return dump


if __name__ == "__main__":
    main()
