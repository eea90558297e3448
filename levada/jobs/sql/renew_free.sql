WITH free AS (
    SELECT t.execution_id, t.id
    FROM unnest($1::text[], $2::text[], $3::text[]) AS held (execution_id, id, token)
    JOIN task_run t ON t.execution_id = held.execution_id AND t.id = held.id AND t.token = held.token
    WHERE t.lease = 'claimed' AND t.worker = $4
    FOR NO KEY UPDATE OF t SKIP LOCKED
)
UPDATE task_run t
SET lease_until = $5
FROM free
WHERE t.execution_id = free.execution_id AND t.id = free.id
RETURNING t.token
