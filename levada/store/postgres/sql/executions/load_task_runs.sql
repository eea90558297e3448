SELECT execution_id, body FROM task_run WHERE execution_id = ANY ($1::text[]) ORDER BY execution_id, n
