INSERT INTO metric (tenant, namespace, flow_id, execution_id, task_id, task_run_id, name, kind, value, at, tags)
SELECT tenant, namespace, flow_id, execution_id, task_id, task_run_id, name, kind, value, at, tags::jsonb
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::float8[],
    $10::bigint[], $11::text[]
) AS m (tenant, namespace, flow_id, execution_id, task_id, task_run_id, name, kind, value, at, tags)
WHERE EXISTS (SELECT FROM gate)
