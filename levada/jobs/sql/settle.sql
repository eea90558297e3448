-- Attempts that only evaluated expressions: their task run goes on, so nothing else ends the lease.
UPDATE task_run t
SET lease = NULL, job = NULL
FROM unnest($1::text[], $2::text[], $3::text[]) AS done (execution_id, id, token)
WHERE t.execution_id = done.execution_id AND t.id = done.id AND t.token = done.token AND t.lease IS NOT NULL
