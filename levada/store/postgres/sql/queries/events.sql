SELECT events FROM execution_event WHERE execution_id = $1 ORDER BY seq
