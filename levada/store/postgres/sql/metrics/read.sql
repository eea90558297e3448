SELECT execution_id, namespace, flow_id, task_id, task_run_id, name, kind, value, at, tenant, tags::text,
       count(*) OVER () AS total
FROM metric
WHERE tenant = $1 AND execution_id = $2 AND ($3::text IS NULL OR task_id = $3) AND ($4::text IS NULL OR task_run_id = $4)
ORDER BY at, name
LIMIT $5 OFFSET $6
