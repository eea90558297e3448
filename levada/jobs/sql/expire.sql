WITH lost AS (
    SELECT execution_id, id
    FROM task_run
    WHERE lease IN ('claimed', 'cancel') AND lease_until < $1
    ORDER BY lease_until
    LIMIT $2
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE task_run t
SET lease = NULL, job = NULL
FROM lost
WHERE t.execution_id = lost.execution_id AND t.id = lost.id
RETURNING t.execution_id, t.id, t.attempt, t.token
