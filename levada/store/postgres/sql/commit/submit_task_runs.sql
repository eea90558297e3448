INSERT INTO task_run (execution_id, id, n, state, body, lease, job, queue, priority, attempt, submitted)
SELECT execution_id, id, n, state, body, 'submitted', job, queue, priority, attempt, submitted
FROM unnest(
    $1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[], $9::int[],
    $10::bigint[]
) AS s (execution_id, id, n, state, body, job, queue, priority, attempt, submitted)
WHERE EXISTS (SELECT FROM gate)
ON CONFLICT (execution_id, id) DO UPDATE
SET state = excluded.state, body = excluded.body, lease = excluded.lease, job = excluded.job, queue = excluded.queue,
    priority = excluded.priority, attempt = excluded.attempt, submitted = excluded.submitted,
    worker = NULL, token = NULL, lease_until = NULL
