-- The lease lives as long as the attempt may run: a task run in another state has none.
INSERT INTO task_run AS t (execution_id, id, n, state, body)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[])
WHERE EXISTS (SELECT FROM gate)
ON CONFLICT (execution_id, id) DO UPDATE
SET state = excluded.state,
    body = excluded.body,
    lease = CASE WHEN excluded.state IN ('SUBMITTED', 'RUNNING', 'KILLING') THEN t.lease END,
    job = CASE WHEN excluded.state IN ('SUBMITTED', 'RUNNING', 'KILLING') THEN t.job END
