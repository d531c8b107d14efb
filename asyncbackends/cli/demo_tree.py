"""The step of the demo that reads a subtree and draws it."""

from collections.abc import Sequence
from typing import Final

from asyncbackends.cli.demo_stage import Stage
from asyncbackends.cli.demo_steps import Known
from asyncbackends.interchange.shapes import as_list
from asyncbackends.object_model.views import type_view
from asyncbackends.protocols.config_database import ConfigDatabase
from asyncbackends.protocols.values import ALL_FIELDS

__all__ = ("show_subtree",)

LINES: Final = 24
LINKS: Final = 2


async def show_subtree(stage: Stage, known: Sequence[Known]) -> None:
    """Read the largest tree and draw it."""
    with stage.step("Read a subtree"):
        below: dict[str, int] = {}
        parents = {each.uuid: each.parent for each in known}
        for each in reversed(known):
            parent = parents[each.uuid]
            if parent is not None:
                below[parent] = below.get(parent, 0) + below.get(each.uuid, 0) + 1
        roots = [each for each in known if each.parent is None]
        if not roots:
            stage.say("the dump has no object without a parent")
            return
        root = max(roots, key=lambda each: below.get(each.uuid, 0))
        lines = await _tree(stage.database, root.obj_type, root.uuid)
        for line in lines[:LINES]:
            stage.say(line)
        if len(lines) > LINES:
            stage.say(f"and {below.get(root.uuid, 0) + 1 - LINES} more")


async def _tree(
    database: ConfigDatabase, obj_type: str, uuid: str, indent: str = "", mark: str = ""
) -> list[str]:
    """Draw an object and what is below it, some lines more than are shown at most."""
    found = await database.object_get(obj_type, uuid, ALL_FIELDS)
    lines = [f"{indent}{mark}{obj_type} {found['fq_name'][-1]}{_links(found)}"]
    children = [
        (child, entry["uuid"])
        for child in sorted(type_view(database.schema, obj_type).children)
        for entry in found.get(f"{child}s", ())
    ]
    deeper = indent + {"": "", "├─ ": "│  ", "└─ ": "   "}[mark]
    for number, (child, child_uuid) in enumerate(children, 1):
        branch = "└─ " if number == len(children) else "├─ "
        lines += await _tree(database, child, child_uuid, deeper, branch)
        if len(lines) > LINES:
            break
    return lines


def _links(found: dict[str, object]) -> str:
    targets = sorted(
        f"{field.removesuffix('_refs')} {ref['to'][-1]}"
        for field, refs in found.items()
        if field.endswith("_refs") and not field.endswith("_back_refs")
        for ref in as_list(refs) or ()
        if "to" in ref
    )
    if not targets:
        return ""
    more = f" and {len(targets) - LINKS} more" if len(targets) > LINKS else ""
    return f"  -> {', '.join(targets[:LINKS])}{more}"
