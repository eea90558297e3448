-- Nobody has it: it is gone. Somebody has it: that worker is told to stop. Its lease ran out just now: that is found again.
INSERT INTO task_run AS t (execution_id, id, n, state, body)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[])
WHERE EXISTS (SELECT FROM gate)
ON CONFLICT (execution_id, id) DO UPDATE
SET state = excluded.state,
    body = excluded.body,
    lease = CASE WHEN t.lease IN ('claimed', 'cancel', 'lost') THEN 'cancel' END,
    job = NULL
