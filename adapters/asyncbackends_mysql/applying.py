"""Write units as packets of statements. Pure.

A packet locks and checks first, then takes away and puts, and has the counter's row last of all,
only until the commit that ends the same packet: so nobody who waits for it waits for a client.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from asyncbackends.errors import InvalidRequestError
from asyncbackends.sql.effects import DELETED, Effects, NewKvRow, NewObject, NewRef
from asyncbackends_mysql.checking import Checks, demanded
from asyncbackends_mysql.conditions import CONDITIONS, around, chunks, id_list, is_ref, is_row
from asyncbackends_mysql.dialect import id_literal, name_literal, text_literal
from asyncbackends_mysql.unit_statements import ALL_ONES, Pair, UnitStatements

__all__ = ("packets",)

LONGEST: Final = 1 << 20
"""Characters of one statement, if its rows are not longer."""
ROOM: Final = 4096


def packets(effects: Effects, statements: UnitStatements, limit: int, *, alone: bool) -> list[str]:
    """Give what is sent for a unit: one packet, unless it is longer than ``limit``.

    The last row of the last one is (before, now).

    :param alone: it is a transaction of its own.
    :raises Refused: it contradicts itself.
    :raises InvalidRequestError: one row alone is too long.
    """
    unit = _Unit(effects, statements, limit - ROOM)
    unit.compose()
    texts = unit.texts
    if alone:
        texts = ["START TRANSACTION", *texts, "COMMIT"]
    before = "LAST_INSERT_ID()" if effects.revisions else statements.revision
    return _joined([*texts, f"SELECT {before}, @n"], limit)


def _joined(texts: Iterable[str], limit: int) -> list[str]:
    joined: list[list[str]] = [[]]
    length = 0
    for text in texts:
        length += len(text) + 1
        if length > limit and joined[-1]:
            joined.append([])
            length = len(text) + 1
        joined[-1].append(text)
    return [";".join(one) for one in joined]


class _Unit:
    def __init__(self, effects: Effects, statements: UnitStatements, limit: int) -> None:
        self.texts: list[str] = []
        self._effects = effects
        self._statements = statements
        self._limit = limit
        self._checks = Checks(effects, statements)

    def compose(self) -> None:
        """Put the unit together."""
        effects = self._effects
        self.texts += self._checks.texts()
        if effects.refs_gone or effects.gone or effects.buried:
            self._take_away()
        if effects.objects or effects.refs:
            self._put_objects()
        self._put_parts()
        if effects.shares or effects.useragent or effects.kv_rows:
            self._put_beside()
        if effects.revisions:
            self._count()

    # Statements of several rows.

    def _rows(self, pair: Pair, rows: Iterable[str], between: str = ",", most: int = 0) -> None:
        """Add statements with these rows, as few as their length allows."""
        held = [*rows]
        length = sum(map(len, held)) + len(held) * len(between)
        if held and length <= min(LONGEST, self._limit) and (not most or len(held) <= most):
            self.texts.append(around(pair, between.join(held)))
        elif held:
            self._several(pair, held, between, most)

    def _several(self, pair: Pair, rows: Iterable[str], between: str, most: int) -> None:
        held: list[str] = []
        length = 0
        for row in rows:
            if len(row) > self._limit:
                message = (
                    f"a value takes {len(row)} bytes on the way to the server, which takes "
                    f"{self._limit}; see its max_allowed_packet"
                )
                raise InvalidRequestError(message)
            length += len(row) + len(between)
            if held and (length > min(LONGEST, self._limit) or len(held) == most):
                self.texts.append(around(pair, between.join(held)))
                held, length = [], len(row)
            held.append(row)
        if held:
            self.texts.append(around(pair, between.join(held)))

    def _where(self, pair: Pair, conditions: Iterable[str]) -> None:
        self._rows(pair, conditions, " OR ", CONDITIONS)

    def _by_id(self, pair: Pair, uuids: Iterable[str], column: str = "uuid") -> None:
        for chunk in chunks(sorted(uuids)):
            self.texts.append(around(pair, f"{column} IN {id_list(chunk)}"))

    # Objects.

    def _take_away(self) -> None:
        effects, statements = self._effects, self._statements
        gone, buried = effects.gone, effects.buried
        self._where(
            statements.delete_refs,
            [is_ref(one.from_uuid, one.to_uuid) for one in effects.refs_gone],
        )
        if gone or buried:
            # By cascade they might go too late for what the same unit takes away at their end.
            self._by_id(statements.delete_refs, [*gone, *buried], "from_uuid")
        if len(gone) > 1:
            # Servers check row by row, in an order of their own.
            self._by_id(statements.orphan, gone)
        self._by_id(statements.delete_objects, gone)
        if buried:
            self._by_id(statements.dangle, buried, "to_uuid")
            for step in statements.bury_parts:
                self._by_id(step, buried)
            self._by_id(statements.bury_object, buried)

    def _put_objects(self) -> None:
        effects, statements = self._effects, self._statements
        self._rows(statements.put_objects, map(self._object, self._parents_first()))
        self._by_id(statements.find_refs, self._checks.new, "r.to_uuid")
        dangling = {str(one.to_uuid) for one in effects.refs if one.dangling}
        places = (f"SELECT {id_literal(uuid)} AS uuid" for uuid in sorted(dangling))
        self._rows(statements.put_tombs, places, " UNION ALL ", CONDITIONS)

    def _parents_first(self) -> Sequence[NewObject]:
        """Give the new objects so that each one's parent is before it, if it is new too."""
        objects, parent_of = self._effects.objects, self._checks.parent_of
        if not any(map(parent_of, objects)):
            return objects
        left = dict(self._checks.new)
        ordered: list[NewObject] = []
        for one in objects:
            line: list[NewObject] = []
            at: NewObject | None = one
            while at is not None and left.pop(at.uuid, None) is not None:
                line.append(at)
                at = left.get(parent_of(at) or "")
            ordered += reversed(line)
        return ordered

    def _object(self, one: NewObject) -> str:
        parent_type = "NULL" if one.parent_type is None else name_literal(one.parent_type)
        parent = "NULL"
        if one.parent_uuid is not None:
            parent = id_literal(one.parent_uuid)
        elif one.parent_type is not None and one.parent_fq is not None:
            parent = self._checks.id_of(one.parent_type, one.parent_fq)
        return (
            f"({id_literal(one.uuid)},{name_literal(one.type)},{text_literal(one.fq)},"
            f"{id_literal(one.twin)},{parent_type},{parent},@n)"
        )

    # Their parts.

    def _put_parts(self) -> None:
        effects, statements = self._effects, self._statements
        self._rows(
            statements.put_documents,
            (f"({id_literal(uuid)},{text_literal(text)})" for uuid, text in effects.documents),
        )
        self._where(
            statements.delete_elements,
            [
                f"uuid = {id_literal(uuid)} AND field = {name_literal(field)}"
                f" AND item = {text_literal(item)}"
                for uuid, field, item in effects.elements_gone
            ],
        )
        self._rows(
            statements.put_elements,
            (
                f"({id_literal(one.uuid)},{name_literal(one.field)},{text_literal(one.item)},"
                f"{text_literal(one.value)})"
                for one in effects.elements
            ),
        )
        if effects.appended is not None:
            self._append(*effects.appended)
        self._rows(statements.put_refs, map(self._ref, effects.refs))
        self._where(
            statements.relax_refs,
            [is_ref(one.from_uuid, one.to_uuid) for one in effects.refs_relaxed],
        )
        self._where(
            statements.delete_indexes,
            [
                f"uuid = {id_literal(uuid)} AND prop = {name_literal(prop)}"
                for uuid, prop in effects.indexes_gone
            ],
        )
        self._rows(
            statements.put_indexes,
            (
                f"({name_literal(one.type)},{name_literal(one.prop)},{text_literal(one.item)},"
                f"{id_literal(one.uuid)})"
                for one in effects.indexes
            ),
        )

    def _ref(self, one: NewRef) -> str:
        if one.to_uuid is None:
            to = self._checks.id_of(one.to_type, one.to_fq or "")
        else:
            to = id_literal(one.to_uuid)
        from_fq = self._name_of(one.from_uuid, one.from_type, one.from_fq)
        # It is NULL where the ref dangles.
        to_fq = self._name_of(one.to_uuid or "", one.to_type, one.to_fq)
        return (
            f"({id_literal(one.from_uuid)},{to},{name_literal(one.from_type)},{from_fq},"
            f"{name_literal(one.to_type)},{to_fq},{text_literal(one.attr)},{int(one.relaxed)})"
        )

    def _name_of(self, uuid: str, obj_type: str, fq: str | None) -> str:
        if fq is not None:
            return text_literal(fq)
        found = f"{id_literal(uuid)} AND o.type = {name_literal(obj_type)}"
        return around(self._statements.name_of, found)

    def _append(self, uuid: str, field: str, value: str) -> None:
        """Put an element behind the last one.

        Items of numbers are '0', how many digits in three, the digits, '/', and the position.
        """
        of = f"uuid = {id_literal(uuid)} AND field = {name_literal(field)}"
        digits = "SUBSTR(@i, 5, CAST(SUBSTR(@i, 2, 3) AS UNSIGNED))"
        self.texts += [
            demanded((), f"@i = {around(self._statements.last_element, of)}"),
            demanded(
                ["@i >= '0010'", f"{digits} <> SUBSTRING_INDEX(@i, '/', -1)"],
                f"@i = IF(@i IS NULL, 0, CAST({digits} AS UNSIGNED) + 1)",
            ),
            demanded(["@i > 999999999"]),
        ]
        item = "CONCAT('0', LPAD(LENGTH(@i), 3, '0'), @i, '/', @i)"
        row = f"({id_literal(uuid)},{name_literal(field)},{item},{text_literal(value)})"
        self._rows(self._statements.append_element, [row])

    # What stands beside the objects; of two for one key the last one holds.

    def _put_beside(self) -> None:
        effects, statements = self._effects, self._statements
        shares = {one[:4]: one for one in effects.shares}
        self._where(
            statements.delete_shares,
            [
                f"type = {name_literal(one.type)} AND share_type = {name_literal(one.share_type)}"
                f" AND share_id = {text_literal(one.share_id)} AND uuid = {id_literal(one.uuid)}"
                for one in shares.values()
                if one.rwx is None
            ],
        )
        self._rows(
            statements.put_shares,
            (
                f"({name_literal(one.type)},{name_literal(one.share_type)},"
                f"{text_literal(one.share_id)},{id_literal(one.uuid)},{one.rwx})"
                for one in shares.values()
                if one.rwx is not None
            ),
        )
        useragent = dict(effects.useragent)
        self._where(
            statements.delete_useragent,
            [f"name = {text_literal(name)}" for name, text in useragent.items() if text is None],
        )
        self._rows(
            statements.put_useragent,
            (
                f"({text_literal(name)},{text_literal(text)})"
                for name, text in useragent.items()
                if text is not None
            ),
        )
        rows = effects.kv_rows
        self._where(statements.delete_rows, [is_row(row) for row in rows if row.columns is None])
        # They get their revisions when the counter gives them.
        kept = [row for row in rows if row.columns is not None]
        self._rows(statements.new_rows, [_row(row) for row in kept if not row.seen])
        self._rows(statements.put_rows, [_row(row) for row in kept if row.seen])

    # The counter, and what takes its revisions from it.

    def _count(self) -> None:
        effects, statements = self._effects, self._statements
        raised = f"{effects.revisions} + {ALL_ONES} * (stamp <> {effects.stamp})"
        self.texts.append(around(statements.count, raised))
        offsets: dict[str, int] = {}
        for offset, op, _, uuid in effects.changes:
            if op == DELETED:
                offsets.pop(uuid, None)
            else:
                offsets[uuid] = offset
        if len(offsets) == 1 and not self._checks.new:
            [(uuid, offset)] = offsets.items()
            changed = f"{offset}, modified = @n WHERE uuid = {id_literal(uuid)}"
            self.texts.append(around(statements.set_state, changed))
        else:
            self._rows(
                statements.put_states,
                (
                    f"({id_literal(uuid)},LAST_INSERT_ID() + {offset},@n)"
                    for uuid, offset in sorted(offsets.items())
                ),
            )
        self._rows(
            statements.put_changes,
            (
                f"(LAST_INSERT_ID() + {offset},{op},{name_literal(obj_type)},{id_literal(uuid)})"
                for offset, op, obj_type, uuid in effects.changes
            ),
        )
        by_offset: dict[int, list[str]] = {}
        for row in effects.kv_rows:
            if row.columns is not None:
                by_offset.setdefault(row.offset, []).append(is_row(row))
        head, tail = statements.set_rows
        for offset, keys in by_offset.items():
            self._where((f"{head}{offset} WHERE ", tail), keys)


def _row(row: NewKvRow) -> str:
    columns = text_literal(row.columns or "")
    return f"({text_literal(row.row_table)},{text_literal(row.name)},0,{columns})"
