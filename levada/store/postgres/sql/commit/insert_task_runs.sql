INSERT INTO task_run (execution_id, id, n, state, body)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[])
WHERE EXISTS (SELECT FROM gate)
