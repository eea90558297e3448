SELECT id, lease, queue, attempt, submitted, worker, lease_until
FROM task_run
WHERE execution_id = $1 AND lease IS NOT NULL
ORDER BY n
LIMIT 100
