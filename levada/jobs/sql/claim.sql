-- Every route is read in the order of its index; rows that another claim has locked are passed over. The n-th row goes to
-- the n-th worker, so that one statement serves all who wait.
WITH waiting AS (
    SELECT w.execution_id, w.id
    FROM unnest($1::text[]) AS wanted (queue)
    CROSS JOIN LATERAL (
        SELECT t.execution_id, t.id, t.priority, t.submitted
        FROM task_run t
        WHERE t.lease = 'submitted' AND t.queue = wanted.queue
        ORDER BY t.priority DESC, t.submitted
        LIMIT $2
        FOR NO KEY UPDATE OF t SKIP LOCKED
    ) AS w
    ORDER BY w.priority DESC, w.submitted
    LIMIT $2
), numbered AS (
    SELECT execution_id, id, row_number() OVER () AS n FROM waiting
)
UPDATE task_run t
SET lease = 'claimed', worker = ($3::text[])[n.n], token = ($4::text[])[n.n], lease_until = $5
FROM numbered n
WHERE t.execution_id = n.execution_id AND t.id = n.id
RETURNING t.job, t.token
