DELETE FROM task_run WHERE execution_id = ANY ($1::text[])
