SELECT execution_id, seq, kind, due, task_run_id FROM timer WHERE NOT fired AND due <= $1 ORDER BY due LIMIT $2
