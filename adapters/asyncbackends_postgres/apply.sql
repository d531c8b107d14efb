-- A write unit as one call, see asyncbackends.sql.effects for what it means.
--
-- A function rather than one statement of many parts: READ COMMITTED gives each of its statements a
-- new snapshot, so what is read under a lock is the newest; their order is the one they stand in;
-- and the server keeps their plans, also behind a pooler that lets a client keep none.
--
-- Where rows are joined to arrays, "= ANY" repeats the array: so each plan looks up what is named and
-- nothing else, also one that was made when the table was empty.
--
-- Locks are taken in this order, by uuid within each: the fence, state, object, rows of kv, and the
-- counter last. The write side gives every row one effect only.

CREATE FUNCTION ~refuse(what text) RETURNS text LANGUAGE plpgsql VOLATILE AS $body$
BEGIN
    RAISE EXCEPTION 'refused: %', what USING ERRCODE = 'AB001';
END
$body$
--
CREATE FUNCTION ~apply_1(
    unit_stamp bigint,
    unit_revisions bigint,
    fence_names text[] = NULL,
    fence_epochs bigint[] = NULL,
    fence_tokens bigint[] = NULL,
    guard_uuids uuid[] = NULL,
    guard_types text[] = NULL,
    guard_revisions bigint[] = NULL,
    target_types text[] = NULL,
    target_uuids uuid[] = NULL,
    target_fqs text[] = NULL,
    needed_from uuid[] = NULL,
    needed_types text[] = NULL,
    needed_to uuid[] = NULL,
    object_uuids uuid[] = NULL,
    object_types text[] = NULL,
    object_fqs text[] = NULL,
    object_twins uuid[] = NULL,
    object_unique boolean[] = NULL,
    object_parent_types text[] = NULL,
    object_parent_uuids uuid[] = NULL,
    object_parent_fqs text[] = NULL,
    gone_uuids uuid[] = NULL,
    buried_uuids uuid[] = NULL,
    doc_uuids uuid[] = NULL,
    doc_properties text[] = NULL,
    elem_uuids uuid[] = NULL,
    elem_fields text[] = NULL,
    elem_items text[] = NULL,
    elem_values text[] = NULL,
    appended_uuids uuid[] = NULL,
    appended_fields text[] = NULL,
    appended_values text[] = NULL,
    elem_gone_uuids uuid[] = NULL,
    elem_gone_fields text[] = NULL,
    elem_gone_items text[] = NULL,
    ref_from uuid[] = NULL,
    ref_from_types text[] = NULL,
    ref_from_fqs text[] = NULL,
    ref_types text[] = NULL,
    ref_to uuid[] = NULL,
    ref_fqs text[] = NULL,
    ref_attrs text[] = NULL,
    ref_relaxed boolean[] = NULL,
    ref_dangling boolean[] = NULL,
    ref_gone_from uuid[] = NULL,
    ref_gone_to uuid[] = NULL,
    relaxed_from uuid[] = NULL,
    relaxed_to uuid[] = NULL,
    index_types text[] = NULL,
    index_props text[] = NULL,
    index_items text[] = NULL,
    index_uuids uuid[] = NULL,
    index_gone_uuids uuid[] = NULL,
    index_gone_props text[] = NULL,
    share_types text[] = NULL,
    share_share_types text[] = NULL,
    share_ids text[] = NULL,
    share_uuids uuid[] = NULL,
    share_rwx bigint[] = NULL,
    agent_names text[] = NULL,
    agent_values text[] = NULL,
    kv_tables text[] = NULL,
    kv_names text[] = NULL,
    kv_columns text[] = NULL,
    kv_seen bigint[] = NULL,
    kv_offsets bigint[] = NULL,
    change_offsets bigint[] = NULL,
    change_ops bigint[] = NULL,
    change_types text[] = NULL,
    change_uuids uuid[] = NULL,
    OUT counter_before bigint,
    OUT unit_time bigint
)
-- Plans are kept for long, and made while tables may still be empty: by index at any rate.
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $body$
DECLARE
    met bigint;
    wanted bigint;
    last_item text;
    digits text;
BEGIN
    IF fence_names IS NOT NULL THEN
        INSERT INTO ~fence AS f (name, epoch, token)
        SELECT * FROM unnest(fence_names, fence_epochs, fence_tokens)
        ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch, token = excluded.token
        WHERE (f.epoch, f.token) <= (excluded.epoch, excluded.token);
        IF NOT FOUND THEN
            PERFORM ~refuse('fence');
        END IF;
    END IF;

    -- What must be there, and stay.

    IF guard_uuids IS NOT NULL THEN
        SELECT count(*) INTO met FROM (
            SELECT FROM unnest(guard_uuids, guard_types, guard_revisions)
                AS g (uuid, type, revision)
            JOIN ~object o ON o.uuid = g.uuid AND o.type = g.type
            JOIN ~state s ON s.uuid = g.uuid
            WHERE s.uuid = ANY (guard_uuids) AND o.uuid = ANY (guard_uuids)
                AND (g.revision IS NULL OR s.revision = g.revision)
            ORDER BY s.uuid FOR UPDATE OF s
        ) locked;
        IF met <> cardinality(guard_uuids) THEN
            PERFORM ~refuse('guard');
        END IF;
    END IF;
    IF gone_uuids IS NOT NULL OR buried_uuids IS NOT NULL THEN
        PERFORM FROM ~object o WHERE o.uuid = ANY (gone_uuids || buried_uuids)
        ORDER BY o.uuid FOR UPDATE;
    END IF;
    IF target_types IS NOT NULL THEN
        SELECT count(*) INTO met FROM (
            SELECT FROM unnest(target_types, target_uuids, target_fqs) AS t (type, uuid, fq)
            JOIN ~object o ON o.uuid = t.uuid
            WHERE o.uuid = ANY (target_uuids) AND o.type = t.type
                AND (t.fq IS NULL OR o.fq = t.fq)
            ORDER BY o.uuid FOR KEY SHARE OF o
        ) locked;
        wanted := array_position(target_uuids, NULL);
        IF wanted IS NOT NULL THEN
            -- By name alone: the only one of that name.
            SELECT met + count(DISTINCT named.place) - (count(*) - count(DISTINCT named.place))
            INTO met FROM (
                SELECT t.place
                FROM unnest(target_types, target_uuids, target_fqs) WITH ORDINALITY
                    AS t (type, uuid, fq, place)
                JOIN ~object o ON o.type = t.type AND o.fq = t.fq
                WHERE t.uuid IS NULL AND o.fq = ANY (target_fqs)
                ORDER BY o.uuid FOR KEY SHARE OF o
            ) named;
        END IF;
        IF met <> cardinality(target_types) THEN
            PERFORM ~refuse('target');
        END IF;
    END IF;
    IF needed_from IS NOT NULL THEN
        SELECT count(*) INTO met
        FROM unnest(needed_from, needed_types, needed_to) AS n (from_uuid, type, to_uuid)
        JOIN ~ref r ON r.from_uuid = n.from_uuid AND r.to_uuid = n.to_uuid AND r.to_type = n.type
        WHERE r.from_uuid = ANY (needed_from);
        IF met <> cardinality(needed_from) THEN
            PERFORM ~refuse('ref');
        END IF;
    END IF;
    -- Under the locks, so that an object's times never go back.
    unit_time := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;

    -- What goes.

    IF ref_gone_from IS NOT NULL THEN
        DELETE FROM ~ref r USING unnest(ref_gone_from, ref_gone_to) AS g (from_uuid, to_uuid)
        WHERE r.from_uuid = ANY (ref_gone_from)
            AND r.from_uuid = g.from_uuid AND r.to_uuid = g.to_uuid;
    END IF;
    IF elem_gone_uuids IS NOT NULL THEN
        DELETE FROM ~elem e
        USING unnest(elem_gone_uuids, elem_gone_fields, elem_gone_items) AS g (uuid, field, item)
        WHERE e.uuid = ANY (elem_gone_uuids)
            AND e.uuid = g.uuid AND e.field = g.field AND e.item = g.item;
    END IF;
    IF index_gone_uuids IS NOT NULL THEN
        DELETE FROM ~indexed i USING unnest(index_gone_uuids, index_gone_props) AS g (uuid, prop)
        WHERE i.uuid = ANY (index_gone_uuids) AND i.uuid = g.uuid AND i.prop = g.prop;
    END IF;
    IF gone_uuids IS NOT NULL THEN
        -- Of two that go and refer to each other, the first is looked at before the second's
        -- refs have gone by cascade.
        DELETE FROM ~ref r WHERE r.from_uuid = ANY (gone_uuids);
        DELETE FROM ~object o WHERE o.uuid = ANY (gone_uuids);
        GET DIAGNOSTICS met = ROW_COUNT;
        IF met <> cardinality(gone_uuids) THEN
            PERFORM ~refuse('gone');
        END IF;
    END IF;
    IF buried_uuids IS NOT NULL THEN
        DELETE FROM ~state s WHERE s.uuid = ANY (buried_uuids);
        DELETE FROM ~doc d WHERE d.uuid = ANY (buried_uuids);
        DELETE FROM ~elem e WHERE e.uuid = ANY (buried_uuids);
        DELETE FROM ~ref r WHERE r.from_uuid = ANY (buried_uuids);
        DELETE FROM ~indexed i WHERE i.uuid = ANY (buried_uuids);
        DELETE FROM ~share h WHERE h.uuid = ANY (buried_uuids);
        UPDATE ~ref r SET to_fq = NULL WHERE r.to_uuid = ANY (buried_uuids);
        UPDATE ~object o
        SET type = '', fq = '', twin = o.uuid, parent_type = NULL, parent_uuid = NULL
        WHERE o.uuid = ANY (buried_uuids);
        GET DIAGNOSTICS met = ROW_COUNT;
        IF met <> cardinality(buried_uuids) THEN
            PERFORM ~refuse('buried');
        END IF;
    END IF;

    -- What comes. Objects first: the foreign keys of all else lead to them.

    IF object_uuids IS NOT NULL THEN
        INSERT INTO ~object AS o (uuid, type, fq, twin, parent_type, parent_uuid, created)
        SELECT n.uuid, n.type, n.fq, n.twin, n.parent_type,
            CASE WHEN n.parent_type IS NOT NULL THEN coalesce(
                n.parent_uuid,
                (SELECT p.uuid FROM ~object p WHERE p.type = n.parent_type AND p.fq = n.parent_fq
                ORDER BY CAST(p.uuid AS text) COLLATE "C" LIMIT 1),
                (SELECT p.uuid FROM unnest(object_uuids, object_types, object_fqs)
                    AS p (uuid, type, fq)
                WHERE p.type = n.parent_type AND p.fq = n.parent_fq ORDER BY p.uuid LIMIT 1),
                ~refuse('parent')::uuid
            ) END,
            unit_time
        FROM unnest(
            object_uuids, object_types, object_fqs, object_twins, object_unique,
            object_parent_types, object_parent_uuids, object_parent_fqs
        ) AS n (uuid, type, fq, twin, alone, parent_type, parent_uuid, parent_fq)
        -- Legacy duplicates do not have the name, but keep others from it.
        WHERE NOT n.alone OR (
            -- Not EXISTS, for which all names might be hashed.
            SELECT p.uuid FROM ~object p WHERE p.type = n.type AND p.fq = n.fq LIMIT 1
        ) IS NULL
        ORDER BY n.uuid
        ON CONFLICT (uuid) DO UPDATE
        SET type = excluded.type, fq = excluded.fq, twin = excluded.twin,
            parent_type = excluded.parent_type, parent_uuid = excluded.parent_uuid,
            created = excluded.created
        WHERE o.type = '';
        GET DIAGNOSTICS met = ROW_COUNT;
        IF met <> cardinality(object_uuids) THEN
            PERFORM ~refuse('object');
        END IF;
        -- The foreign key has locked the parents; whether they are of the type is seen now.
        SELECT count(n.parent_type), count(p.uuid) INTO wanted, met
        FROM unnest(object_uuids, object_parent_types) AS n (uuid, parent_type)
        JOIN ~object o ON o.uuid = n.uuid
        LEFT JOIN LATERAL (
            SELECT x.uuid FROM ~object x WHERE x.uuid = o.parent_uuid
            AND (x.type = n.parent_type OR x.uuid = ANY (buried_uuids)) OFFSET 0
        ) p ON true
        WHERE o.uuid = ANY (object_uuids);
        IF met <> wanted THEN
            PERFORM ~refuse('parent');
        END IF;
        -- Refs that waited for them.
        UPDATE ~ref r SET to_fq = n.fq
        FROM unnest(object_uuids, object_types, object_fqs) AS n (uuid, type, fq)
        WHERE r.to_uuid = ANY (object_uuids) AND r.to_fq IS NULL
            AND r.to_uuid = n.uuid AND r.to_type = n.type;
    END IF;
    IF doc_uuids IS NOT NULL THEN
        INSERT INTO ~doc AS d (uuid, properties) SELECT * FROM unnest(doc_uuids, doc_properties)
        ON CONFLICT (uuid) DO UPDATE SET properties = excluded.properties;
    END IF;
    IF elem_uuids IS NOT NULL THEN
        INSERT INTO ~elem AS e (uuid, field, item, value)
        SELECT * FROM unnest(elem_uuids, elem_fields, elem_items, elem_values)
        ON CONFLICT (uuid, field, item) DO UPDATE SET value = excluded.value;
    END IF;
    IF appended_uuids IS NOT NULL THEN
        SELECT max(e.item) INTO last_item FROM ~elem e
        WHERE e.uuid = appended_uuids[1] AND e.field = appended_fields[1];
        IF last_item IS NULL THEN
            digits := '0';
        ELSE
            digits := split_part(last_item, '/', 2);
            IF length(digits) > 9 OR digits = '999999999' OR digits !~ '^(0|[1-9][0-9]*)$'
                OR last_item <> '0' || lpad(length(digits)::text, 3, '0') || digits || '/' || digits
            THEN
                PERFORM ~refuse('appended');
            END IF;
            digits := (digits::bigint + 1)::text;
        END IF;
        INSERT INTO ~elem (uuid, field, item, value) VALUES (
            appended_uuids[1], appended_fields[1],
            '0' || lpad(length(digits)::text, 3, '0') || digits || '/' || digits,
            appended_values[1]
        );
    END IF;
    IF ref_from IS NOT NULL THEN
        IF true = ANY (ref_dangling) THEN
            INSERT INTO ~object (uuid, type, fq, twin, created)
            SELECT DISTINCT n.uuid, '', '', n.uuid, 0
            FROM unnest(ref_to, ref_dangling) AS n (uuid, dangling) WHERE n.dangling ORDER BY 1
            -- Of two at once, one may meet the other first in the index of names.
            ON CONFLICT DO NOTHING;
            -- Somebody may be making the object just now.
            PERFORM FROM ~object o WHERE o.uuid = ANY (ref_to) ORDER BY o.uuid FOR KEY SHARE;
        END IF;
        INSERT INTO ~ref AS r
            (from_uuid, to_uuid, from_type, from_fq, to_type, to_fq, attr, relaxed)
        SELECT n.from_uuid,
            coalesce(
                n.to_uuid,
                (SELECT o.uuid FROM ~object o WHERE o.type = n.to_type AND o.fq = n.to_fq
                ORDER BY CAST(o.uuid AS text) COLLATE "C" LIMIT 1),
                ~refuse('to')::uuid
            ),
            n.from_type,
            coalesce(
                n.from_fq,
                (SELECT o.fq FROM ~object o WHERE o.uuid = n.from_uuid AND o.type = n.from_type),
                ~refuse('from')
            ),
            n.to_type,
            coalesce(
                n.to_fq,
                (SELECT o.fq FROM ~object o WHERE o.uuid = n.to_uuid AND o.type = n.to_type),
                CASE WHEN NOT n.dangling THEN ~refuse('to') END
            ),
            n.attr, n.relaxed
        FROM unnest(
            ref_from, ref_from_types, ref_from_fqs, ref_types, ref_to, ref_fqs, ref_attrs,
            ref_relaxed, ref_dangling
        ) AS n (from_uuid, from_type, from_fq, to_type, to_uuid, to_fq, attr, relaxed, dangling)
        ON CONFLICT (from_uuid, to_uuid) DO UPDATE
        SET to_type = excluded.to_type, to_fq = excluded.to_fq, attr = excluded.attr,
            relaxed = r.relaxed OR excluded.relaxed;
    END IF;
    IF relaxed_from IS NOT NULL THEN
        UPDATE ~ref r SET relaxed = true
        FROM unnest(relaxed_from, relaxed_to) AS n (from_uuid, to_uuid)
        WHERE r.from_uuid = ANY (relaxed_from)
            AND r.from_uuid = n.from_uuid AND r.to_uuid = n.to_uuid;
    END IF;
    IF index_uuids IS NOT NULL THEN
        INSERT INTO ~indexed (type, prop, item, uuid)
        SELECT * FROM unnest(index_types, index_props, index_items, index_uuids)
        ON CONFLICT DO NOTHING;
    END IF;
    IF share_uuids IS NOT NULL THEN
        DELETE FROM ~share h
        USING unnest(share_types, share_share_types, share_ids, share_uuids, share_rwx)
            AS n (type, share_type, share_id, uuid, rwx)
        WHERE n.rwx IS NULL AND h.uuid = ANY (share_uuids) AND h.type = n.type AND h.share_type = n.share_type
            AND h.share_id = n.share_id AND h.uuid = n.uuid;
        INSERT INTO ~share (type, share_type, share_id, uuid, rwx)
        SELECT n.* FROM unnest(share_types, share_share_types, share_ids, share_uuids, share_rwx)
            AS n (type, share_type, share_id, uuid, rwx)
        WHERE n.rwx IS NOT NULL
        ON CONFLICT (type, share_type, share_id, uuid) DO UPDATE SET rwx = excluded.rwx;
    END IF;
    IF agent_names IS NOT NULL THEN
        DELETE FROM ~useragent u USING unnest(agent_names, agent_values) AS n (name, value)
        WHERE n.value IS NULL AND u.name = ANY (agent_names) AND u.name = n.name;
        INSERT INTO ~useragent (name, value)
        SELECT n.* FROM unnest(agent_names, agent_values) AS n (name, value)
        WHERE n.value IS NOT NULL ORDER BY n.name
        ON CONFLICT (name) DO UPDATE SET value = excluded.value;
    END IF;
    IF kv_tables IS NOT NULL THEN
        SELECT count(*) INTO met FROM (
            SELECT FROM unnest(kv_tables, kv_names, kv_seen) AS n (row_table, name, seen)
            JOIN ~kv v ON v.row_table = n.row_table AND v.name = n.name AND v.revision = n.seen
            WHERE n.seen > 0 AND v.name = ANY (kv_names) AND v.row_table = ANY (kv_tables)
            ORDER BY v.row_table, v.name FOR UPDATE OF v
        ) locked;
        IF met <> (SELECT count(*) FROM unnest(kv_seen) AS n (seen) WHERE n.seen > 0) THEN
            PERFORM ~refuse('row');
        END IF;
    END IF;

    -- The counter, and what needs its value.

    IF unit_revisions > 0 THEN
        UPDATE ~counter c SET revision = c.revision + unit_revisions
        WHERE c.id = 1 AND c.stamp = unit_stamp
        RETURNING c.revision - unit_revisions INTO counter_before;
    ELSE
        SELECT c.revision INTO counter_before FROM ~counter c
        WHERE c.id = 1 AND c.stamp = unit_stamp;
    END IF;
    IF NOT FOUND THEN
        PERFORM ~refuse('stamp');
    END IF;
    IF kv_tables IS NOT NULL THEN
        DELETE FROM ~kv v
        USING unnest(kv_tables, kv_names, kv_columns, kv_seen)
            AS n (row_table, name, columns, seen)
        WHERE n.columns IS NULL AND n.seen > 0
            AND v.row_table = ANY (kv_tables) AND v.name = ANY (kv_names)
            AND v.row_table = n.row_table AND v.name = n.name;
        UPDATE ~kv v SET columns = n.columns, revision = counter_before + n.place
        FROM unnest(kv_tables, kv_names, kv_columns, kv_seen, kv_offsets)
            AS n (row_table, name, columns, seen, place)
        WHERE n.columns IS NOT NULL AND n.seen > 0
            AND v.row_table = ANY (kv_tables) AND v.name = ANY (kv_names)
            AND v.row_table = n.row_table AND v.name = n.name;
        INSERT INTO ~kv (row_table, name, revision, columns)
        SELECT n.row_table, n.name, counter_before + n.place, n.columns
        FROM unnest(kv_tables, kv_names, kv_columns, kv_seen, kv_offsets)
            AS n (row_table, name, columns, seen, place)
        WHERE n.columns IS NOT NULL AND n.seen = 0;
    END IF;
    IF change_uuids IS NOT NULL THEN
        IF 0 = ANY (change_ops) THEN
            INSERT INTO ~state (uuid, revision, modified)
            SELECT n.uuid, counter_before + max(n.place), unit_time
            FROM unnest(change_uuids, change_ops, change_offsets) AS n (uuid, op, place)
            GROUP BY n.uuid HAVING min(n.op) = 0;
        END IF;
        IF 1 = ANY (change_ops) THEN
            UPDATE ~state s SET revision = counter_before + n.place, modified = unit_time
            FROM (
                SELECT u.uuid, max(u.place) AS place
                FROM unnest(change_uuids, change_ops, change_offsets) AS u (uuid, op, place)
                GROUP BY u.uuid HAVING min(u.op) = 1
            ) n
            WHERE s.uuid = ANY (change_uuids) AND s.uuid = n.uuid;
        END IF;
        INSERT INTO ~changes (revision, op, type, uuid)
        SELECT counter_before + n.place, n.op, n.type, n.uuid
        FROM unnest(change_offsets, change_ops, change_types, change_uuids)
            AS n (place, op, type, uuid);
    END IF;
END
$body$
