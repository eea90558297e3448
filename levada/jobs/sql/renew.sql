UPDATE task_run t
SET lease_until = $5
FROM unnest($1::text[], $2::text[], $3::text[]) AS held (execution_id, id, token)
WHERE t.execution_id = held.execution_id AND t.id = held.id AND t.token = held.token
  AND t.lease = 'claimed' AND t.worker = $4
RETURNING t.token
