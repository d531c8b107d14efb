"""Compares what stands at the other end of links, and in the name table, with the truth. Pure."""

from collections.abc import Mapping

from asyncbackends.errors import InvalidRequestError
from asyncbackends.interchange.column_forms import ColumnDump
from asyncbackends.interchange.column_names import snake_case
from asyncbackends.interchange.findings import Findings
from asyncbackends.interchange.scanning import Index
from asyncbackends.object_model.values import canonical_id, fq_name_of

__all__ = ("compare_links", "compare_names", "read_names")

ONE_END = "links stored at one end only"
NO_TRUTH = "reverse columns without a link"


def read_names(dump: ColumnDump, findings: Findings) -> dict[str, tuple[str, str]]:
    """Give the type and name of each id that the name table has."""
    named: dict[str, tuple[str, str]] = {}
    for obj_type, raw in sorted(dump.names.items()):
        row = f"the name table, {obj_type}"
        try:
            texts, broken = dump.columns(raw)
        except ValueError as error:
            findings.damage(row, "", str(error))
            continue
        for column in sorted(texts.keys() | broken.keys()):
            name, _, text = column.rpartition(":")
            try:
                named.setdefault(canonical_id(text), (snake_case(obj_type), name))
            except InvalidRequestError as error:
                findings.damage(row, column, str(error))
    return named


def compare_names(named: Mapping[str, tuple[str, str]], index: Index, findings: Findings) -> None:
    """Hold the name table against the rows, which are the truth."""
    for uuid, (obj_type, name) in named.items():
        entry = index.entries.get(uuid)
        if entry is None:
            index.other_types.setdefault(uuid, obj_type)
        elif (":".join(fq_name_of(entry.key)), entry.obj_type) != (name, obj_type):
            reason = f"the name table calls it {obj_type} {name}; its row is taken"
            findings.warn("names that differ", str(entry), "fq_name", reason)
    for uuid, entry in index.entries.items() if named else ():
        if uuid not in named:
            findings.warn("rows without a name entry", str(entry), "", "it is loaded")


def compare_links(named: Mapping[str, tuple[str, str]], index: Index, findings: Findings) -> None:
    """Hold ``backref:`` and ``children:`` against ``ref:`` and ``parent:``, which are the truth.

    An object that only these or the name table have is damage: it has no row.
    """
    mentions = {
        uuid: [f"the name table calls it {name}"]
        for uuid, (_, name) in named.items()
        if uuid not in index.entries
    }
    for first, second in index.unpaired(index.children - index.parents):
        if first not in index.entries:
            mentions.setdefault(first, []).append(f"it is a child of {_named(index, second)}")
        else:
            reason = "the child does not name this parent; the child is right"
            column = f"children:{index.entries[first].obj_type}:{first}"
            findings.warn(NO_TRUTH, _named(index, second), column, reason)
    for first, second in index.unpaired(index.back_refs - index.refs):
        if first not in index.entries:
            mentions.setdefault(first, []).append(f"it refers to {_named(index, second)}")
        else:
            reason = "the holder has no such ref; the holder is right"
            column = f"backref:{index.entries[first].obj_type}:{first}"
            findings.warn(NO_TRUTH, _named(index, second), column, reason)
    for uuid in sorted(mentions.keys() - index.broken):
        row = f"{index.other_types.get(uuid, '')} {uuid}".strip()
        findings.damage(row, "", f"it has no row, but {' and '.join(mentions[uuid])}")
    _one_ended(index, findings)


def _one_ended(index: Index, findings: Findings) -> None:
    for first, second in index.unpaired(index.parents - index.children):
        if second in index.entries:
            column = f"parent:{index.entries[second].obj_type}:{second}"
            findings.warn(ONE_END, _named(index, first), column, "the parent has no column for it")
    for first, second in index.unpaired(index.refs - index.back_refs):
        if second in index.entries and second not in index.mutual.get(first, {}):
            column = f"ref:{index.entries[second].obj_type}:{second}"
            findings.warn(ONE_END, _named(index, first), column, "the target has no column for it")


def _named(index: Index, uuid: str) -> str:
    entry = index.entries.get(uuid)
    return uuid if entry is None else str(entry)
