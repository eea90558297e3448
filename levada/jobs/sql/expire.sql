-- From here on nobody can renew them. Those marked long ago are reported again: whoever marked them may have died then.
WITH over AS (
    SELECT execution_id, id
    FROM (
        SELECT execution_id, id, lease_until FROM task_run
        WHERE lease IN ('claimed', 'cancel') AND lease_until < $1
        UNION ALL
        SELECT execution_id, id, lease_until FROM task_run
        WHERE lease = 'lost' AND lease_until < $2
    ) AS either
    ORDER BY lease_until
    LIMIT $3
), locked AS (
    SELECT t.execution_id, t.id
    FROM over JOIN task_run t USING (execution_id, id)
    WHERE t.lease IN ('claimed', 'cancel') AND t.lease_until < $1 OR t.lease = 'lost' AND t.lease_until < $2
    FOR NO KEY UPDATE OF t SKIP LOCKED
)
UPDATE task_run t
SET lease = 'lost', lease_until = $1
FROM locked
WHERE t.execution_id = locked.execution_id AND t.id = locked.id
RETURNING t.execution_id, t.id, t.attempt, t.token
