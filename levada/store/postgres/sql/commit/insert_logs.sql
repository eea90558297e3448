INSERT INTO log (
    tenant, namespace, flow_id, execution_id, task_id, task_run_id, attempt, trigger_id, level, at, seq, thread, message
)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::text[], $9::smallint[],
    $10::bigint[], $11::int[], $12::text[], $13::text[]
)
WHERE EXISTS (SELECT FROM gate)
