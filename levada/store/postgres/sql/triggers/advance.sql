-- One statement is one transaction: the date gets its row and the schedule its next date, or neither. Who finds a schedule
-- locked leaves it to whoever holds it.
WITH step AS (
    SELECT *
    FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bool[], $6::bigint[], $7::text[], $8::text[], $9::bool[])
         AS s(uid, revision, expected, next_slot, probe, skipped, note, error, stop)
), fire AS (
    SELECT * FROM unnest($10::text[], $11::bigint[], $12::text[], $13::bytea[]) AS f(uid, slot, execution_id, body)
), last AS (
    SELECT DISTINCT ON (uid) uid, slot, execution_id FROM fire ORDER BY uid, slot DESC
), mine AS (
    SELECT t.uid
    FROM trigger_state AS t JOIN step AS s ON s.uid = t.uid
    WHERE t.next_slot = s.expected AND t.revision = s.revision
    FOR UPDATE OF t SKIP LOCKED
), moved AS (
    UPDATE trigger_state AS t
    SET next_slot = s.next_slot,
        probe = s.probe,
        skipped = t.skipped + s.skipped,
        note = coalesce(s.note, t.note),
        error = s.error,
        disabled = t.disabled OR s.stop,
        last_slot = coalesce(l.slot, t.last_slot),
        last_fired = CASE WHEN l.slot IS NULL THEN t.last_fired ELSE $14::bigint END,
        last_execution = coalesce(l.execution_id, t.last_execution),
        updated = $14::bigint
    FROM mine JOIN step AS s ON s.uid = mine.uid LEFT JOIN last AS l ON l.uid = s.uid
    WHERE t.uid = mine.uid AND t.next_slot = s.expected AND t.revision = s.revision
    RETURNING t.uid
)
INSERT INTO trigger_fire (uid, slot, execution_id, at, claimed, body)
SELECT f.uid, f.slot, f.execution_id, $14::bigint, $14::bigint, f.body
FROM fire AS f JOIN moved ON moved.uid = f.uid
ON CONFLICT (uid, slot) DO NOTHING
RETURNING slot, execution_id, body
