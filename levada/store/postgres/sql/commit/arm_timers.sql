INSERT INTO timer (execution_id, seq, kind, due, task_run_id, part)
SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::text[], $6::int[])
WHERE EXISTS (SELECT FROM gate)
ON CONFLICT (execution_id, seq, kind) DO UPDATE SET due = excluded.due, task_run_id = excluded.task_run_id
