-- $1 now, $2 claimed before then, $3 limit.
UPDATE trigger_fire AS f
SET claimed = $1
FROM (
    SELECT uid, slot FROM trigger_fire
    WHERE NOT sent AND claimed < $2
    ORDER BY claimed
    LIMIT $3
    FOR UPDATE SKIP LOCKED
) AS old
WHERE f.uid = old.uid AND f.slot = old.slot
RETURNING f.slot, f.execution_id, f.body
