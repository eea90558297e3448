DELETE FROM metric WHERE tenant = $1 AND execution_id = $2
