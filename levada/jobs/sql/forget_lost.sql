-- Their WorkerLost is on its way; a new attempt in the same row has another token.
UPDATE task_run t
SET lease = NULL, job = NULL
FROM unnest($1::text[], $2::text[], $3::text[]) AS gone (execution_id, id, token)
WHERE t.execution_id = gone.execution_id AND t.id = gone.id AND t.token = gone.token AND t.lease = 'lost'
