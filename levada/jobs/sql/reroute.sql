-- Rows that somebody else has locked are passed over, as in claim.sql.
WITH locked AS (
    SELECT t.execution_id, t.id
    FROM unnest($1::text[], $2::text[], $3::int[]) AS w (execution_id, id, attempt)
    JOIN task_run t ON t.execution_id = w.execution_id AND t.id = w.id AND t.attempt = w.attempt
    WHERE t.lease = 'submitted'
    FOR NO KEY UPDATE OF t SKIP LOCKED
)
UPDATE task_run t
SET queue = $4
FROM locked
WHERE t.execution_id = locked.execution_id AND t.id = locked.id
RETURNING t.execution_id, t.id
