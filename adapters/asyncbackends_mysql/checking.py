"""How a unit locks and checks what it needs, before it changes anything. Pure."""

from collections.abc import Iterable, Sequence

from asyncbackends.sql.effects import Effects, NewObject
from asyncbackends.sql.server import Refused
from asyncbackends_mysql.conditions import (
    any_of,
    around,
    chunks,
    id_list,
    is_named,
    is_ref,
    is_row,
)
from asyncbackends_mysql.dialect import id_literal, name_literal, text_literal
from asyncbackends_mysql.unit_statements import ALL_ONES, NOW, Pair, UnitStatements

__all__ = ("Checks", "demanded")

MANY = 1 << 32


def demanded(refusals: Sequence[str], *assignments: str) -> str:
    """Give the statement that refuses the unit where one of the conditions holds."""
    if refusals:
        assignments = (f"@c = {ALL_ONES} + ({any_of(refusals)})", *assignments)
    return f"SET {', '.join(assignments)}"


class Checks:
    """The checks of one unit; locks are taken in the order of uuids."""

    def __init__(self, effects: Effects, statements: UnitStatements) -> None:
        self._effects = effects
        self._statements = statements
        self.new = {one.uuid: one for one in effects.objects}
        self._new_names = {(one.type, one.fq): one.uuid for one in reversed(effects.objects)}
        self._found: dict[tuple[str, str], str] = {}
        """Variables for objects that are given by their name."""

    def texts(self) -> Iterable[str]:
        """Give the statements; the last one takes the time, too."""
        yield from self._fence()
        locks = [*self._guards(), *self._seen_rows()]
        looks = [*self._needed_refs(), *self._taken_names(), *self._stamp()]
        if locks and looks:
            # What is looked at without a lock is read after the locks were waited for.
            yield demanded(locks)
            locks = []
        yield from self._find_names()
        missing = [f"{variable} IS NULL" for variable in self._found.values()]
        yield demanded([*locks, *self._targets(), *missing, *looks], NOW)

    def id_of(self, obj_type: str, fq: str) -> str:
        """Give the uuid of an object that is given by its name, as a literal or a variable."""
        new = self._new_names.get((obj_type, fq))
        return self._found[obj_type, fq] if new is None else id_literal(new)

    def parent_of(self, one: NewObject) -> str | None:
        """Give the uuid of a new object's parent, if that is new too."""
        if one.parent_uuid is not None:
            return one.parent_uuid if one.parent_uuid in self.new else None
        return self._new_names.get((one.parent_type or "", one.parent_fq or ""))

    def _fence(self) -> Iterable[str]:
        if self._effects.fence is None:
            return
        name, epoch, token = self._effects.fence
        key = text_literal(name)
        higher = f"name = {key} AND (epoch > {epoch} OR epoch = {epoch} AND token > {token})"
        yield demanded([f"{around(self._statements.stale_fence, higher)} > 0"])
        yield around(self._statements.raise_fence, f"{key} AS a, {epoch} AS b, {token} AS c")

    def _guards(self) -> Iterable[str]:
        revisions: dict[str, int | None] = {}
        for uuid, _, revision in self._effects.guards:
            known = revisions.setdefault(uuid, revision)
            if known is None:
                revisions[uuid] = revision
            elif revision not in {None, known}:
                message = f"two revisions are expected of {uuid}"
                raise Refused(message)
        for chunk in chunks(sorted(revisions.items(), key=lambda item: item[0])):
            anyhow = [uuid for uuid, revision in chunk if revision is None]
            wanted = [f"uuid IN {id_list(anyhow)}"] if anyhow else []
            wanted += [
                f"uuid = {id_literal(uuid)} AND revision = {revision}"
                for uuid, revision in chunk
                if revision is not None
            ]
            yield _other_than(self._statements.states, wanted, len(chunk))

    def _seen_rows(self) -> Iterable[str]:
        rows = sorted(self._effects.kv_rows, key=lambda row: (row.row_table, row.name))
        known = [f"{is_row(row)} AND revision = {row.seen}" for row in rows if row.seen]
        for chunk in chunks(known):
            yield _other_than(self._statements.rows, chunk, len(chunk))
        for chunk in chunks([is_row(row) for row in rows if not row.seen and row.columns is None]):
            yield _other_than(self._statements.rows, chunk, 0)

    def _needed_refs(self) -> Iterable[str]:
        wanted = [
            f"{is_ref(uuid, to)} AND to_type = {name_literal(to_type)}"
            for uuid, to_type, to in dict.fromkeys(self._effects.needed_refs)
        ]
        for chunk in chunks(wanted):
            yield _other_than(self._statements.refs_there, chunk, len(chunk))

    def _taken_names(self) -> Iterable[str]:
        """Say that somebody has a name: the index of names lets legacy duplicates pass."""
        names = [is_named(one.type, one.fq) for one in self._effects.objects if one.unique]
        gone = [*self._effects.gone, *self._effects.buried]
        for chunk in chunks(names):
            taken = any_of(chunk)
            if gone:
                taken = f"({taken}) AND uuid NOT IN {id_list(gone)}"
            yield f"{around(self._statements.names_taken, taken)} > 0"

    def _stamp(self) -> Iterable[str]:
        # Who raises the counter compares the stamp there.
        if not self._effects.revisions:
            yield f"{self._statements.stamp} <> {self._effects.stamp}"

    def _find_names(self) -> Iterable[str]:
        wanted = [
            (one.parent_type, one.parent_fq)
            for one in self._effects.objects
            if one.parent_type is not None and one.parent_uuid is None
        ]
        wanted += [(one.to_type, one.to_fq) for one in self._effects.refs if one.to_uuid is None]
        for obj_type, fq in dict.fromkeys(wanted):
            if fq is None:
                message = "an object is given neither by its uuid nor by its name"
                raise Refused(message)
            if (obj_type, fq) not in self._new_names:
                self._found[obj_type, fq] = f"@p{len(self._found)}"
        finders = [
            f"{variable} = {around(self._statements.first_named, is_named(*name))}"
            for name, variable in self._found.items()
        ]
        for chunk in chunks(finders):
            yield demanded((), *chunk)

    def _targets(self) -> Iterable[str]:
        """Lock what must stay, and say that something of it is missing."""
        found: dict[str, tuple[str, str | None]] = {}
        names: set[tuple[str, str]] = set()
        for obj_type, uuid, fq in self._wanted():
            if uuid is None:
                names.add((obj_type, fq or ""))
                continue
            known_type, known_fq = found.get(uuid, (obj_type, fq))
            if obj_type != known_type or (fq or known_fq) != (known_fq or fq):
                message = f"two things are expected of {uuid}"
                raise Refused(message)
            found[uuid] = (obj_type, fq or known_fq)
        for chunk in chunks(sorted(found.items())):
            by_type: dict[str, list[str]] = {}
            wanted: list[str] = []
            for uuid, (obj_type, fq) in chunk:
                if fq is None:
                    by_type.setdefault(obj_type, []).append(uuid)
                else:
                    wanted.append(f"uuid = {id_literal(uuid)} AND {is_named(obj_type, fq)}")
            wanted += [
                f"uuid IN {id_list(uuids)} AND type = {name_literal(obj_type)}"
                for obj_type, uuids in by_type.items()
            ]
            yield _other_than(self._statements.objects, wanted, len(chunk))
        for each in chunks(sorted(names)):
            # All of them are there, and none twice.
            count = len(each) * MANY + len(each)
            yield _other_than(
                self._statements.objects_named, [is_named(*name) for name in each], count
            )

    def _wanted(self) -> Iterable[tuple[str, str | None, str | None]]:
        effects = self._effects
        for target in effects.targets:
            yield target.type, target.uuid, target.fq
        for guard in effects.guards:
            yield guard.type, guard.uuid, None
        for one in effects.objects:
            if one.parent_type is not None and one.parent_uuid not in {None, *self.new}:
                yield one.parent_type, one.parent_uuid, None
        for ref in effects.refs:
            if ref.to_fq is None and not ref.dangling and ref.to_uuid not in {None, *self.new}:
                yield ref.to_type, ref.to_uuid, None


def _other_than(pair: Pair, conditions: Sequence[str], count: int) -> str:
    """Say that not so many rows are there."""
    return f"{around(pair, any_of(conditions))} <> {count}"
