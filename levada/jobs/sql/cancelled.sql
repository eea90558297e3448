SELECT worker, execution_id, id, attempt, token FROM task_run WHERE lease = 'cancel' AND worker = ANY ($1::text[])
