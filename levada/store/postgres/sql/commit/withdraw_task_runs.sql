-- Nobody has it: it is gone. Somebody has it: that worker is told to stop.
UPDATE task_run t
SET state = w.state,
    body = w.body,
    lease = CASE WHEN t.lease IN ('claimed', 'cancel') THEN 'cancel' END,
    job = NULL
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS w (execution_id, id, state, body)
WHERE EXISTS (SELECT FROM gate) AND t.execution_id = w.execution_id AND t.id = w.id
