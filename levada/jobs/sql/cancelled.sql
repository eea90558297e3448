SELECT execution_id, id, attempt, token FROM task_run WHERE lease = 'cancel' AND worker = $1
