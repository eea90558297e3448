SELECT kind, due, fired, task_run_id FROM timer WHERE execution_id = $1 ORDER BY due LIMIT 100
