SELECT count(*)
FROM metric
WHERE tenant = $1 AND execution_id = $2 AND ($3::text IS NULL OR task_id = $3) AND ($4::text IS NULL OR task_run_id = $4)
